package lockclient

import (
	"cmp"
	"fmt"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// kept is what stands in the file L_lease, for a lock called L: what one process of a Single leaves to the next.
type kept struct {
	session string
	term    uint64     // 0 while the lock is not held
	seq     uint64     // renewals of the term
	end     lease.Time // of the lease
	prev    string     // the node from which it was taken
	times   lock.Times // that the servers know
	asked   bool       // an acquire was sent, and what came of it is not known
	freed   bool       // a release was begun: what was asked before it counts no more
	before  string     // the session that was given back last
}

func (s *Single) file() string { return s.name + "_lease" }

// load reads what is kept. If there is nothing to go on with, it begins a new session that holds nothing.
func (s *Single) load() {
	text, err := s.files.notes.Read(s.file())
	k, ok := s.recall(text)
	if err != nil || !ok {
		k = kept{session: NewID()}
	}
	s.kept, s.owner.Session = k, k.session
}

// recall reads what an earlier process kept. What an earlier boot held is not ours to go on with.
func (s *Single) recall(text string) (k kept, ok bool) {
	const old = 9 // words of a version that kept the end on one of the two clocks only
	var boot string
	var end, raw time.Duration
	n, err := fmt.Sscan(text, &k.session, &boot, &k.term, &k.seq, &end, &k.prev, &k.times.Timeout, &k.times.Stop, &k.asked, &raw, &k.freed, &k.before)
	if err != nil && n != old || boot != s.boot {
		return k, false
	}
	if k.end = lease.Reading(end, raw); n == old && end != 0 {
		k.end = lease.FromBoot(end, s.client.Clock.Now())
	}
	k.freed = k.freed || k.term != 0 && end == 0
	return k, true
}

// keep writes what is kept. Older versions read the words that they know.
func (s *Single) keep() error {
	k := s.kept
	k.prev, k.before = cmp.Or(k.prev, lock.Invalid), cmp.Or(k.before, lock.Invalid)
	return s.files.notes.Write(s.file(), fmt.Sprintln(k.session, s.boot, k.term, k.seq, int64(k.end.Boot()), k.prev,
		int64(k.times.Timeout), int64(k.times.Stop), k.asked, int64(k.end.Raw()), k.freed, k.before))
}
