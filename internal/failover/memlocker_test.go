package failover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A history is what happened, each line with the seconds since the test began.
type history struct {
	mu    sync.Mutex
	begin time.Time
	lines []string
}

func (j *history) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := strconv.FormatFloat(time.Since(j.begin).Seconds(), 'f', -1, 64)
	j.lines = append(j.lines, s+" "+fmt.Sprintf(format, args...))
}

// with is the lines that have one of words in them; all lines if there are no words.
func (j *history) with(words ...string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var some []string
	for _, line := range j.lines {
		keep := len(words) == 0
		for _, w := range words {
			keep = keep || strings.Contains(line, w)
		}
		if keep {
			some = append(some, line)
		}
	}
	return some
}

// memServers is lock servers that never fail and take no time, for one lock.
type memServers struct {
	mu       sync.Mutex
	holder   *memLocker // a session; nil while the lock is free
	term     uint64
	node     string // that has it or had it last
	prev     string
	unfenced []string // told to whoever gets it
	times    lock.Times
	last     time.Time // of the holder's last request
	changed  chan struct{}
}

func newServers() *memServers { return &memServers{changed: make(chan struct{})} }

// wake tells who waits. The caller holds s.mu.
func (s *memServers) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// acquire gives l the lock, or says how long to wait, and what may end that.
func (s *memServers) acquire(l *memLocker, times lock.Times) (k *memLock, wait time.Duration, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == l { // it was not released, or an earlier answer was lost: the times are those of then
		s.last = time.Now()
		times = lock.Times{Timeout: min(times.Timeout, s.times.Timeout), Stop: min(times.Stop, s.times.Stop)}
		return &memLock{term: s.term, previous: s.prev, times: times}, 0, nil
	}
	if left := s.times.Silence() - time.Since(s.last); s.holder != nil && left > 0 {
		return nil, left, s.changed
	}
	s.prev, s.node = s.node, l.node
	s.holder, s.times, s.last = l, times, time.Now()
	s.term++
	return &memLock{term: s.term, previous: s.prev, times: times}, 0, nil
}

// ask does f if l still holds the lock in that term.
func (s *memServers) ask(l *memLocker, term uint64, f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != l || s.term != term {
		return false
	}
	f()
	return true
}

// memLocker is the Locker of one node.
type memLocker struct {
	*history
	node    string
	servers *memServers
	clock   lease.Clock
	takes   time.Duration // from asking for the lock to the answer
	lateBy  time.Duration // how late the end of a lease is noticed

	mu   sync.Mutex
	cut  bool
	lock *memLock // the last one
}

