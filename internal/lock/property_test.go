package lock

import (
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"backtowork/internal/lease"
)

// world is a servers' log with one leader at a time, and holders whose requests and entries
// take random time on their way: they come late, twice, out of order. Beside it stands a naive
// model that knows the true time.
type world struct {
	*rand.Rand
	t                *testing.T
	now              time.Duration // true time, which no clock shows
	bootRate, rawOff float64       // the leader's clocks: raw is exact at the least, or slower
	table            *Table
	leases           Leases
	raftTerm         uint64
	flying           []Entry
	asked            []asked

	safe     time.Duration // the model: before this nobody but holder may get the lock
	holder   string
	term     uint64
	judgedIn uint64 // raft term in which the holder was judged gone
	grants   int
	takeOver int

	heard    time.Duration // when the holder's last request came that was acknowledged
	blocked  bool
	fencing  bool          // somebody fences the holder
	fenceEnd time.Duration // when that may be over, at the earliest
	fenceIn  uint64        // raft term in which the holder was judged to be fenced
	rare     map[Kind]int  // how often each of the rarer kinds changed something
}

// asked is a renewal that waits for the servers' word.
type asked struct {
	raftTerm uint64
	term     uint64
	session  string
	received lease.Time
	at       time.Duration
}

// clock is the leader's: both its clocks run at most as fast as true time, one of them slower.
func (w *world) clock() lease.Time {
	return lease.Reading(time.Duration(float64(w.now)*w.bootRate), time.Duration(float64(w.now)*(1-w.rawOff)))
}

func (w *world) wait(most time.Duration) { w.now += time.Duration(w.Int63n(int64(most))) }

func TestNobodyGetsALockTooEarly(t *testing.T) {
	t.Parallel()
	grants, takeOvers, rare := 0, 0, map[Kind]int{}
	for seed := range int64(200) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := &world{Rand: rand.New(rand.NewSource(seed)), t: t, table: NewTable(), bootRate: 1, rare: rare}
			if w.Intn(2) == 0 {
				w.bootRate = 1.08 // slewed by chrony: raw is right
			} else {
				w.rawOff = w.Float64() * 0.5 // suspended half of the time: boot is right
			}
			w.elect()
			for range 600 {
				w.step()
			}
			grants += w.grants
			takeOvers += w.takeOver
		})
	}
	if grants < 1000 || takeOvers < 500 {
		t.Errorf("%d grants, %d of them from a silent holder: too few to mean anything", grants, takeOvers)
	}
	for _, kind := range []Kind{Adopt, Block, Unblock, Fence, Fenced} {
		if rare[kind] < 100 {
			t.Errorf("only %d entries of kind %q did something: too few to mean anything", rare[kind], kind)
		}
	}
}

func (w *world) step() {
	w.wait(4 * second)
	owners := []Owner{anna, bert, clara}
	switch w.Intn(14) {
	case 0, 1, 2, 3:
		w.acquire(owners[w.Intn(3)])
	case 4, 5:
		w.renew(w.table.Get("P"))
	case 6:
		k := w.table.Get("P")
		w.asked = append(w.asked, asked{w.raftTerm, k.Term, k.Session, w.clock(), w.now})
	case 7:
		w.word()
	case 8, 9:
		w.deliver()
	case 10:
		if k := w.table.Get("P"); k.Held() && w.Intn(4) == 0 {
			w.propose(release(k.Term, k.Session))
		}
	case 12, 13:
		w.lessOften()
	case 11:
		switch w.Intn(8) {
		case 0:
			w.elect()
		case 1:
			w.table = restored(w.t, w.table)
			w.leases.Void() // as the servers do
			w.elect()
		case 2:
			w.leases.Open(w.raftTerm, w.clock()) // the entry is applied again
		}
	}
}

// lessOften adopts, blocks, or fences.
func (w *world) lessOften() {
	k := w.table.Get("P")
	if !k.Held() {
		return
	}
	e := Entry{Version: Version, Name: "P", Term: k.Term, Session: k.Session}
	by := []Owner{anna, bert, clara}[w.Intn(3)]
	switch w.Intn(10) {
	case 0:
		e.Kind, e.Seq, e.Times, e.Owner = Adopt, k.Seq, short, Owner{k.Node, fmt.Sprint("after ", k.Session[:4])}
	case 1:
		if w.Intn(3) > 0 {
			return
		}
		e.Kind, e.Reason = Block, "stuck"
	case 2, 3:
		e.Kind = Unblock
	case 4, 5:
		e.Kind, e.Owner, e.OK = Fenced, Owner{Session: k.Fencing.By.Session}, w.Intn(2) == 0
	default:
		left, err := w.leases.JudgeFence("P", k, w.clock())
		if err != nil || left > 0 {
			return
		}
		if w.fenceIn = w.raftTerm; w.now < w.heard+k.Times.Timeout || w.fencing && w.now < w.fenceEnd {
			w.t.Fatalf("at %v %s is to be fenced, who was heard at %v; fenced already until %v", w.now, k.Session, w.heard, w.fenceEnd)
		}
		e.Kind, e.Seq, e.Owner, e.Limit = Fence, k.Seq, by, 10_000+w.Int63n(30_000)
	}
	w.propose(e)
}

