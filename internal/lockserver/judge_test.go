package lockserver

import (
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A judging is a lock in term 4, who asks for it, and when it may be had: "now", "again" (it was known
// otherwise, and is to be asked for again), or "later".
type judging struct {
	name string
	lock func(*lock.Lock)
	ask  func(*api.AcquireRequest)
	want string
}

var (
	judgedX = lock.Owner{Node: "x", Session: "session of x"}
	judgedY = lock.Owner{Node: "y", Session: "session of y"}
	later   = lock.Owner{Node: "x", Session: "later session of x"}
)

func free(k *lock.Lock) { k.Owner = lock.Owner{} }
func ofY(k *lock.Lock)  { k.Owner = judgedY }
func known(term uint64) func(*api.AcquireRequest) {
	return func(q *api.AcquireRequest) { q.Known = &term }
}

func own(term uint64) func(*api.AcquireRequest) {
	return func(q *api.AcquireRequest) { q.Own = term }
}

func adopts(by lock.Owner, from string, term uint64) func(*api.AcquireRequest) {
	return func(q *api.AcquireRequest) { q.Owner, q.From, q.Own = by, from, term }
}

func fencedNow(k *lock.Lock) {
	k.Fencing = lock.Fencing{By: lock.Owner{Node: "z", Session: "session of z"}, Limit: 60_000}
}
func wasFenced(k *lock.Lock) { k.Fenced = true }

// Unless a row says otherwise x holds the lock and was heard just now, and y asks.
var judgings = []judging{
	{"held by another", nil, nil, "later"},
	{"held by another, in the term that was known", nil, known(4), "later"},
	{"free", free, nil, "now"},
	{"free, as was known", free, known(4), "now"},
	{"free, by a request that was given up and comes late", free, known(3), "again"},
	{"free, by a late request for another term of its own lock", free, own(4), "again"},
	{"its own", ofY, own(4), "now"},
	{"its own, by a late request", ofY, own(3), "again"},
	{"its own, and it was not told", ofY, nil, "again"},
	{"its own, and fenced now", func(k *lock.Lock) { ofY(k); fencedNow(k) }, own(4), "later"},
	{"its own, and blocked", func(k *lock.Lock) { ofY(k); k.Blocked = "why" }, own(4), "now"},
	{"held by another that is off", wasFenced, nil, "now"},
	{"held by another that is fenced now", fencedNow, nil, "later"},
	{"blocked", func(k *lock.Lock) { k.Blocked = "why" }, nil, "later"},
	{"adopted", nil, adopts(later, judgedX.Session, 4), "now"},
	{"adopted from itself", nil, adopts(judgedX, judgedX.Session, 4), "now"},
	{"adopted from an older term", nil, adopts(later, judgedX.Session, 3), "again"},
	{"adopted from another session", nil, adopts(later, "another session of x", 4), "again"},
	{"adopted by another node", nil, adopts(judgedY, judgedX.Session, 4), "again"},
	{"adopted while fenced", fencedNow, adopts(later, judgedX.Session, 4), "again"},
	{"adopted when off", wasFenced, adopts(later, judgedX.Session, 4), "again"},
	{"adopted when free", free, adopts(later, judgedX.Session, 4), "again"},
	{"only if it is off", nil, func(q *api.AcquireRequest) { q.OnlyFenced = true }, "later"},
	{"only if it is off, and it is", wasFenced, func(q *api.AcquireRequest) { q.OnlyFenced = true }, "now"},
	{"only if it is off, and it is free", free, func(q *api.AcquireRequest) { q.OnlyFenced = true }, "now"},
}

// Who may have a lock, and when, as the leader of raft term 3 judges it (rules 5, 8, 18 and 19).
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, row := range judgings {
		clock := lease.Scaled(1)
		s := &Server{Config: Config{Clock: clock}, machine: newMachine(clock, func(err error) { t.Error(err) })}
		k := lock.Lock{Owner: judgedX, Term: 4, Seq: 1, Last: "x", Times: testTimes}
		if row.lock != nil {
			row.lock(&k)
		}
		s.machine.table = tableOf(t, k)
		s.machine.leases.Open(3, clock.Now())
		q := api.AcquireRequest{Name: "p", Owner: judgedY, Times: testTimes}
		if row.ask != nil {
			row.ask(&q)
		}
		_, left, err := s.judge(3, q)
		got := "later"
		switch {
		case left == 0:
			got = "now"
		case left == time.Millisecond:
			got = "again"
		}
		if got != row.want || err != nil {
			t.Errorf("%s: %s (after %v), %v; want %s", row.name, got, left, err, row.want)
		}
		if _, _, err := s.judge(2, q); err == nil {
			t.Errorf("%s: it was judged by leases of another raft term", row.name)
		}
	}
}

// Who may have a lock without a fence where one is required: the holder's own node, by its name and its disk, and
// also if the answer that gave its session the last term was lost.
func TestIsHolderAgain(t *testing.T) {
	t.Parallel()
	k := lock.Lock{Owner: judgedX, Term: 4}
	for _, row := range []struct {
		node, was string
		floor     uint64
		want      bool
	}{
		{"x", judgedX.Session, 4, true},
		{"x", judgedX.Session, 3, true},
		{"x", "", 4, true}, // an older version's
		{"x", "", 3, false},
		{"x", "another session", 3, false},
		{"y", judgedX.Session, 4, false}, // perhaps a copy of the disk
	} {
		q := api.AcquireRequest{Owner: lock.Owner{Node: row.node, Session: "now"}, Floor: row.floor, Was: row.was}
		if isHolderAgain(k, q) != row.want {
			t.Errorf("%+v: want %v", row, row.want)
		}
	}
}

// Which holders may be powered off, among those that were heard an hour ago or just now (rule 19).
func TestJudgeFence(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		lock func(*lock.Lock)
		ask  func(*api.FenceRequest)
		ago  time.Duration
		may  bool
	}{
		{"silent", nil, nil, time.Hour, true},
		{"silent for less than its timeout", nil, nil, testTimes.Timeout - time.Second, false},
		{"of another session", nil, func(q *api.FenceRequest) { q.Session = "another session" }, time.Hour, false},
		{"of another term", nil, func(q *api.FenceRequest) { q.Term = 3 }, time.Hour, false},
		{"of the node that asks", nil, func(q *api.FenceRequest) { q.By = later }, time.Hour, false},
		{"blocked", func(k *lock.Lock) { k.Blocked = "why" }, nil, time.Hour, false},
		{"off already", wasFenced, nil, time.Hour, false},
		{"free", free, func(q *api.FenceRequest) { q.Session = "" }, time.Hour, false},
	} {
		clock := lease.Scaled(1)
		s := &Server{Config: Config{Clock: clock}, machine: newMachine(clock, func(err error) { t.Error(err) })}
		k := lock.Lock{Owner: judgedX, Term: 4, Seq: 1, Last: "x", Times: testTimes}
		if row.lock != nil {
			row.lock(&k)
		}
		s.machine.table = tableOf(t, k)
		s.machine.leases.Open(3, clock.Now().Add(-row.ago))
		q := api.FenceRequest{ReleaseRequest: api.ReleaseRequest{Name: "p", Term: 4, Session: judgedX.Session}, By: judgedY}
		if row.ask != nil {
			row.ask(&q)
		}
		if got, _, err := s.judgeFence(3, q); (got.Session != "") != row.may || err != nil {
			t.Errorf("%s: %+v, %v", row.name, got, err)
		}
		if got, _, err := s.judgeFence(2, q); err == nil {
			t.Errorf("%s: judged by leases of another raft term: %+v", row.name, got)
		}
	}
}
