package lockserver

import (
	"slices"

	"backtowork/internal/lock"
)

// silences is a model, made from the servers' log: which nodes lost which lock by silence, and so must be named to its
// later holders.
type silences struct {
	mixed bool                       // some servers may be older, or may not know yet which version the others know
	named map[string][]string        // of each lock, the newest last
	told  map[string]map[uint64]told // of each lock and term
}

// told is what a holder must be told.
type told struct {
	previous string // if nobody is named
	named    []string
}

// takenSilently counts, among the kinds of log entries, the acquires by which a silent holder is to be named.
const takenSilently lock.Kind = "taken silently"

// isMixed notes whether there may be older servers, so that a leader may not write what those do not know.
func (h *history) isMixed(mixed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent.mixed = mixed
}

// sawSilence brings the model up to date after the log entry e, which changed a lock from before to now. The caller
// holds h.mu.
func (h *history) sawSilence(before lock.Lock, e lock.Entry, now lock.Lock) {
	s := &h.silent
	named := slices.DeleteFunc(slices.Clone(s.named[e.Name]), func(node string) bool {
		return e.Kind == lock.Settled || e.Kind == lock.Fenced && e.OK && node == before.Node
	})
	if e.Kind == lock.Acquire && before.Held() && !before.Fenced && before.Node != now.Node && (e.Silent || !s.mixed) {
		h.did[takenSilently]++
		named = append(slices.DeleteFunc(named, func(node string) bool { return node == before.Node }), before.Node)
	}
	s.named[e.Name] = named
	if e.Kind == lock.Acquire || e.Kind == lock.Adopt {
		if s.told[e.Name] == nil {
			s.told[e.Name] = map[uint64]told{}
		}
		was := told{before.Last, slices.Clone(named)}
		if e.Kind == lock.Adopt {
			was.previous = s.told[e.Name][before.Term].previous
		}
		s.told[e.Name][now.Term] = was
	}
}

// checkTold compares what a holder was told with the log. The caller holds h.mu.
func (h *history) checkTold(o *holding) {
	want, known := h.silent.told[o.lock][o.term]
	if !known || o.single {
		return
	}
	named := slices.DeleteFunc(slices.Clone(want.named), func(node string) bool { return node == o.node })
	if len(named) > 0 {
		want.previous = named[len(named)-1]
	}
	if o.previous != want.previous || !slices.Equal(o.unfenced, named) {
		h.violated(o.lock, "%s in term %d is told that %q had it before, and %q may not be off; it is %q, and %q",
			o.node, o.term, o.previous, o.unfenced, want.previous, named)
	}
}