// elect begins a raft term. What the leader before it proposed stands before its open entry in
// the log, or nowhere.
func (w *world) elect() {
	for len(w.flying) > 0 {
		if w.Intn(2) == 0 {
			w.deliver()
		} else {
			w.flying = w.flying[1:]
		}
	}
	w.raftTerm++
	w.leases.Open(w.raftTerm, w.clock())
}

// acquire asks for the lock as a server does: an entry only once the holder is judged gone.
func (w *world) acquire(o Owner) {
	k := w.table.Get("P")
	left, err := w.leases.Judge("P", k, w.clock())
	if err != nil || left > 0 {
		return
	}
	if k.Held() {
		w.judgedIn = w.raftTerm
		if w.now < w.safe && !k.Fenced {
			w.t.Fatalf("at %v the holder %s is judged gone, %v too early", w.now, w.holder, w.safe-w.now)
		}
	}
	if w.blocked && k.Held() || w.fencing && w.now < w.fenceEnd {
		w.t.Fatalf("at %v %s may be had: blocked %v, fenced until %v", w.now, w.holder, w.blocked, w.fenceEnd)
	}
	e := withSeq(acquire(k.Term, k.Session, o), k.Seq)
	if w.Intn(2) == 0 {
		e.Times = short
	}
	w.propose(e)
}

func (w *world) renew(k Lock) {
	w.answer(asked{w.raftTerm, k.Term, k.Session, w.clock(), w.now})
}

// word lets the servers answer one of the renewals that wait.
func (w *world) word() {
	if len(w.asked) > 0 {
		i := w.Intn(len(w.asked))
		w.answer(w.asked[i])
		w.asked = append(w.asked[:i], w.asked[i+1:]...)
	}
}

func (w *world) answer(a asked) {
	k := w.table.Get("P")
	err := w.leases.Renew(a.raftTerm, "P", k, a.term, a.session, a.received)
	if err != nil {
		if errors.Is(err, ErrEnded) && w.judgedIn != w.raftTerm && w.fenceIn != w.raftTerm && !k.BeingFenced() && !k.Fenced {
			w.t.Fatalf("at %v %s is refused, and nobody judged it", w.now, k.Session)
		}
		return
	}
	if w.judgedIn == w.raftTerm || w.fenceIn == w.raftTerm || w.fencing || k.Fenced {
		w.t.Fatalf("at %v %s is acknowledged after it was judged gone", w.now, k.Session)
	}
	w.heard = max(w.heard, a.at)
	if k.Session != w.holder || k.Term != w.term {
		w.t.Fatalf("at %v %s of term %d is acknowledged, the holder is %s of %d", w.now, k.Session, k.Term, w.holder, w.term)
	}
	w.safe = max(w.safe, a.at+k.Times.Silence())
}

// propose sends an entry on its way, sometimes twice.
func (w *world) propose(e Entry) {
	w.flying = append(w.flying, e)
	if w.Intn(4) == 0 {
		w.flying = append(w.flying, e)
	}
	if w.Intn(2) == 0 {
		w.deliver()
	}
}

// deliver applies any of the entries that are on their way.
func (w *world) deliver() {
	if len(w.flying) == 0 {
		return
	}
	i := w.Intn(len(w.flying))
	e := w.flying[i]
	w.flying = append(w.flying[:i], w.flying[i+1:]...)
	was := w.table.Get("P")
	k, changed, err := w.table.Apply(e, 0)
	switch {
	case err != nil:
		w.t.Fatal(err)
	case !changed:
		if k != was {
			w.t.Fatalf("unchanged, but %+v is %+v now", was, k)
		}
	case e.Kind == Release, e.Kind == Unblock:
		w.holder, w.safe, w.blocked, w.fencing = "", 0, false, false
	case e.Kind == Acquire, e.Kind == Adopt:
		w.grant(was, k, e.Kind == Adopt)
	case e.Kind == Block:
		w.blocked = true
	case e.Kind == Fence:
		w.fencing, w.fenceEnd = true, w.now+time.Duration(k.Fencing.Limit)*time.Millisecond
		w.leases.Fencing("P", k, w.clock())
	case e.Kind == Fenced:
		w.fencing = false
	}
	if changed {
		w.rare[e.Kind]++
	}
}

func (w *world) grant(was, k Lock, adopted bool) {
	if was.Held() {
		w.takeOver++
		if w.now < w.safe && k.Session != w.holder && !adopted && !was.Fenced {
			w.t.Fatalf("at %v %s gets the lock, %v too early for %s", w.now, k.Session, w.safe-w.now, w.holder)
		}
		if w.blocked && (!adopted || k.Blocked == "") || w.fencing && w.now < w.fenceEnd {
			w.t.Fatalf("at %v %s gets the lock that was blocked, %v, or fenced until %v", w.now, k.Session, w.blocked, w.fenceEnd)
		}
	}
	if k.Term <= w.term {
		w.t.Fatalf("term %d follows %d", k.Term, w.term)
	}
	w.grants++
	w.holder, w.term, w.judgedIn, w.fenceIn = k.Session, k.Term, 0, 0
	w.blocked, w.fencing, w.heard = k.Blocked != "", false, w.now
	w.safe = w.now + k.Times.Silence()
	w.leases.Granted("P", k, w.clock())
}