func (l *memLocker) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *memLocker) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// Acquire waits for the lock. A request that is on its way is not broken off by ctx.
func (l *memLocker) Acquire(ctx context.Context, _ string, times lock.Times, pace, delay time.Duration) (Lock, error) {
	l.add("seeks (T=%v S=%v pace=%v delay=%v)", times.Timeout, times.Stop, pace, delay)
	for {
		sent := l.clock.Now()
		sleep(context.Background(), l.takes)
		wait, changed := time.Second, (<-chan struct{})(nil)
		if !l.isCut() {
			var k *memLock
			if k, wait, changed = l.servers.acquire(l, times); k != nil {
				return l.hold(k, pace, sent), nil
			}
		}
		select {
		case <-time.After(wait):
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (l *memLocker) hold(k *memLock, pace time.Duration, sent lease.Time) *memLock {
	k.unfenced = l.servers.unfenced
	k.locker, k.pace, k.sent, k.turned, k.lost = l, pace, sent, true, make(chan struct{})
	k.lastTurn = time.Now()
	l.mu.Lock()
	l.lock = k
	l.mu.Unlock()
	k.watch()
	k.renewLater()
	return k
}

// memLock is a lock that a node holds.
type memLock struct {
	locker   *memLocker
	term     uint64
	previous string
	unfenced []string
	pace     time.Duration
	lost     chan struct{}

	mu       sync.Mutex
	times    lock.Times
	sent     lease.Time
	over     bool
	turned   bool
	lastTurn time.Time
	longest  time.Duration // between two turns
}

func (k *memLock) Terms() (uint64, string) { return k.term, k.previous }
func (k *memLock) Lost() <-chan struct{}   { return k.lost }
func (k *memLock) Unfenced() []string      { return k.unfenced }

// Settled notes that the package has begun.
func (k *memLock) Settled(context.Context) error {
	if len(k.unfenced) == 0 {
		return nil
	}
	k.locker.add("settled in term %d", k.term)
	return nil
}

func (k *memLock) Ends() (end, kill lease.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	end = k.sent.Add(k.times.Timeout)
	return end, end.Add(k.times.Stop)
}

func (k *memLock) Turn(PkgState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turned = true
	k.longest = max(k.longest, time.Since(k.lastTurn))
	k.lastTurn = time.Now()
}

func (k *memLock) longestTurn() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.longest
}

// watch loses the lock at the lease's end.
func (k *memLock) watch() {
	end, _ := k.Ends()
	lease.At(k.locker.clock, end.Add(k.locker.lateBy), func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.over {
			return
		}
		if k.sent.Add(k.times.Timeout+k.locker.lateBy).Left(k.locker.clock.Now()) > 0 {
			go k.watch()
			return
		}
		k.lose()
	})
}

// lose says that the lock is lost. The caller holds k.mu.
func (k *memLock) lose() {
	k.over = true
	close(k.lost)
}

func (k *memLock) renewLater() {
	time.AfterFunc(k.times.RenewEvery(k.pace), func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.over {
			return
		}
		if k.turned && !k.locker.isCut() {
			k.turned = false
			s := k.locker.servers
			if s.ask(k.locker, k.term, func() { s.last = time.Now() }) {
				k.sent = k.locker.clock.Now()
			} else {
				k.lose()
				return
			}
		}
		k.renewLater()
	})
}

// Block has the lock kept for its holder.
func (k *memLock) Block(_ context.Context, reason string) error {
	k.locker.add("blocked: %s", reason)
	return nil
}

// Done says that nothing of the package is left.
func (k *memLock) Done() {}

// Resume is the last lock of this node, in the next term, if it is its own yet.
func (l *memLocker) Resume(_ context.Context, _ string, pace time.Duration) Lock {
	l.mu.Lock()
	former := l.lock
	l.mu.Unlock()
	former.mu.Lock()
	former.over = true
	times, sent := former.times, former.sent
	former.mu.Unlock()
	k := &memLock{previous: former.previous, times: times}
	for sent.Add(times.Timeout).Left(l.clock.Now()) > 0 {
		asked := l.clock.Now()
		s := l.servers
		if !l.isCut() && s.ask(l, former.term, func() { s.term++; s.last = time.Now(); k.term = s.term }) {
			l.add("resumed in term %d", k.term)
			return l.hold(k, pace, asked)
		}
		sleep(context.Background(), 250*time.Millisecond)
	}
	k.locker, k.sent, k.lost, k.over = l, sent, make(chan struct{}), true
	close(k.lost)
	return k
}

var errNoServers = errors.New("no lock server answers")

func (k *memLock) Change(_ context.Context, times lock.Times) error {
	k.locker.add("change to T=%v S=%v", times.Timeout, times.Stop)
	s := k.locker.servers
	if k.locker.isCut() || !s.ask(k.locker, k.term, func() { s.times = times }) {
		return errNoServers
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.times = times
	return nil
}

// Release gives the lock back, once the servers answer.
func (k *memLock) Release(ctx context.Context) error {
	sleep(context.Background(), k.locker.takes)
	for k.locker.isCut() {
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	s := k.locker.servers
	did := s.ask(k.locker, k.term, func() { s.holder = nil; s.wake() })
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	k.locker.add("released: %v", did)
	return nil
}
