package cli

import (
	"testing"

	"backtowork/internal/lock"
)

// What a server shows late, twice or from before is no change; nor are other times of the same
// holder. The first change of hands is the one that is told.
func TestHandover(t *testing.T) {
	t.Parallel()
	at := func(node string, term, seq uint64) lock.Lock {
		k := lock.Lock{Term: term, Seq: seq}
		if node != "" {
			k.Owner = lock.Owner{Node: node, Session: node}
		}
		return k
	}
	for _, row := range []struct {
		name  string
		seen  lock.Lock
		shown []lock.Lock
		over  bool
		last  lock.Lock
	}{
		{"nothing new", at("a", 3, 1), []lock.Lock{at("a", 3, 1)}, false, at("a", 3, 1)},
		{"a server that lags", at("a", 3, 1), []lock.Lock{at("b", 2, 1), at("", 2, 2), {}}, false, at("a", 3, 1)},
		{"other times", at("a", 3, 1), []lock.Lock{at("a", 3, 2), at("a", 3, 1)}, false, at("a", 3, 2)},
		{"given back", at("a", 3, 1), []lock.Lock{at("a", 3, 2), at("", 3, 3)}, true, at("", 3, 3)},
		{"taken", at("", 3, 2), []lock.Lock{at("b", 4, 1)}, true, at("b", 4, 1)},
		{"taken again", at("a", 3, 1), []lock.Lock{at("a", 4, 1)}, true, at("a", 4, 1)},
		{"the first counts", at("a", 3, 1), []lock.Lock{at("b", 4, 1), at("c", 5, 1)}, true, at("b", 4, 1)},
		{"never held", lock.Lock{}, []lock.Lock{{}, at("a", 1, 1)}, true, at("a", 1, 1)},
	} {
		h := &handover{seen: row.seen, last: row.seen}
		for _, k := range row.shown {
			h.note(k)
		}
		if last, over := h.note(row.seen); over != row.over || last != row.last {
			t.Errorf("%s: %+v, changed hands: %v; want %+v, %v", row.name, last, over, row.last, row.over)
		}
	}
}
