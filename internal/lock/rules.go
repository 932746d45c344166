package lock

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A rule is for the entries of one kind. Allows says whether the lock permits the entry, beside being in
// the right term and session; next is the lock as the entry makes it. If next returns a lock of term 0,
// the lock begins a new term.
type rule struct {
	allows func(l Lock, e Entry, raftTerm uint64) bool
	next   func(l Lock, e Entry) Lock
}

var rules = map[Kind]rule{
	Acquire: {
		allows: judgedNow,
		next: func(l Lock, e Entry) Lock {
			unfenced := l.Unfenced
			if e.Silent && l.Held() {
				unfenced = unfenced.with(l.Node)
			}
			return Lock{Owner: e.Owner, Last: e.Owner.Node, Previous: l.Last, Times: e.Times, Unfenced: unfenced}
		},
	},
	Adopt: {
		allows: func(l Lock, e Entry, raftTerm uint64) bool {
			return judgedNow(l, e, raftTerm) && l.Held() && l.Node == e.Owner.Node && !l.BeingFenced() && !l.Fenced
		},
		// The node before stays what it was, for whoever has to make sure that it is off.
		next: func(l Lock, e Entry) Lock {
			return Lock{Owner: e.Owner, Last: e.Owner.Node, Previous: l.Previous, Times: e.Times, Blocked: l.Blocked, Unfenced: l.Unfenced}
		},
	},
	Release: {allows: byHolder, next: freed},
	Change: {
		allows: func(l Lock, e Entry, _ uint64) bool { return l.Held() && e.Seq == l.Seq },
		next: func(l Lock, e Entry) Lock {
			l.Times = e.Times
			return l
		},
	},
	Block: {
		allows: func(l Lock, e Entry, _ uint64) bool { return l.Held() && CheckReason(e.Reason) == nil },
		next: func(l Lock, e Entry) Lock {
			l.Blocked = e.Reason
			return l
		},
	},
	Unblock: {
		allows: func(l Lock, _ Entry, _ uint64) bool { return l.Held() && l.Blocked != "" },
		next:   freed,
	},
	Fence: {
		allows: func(l Lock, e Entry, raftTerm uint64) bool {
			return l.Held() && judgedNow(l, e, raftTerm) && e.Seq == l.Seq && l.Blocked == "" && !l.Fenced && CheckFencing(e.Limit) == nil
		},
		next: func(l Lock, e Entry) Lock {
			l.Fencing = Fencing{By: e.Owner, Limit: e.Limit}
			return l
		},
	},
	Fenced: {
		allows: func(l Lock, e Entry, _ uint64) bool {
			return l.Held() && l.BeingFenced() && l.Fencing.By.Session == e.Owner.Session
		},
		next: func(l Lock, e Entry) Lock {
			l.Fencing, l.Fenced = Fencing{}, e.OK
			if e.OK {
				l.Unfenced = l.Unfenced.without(l.Node)
			}
			return l
		},
	},
	Settled: {
		allows: func(l Lock, e Entry, _ uint64) bool {
			if node := e.Owner.Node; node != "" { // by a person's word, whoever has the lock
				return slices.Contains(l.Unfenced.All(), node)
			}
			return l.Held() && l.Unfenced != ""
		},
		next: func(l Lock, e Entry) Lock {
			rest := Nodes("")
			if node := e.Owner.Node; node != "" {
				rest = l.Unfenced.without(node)
			}
			l.Unfenced = rest
			return l
		},
	},
}

// judgedNow says whether the leader's judgement that e rests on still counts: it was made in this raft
// term, and l has not changed since then, where e says which Seq was judged.
func judgedNow(l Lock, e Entry, raftTerm uint64) bool {
	return e.Owner.Session != "" && e.RaftTerm == raftTerm && (e.Seq == 0 || e.Seq == l.Seq)
}

func byHolder(l Lock, _ Entry, _ uint64) bool { return l.Held() }

// freed is l without a holder, and without what was known of that holder only.
func freed(l Lock, _ Entry) Lock {
	return Lock{Term: l.Term, Seq: l.Seq, Last: l.Last, Previous: l.Previous, Times: l.Times, Unfenced: l.Unfenced}
}

// Nodes are names of nodes with a blank between two, the newest last. They are a string and not a slice,
// so that two Locks can be compared by ==.
type Nodes string

// maxUnfenced is how many nodes are remembered.
const maxUnfenced = 16

// All is the names, one by one.
func (n Nodes) All() []string { return strings.Fields(string(n)) }

// with is n with node as the newest.
func (n Nodes) with(node string) Nodes {
	all := append(n.without(node).All(), node)
	return Nodes(strings.Join(all[max(0, len(all)-maxUnfenced):], " "))
}

func (n Nodes) without(node string) Nodes {
	return Nodes(strings.Join(slices.DeleteFunc(n.All(), func(o string) bool { return o == node }), " "))
}

// Reason makes a reason of any text: one line, not too long.
func Reason(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > MaxReason {
		const more = "..."
		text = strings.ToValidUTF8(text[:MaxReason-len(more)], "") + more
	}
	return cmp.Or(strings.TrimSpace(text), "it cannot be shown to be down")
}

// CheckReason says whether reason can say why a lock is blocked: one line of text.
func CheckReason(reason string) error {
	switch {
	case reason == "":
		return errors.New("the reason is empty")
	case len(reason) > MaxReason:
		return fmt.Errorf("the reason has %d bytes, %d are the most", len(reason), MaxReason)
	case !utf8.ValidString(reason):
		return errors.New("the reason is no text")
	}
	for _, r := range reason {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the reason has the character %q in it", r)
		}
	}
	return nil
}

// CheckFencing says whether a fencing may take that many milliseconds.
func CheckFencing(limit int64) error {
	if most := LongestFencing.Milliseconds(); limit <= 0 || limit > most {
		return fmt.Errorf("cannot take %v to fence: at most %v", time.Duration(limit)*time.Millisecond, LongestFencing)
	}
	return nil
}
