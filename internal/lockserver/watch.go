package lockserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

// maxWatch is how long a client may watch by one request.
const maxWatch = 60 * time.Second

// A glance is what a client that watches has seen of a lock.
type glance struct {
	name      string
	term, seq uint64
	wait      time.Duration
}

// newer says whether k came after what was seen. Terms never go back: what is older than that
// comes from a server that lags, and is nothing to tell.
func (g glance) newer(k lock.Lock) bool {
	return k.Term > g.term || k.Term == g.term && k.Seq > g.seq
}

func readGlance(name string, q url.Values) (g glance, err error) {
	if err := lock.CheckName(name); err != nil {
		return g, err
	}
	g = glance{name: name, wait: waitLimit}
	for key, value := range map[string]*uint64{"term": &g.term, "seq": &g.seq} {
		if text := q.Get(key); text != "" {
			if *value, err = strconv.ParseUint(text, 10, 64); err != nil {
				return g, fmt.Errorf("cannot use %q as %s: a whole number is wanted", text, key)
			}
		}
	}
	if text := q.Get("wait"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds >= 0 && seconds <= maxWatch.Seconds()) { // so NaN is refused too
			return g, fmt.Errorf("cannot wait %q seconds: 0 to %v can be had", text, maxWatch.Seconds())
		}
		g.wait = time.Duration(seconds * float64(time.Second))
	}
	return g, nil
}

// watch is GET /v1/watch/{name}: it answers when the lock is newer than what was seen, as far as
// this server knows, or when the wait is over.
func (h *handler) watch(w http.ResponseWriter, r *http.Request) {
	seen, err := readGlance(r.PathValue("name"), r.URL.Query())
	if err != nil {
		h.reply(w, nil, badRequest{err})
		return
	}
	if h.node() == nil {
		h.reply(w, nil, h.noLeader())
		return
	}
	leave, err := h.watches.enter(clientOf(r))
	if err != nil {
		h.reply(w, nil, err)
		return
	}
	defer leave()
	// Longer than other requests may take. Only a test's writer cannot do this.
	control, end := http.NewResponseController(w), time.Now().Add(seen.wait+transmission)
	_ = errors.Join(control.SetReadDeadline(end), control.SetWriteDeadline(end))
	over := time.NewTimer(seen.wait)
	defer over.Stop()
	defer h.lookAt(seen.name)()
	for {
		state, changed := h.glimpse(seen)
		if changed == nil {
			h.reply(w, state, nil)
			return
		}
		select {
		case <-changed:
		case <-over.C:
			state, _ = h.glimpse(seen)
			h.reply(w, state, nil)
			return
		case <-r.Context().Done():
			h.reply(w, nil, errors.New("this server ends"))
			return
		}
	}
}

// glimpse is the lock as it is now. changed is nil if that is worth telling, since it is newer than what was
// seen or the client does not wait; else it is closed when it makes sense to look again.
func (h *handler) glimpse(seen glance) (state api.State, changed <-chan struct{}) {
	leads, m := h.knowsLeases(), h.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.table.Get(seen.name)
	if seen.wait > 0 && !seen.newer(k) {
		changed = m.watch(seen.name)
	}
	return m.view(seen.name, k, h.Clock.Now(), leads), changed
}

// lookAt counts a watch of the lock called name until it is told that it ended. The last to end
// takes the machine's note with it, or the names that were ever watched would fill the memory.
func (h *handler) lookAt(name string) (end func()) {
	m := h.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	h.watched[name]++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if h.watched[name]--; h.watched[name] == 0 {
			delete(h.watched, name)
			m.wake(name)
		}
	}
}
