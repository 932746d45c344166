package lockserver

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// A simNode is a host that takes locks, holds them for a while, and gives them back or crashes.
type simNode struct {
	sim    *sim
	name   string
	clock  *simClock
	client *lockclient.Client
	second *lockclient.Client // of processes that stand still now and then; nil but for scripts
	temp   string             // where it keeps what it knows of locks
	dir    string
	times  map[string]lock.Times // by lock
	pace   time.Duration
	single bool // takes them as dex-lock does

	mu     sync.Mutex
	rng    *rand.Rand
	paused bool
	crash  context.CancelFunc
	was    []request           // that it sent: to be sent again
	left   map[string]*holding // what runs under no manager any more, since that crashed
	dying  []chan struct{}     // closed when it is powered off
}

// A request is one that was sent.
type request struct {
	path string
	body any
}

func (s *sim) newNode(i int) *simNode {
	name := fmt.Sprintf("n%d", i+1)
	n := &simNode{
		sim: s, name: name, clock: s.newClock(), times: map[string]lock.Times{}, left: map[string]*holding{}, rng: rand.New(rand.NewPCG(s.seed, uint64(i+1))),
		dir: filepath.Join(s.c.dir, name), single: i > 0 && (s.rng.IntN(5) == 0 || s.scripts),
	}
	n.temp = n.dir
	if i > 0 && !n.single { // its disk is broken, and nothing may depend on that: and it is much cheaper
		n.temp = "/dev/null/" + name
	}
	tls, err := s.c.key.Client(name, protoHTTP)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := lockclient.Config{TLS: tls, Clock: n.clock, Log: slog.New(slog.DiscardHandler), Dial: s.c.net.On(name).Dial, Off: s.offClient}
	for _, entry := range s.entries {
		cfg.Servers = append(cfg.Servers, lockclient.Server{Entry: entry, Addr: entry})
	}
	n.client = lockclient.NewClient(cfg)
	if n.single {
		cfg.Dial = n.dialSlowly
		n.second = lockclient.NewClient(cfg)
	}
	for _, l := range []int{i, i + 1 + s.rng.IntN(len(s.locks))} {
		n.times[s.locks[l%len(s.locks)]] = someTimes(s.rng)
	}
	n.pace = 5 * time.Second
	if s.hasty || s.rng.IntN(10) == 0 {
		n.pace = time.Second / 2
	}
	return n
}

// someTimes are times for a lock: an hour is to have many hand-overs.
func someTimes(rng *rand.Rand) lock.Times {
	timeouts := []time.Duration{8, 10, 10, 12, 20}
	stops := []time.Duration{0, 2, 5, 5, 10}
	return lock.Times{Timeout: timeouts[rng.IntN(5)] * time.Second, Stop: stops[rng.IntN(5)] * time.Second}
}

// draw is a random duration between from and to.
func (n *simNode) draw(from, to time.Duration) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return from + time.Duration(n.rng.Int64N(int64(to-from)))
}

// think is how long it is until the node wants a lock again: longer in quiet times.
func (n *simNode) think() time.Duration {
	if n.sim.quiet.Load() {
		return n.draw(30*time.Second, 12*time.Minute)
	}
	return n.draw(time.Second, 25*time.Second)
}

func (n *simNode) setPaused(paused bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused = paused
}

func (n *simNode) isPaused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused
}

// live lives, with a new session after each crash, until ctx ends.
func (n *simNode) live(ctx context.Context) {
	defer n.client.Close()
	if n.second != nil {
		defer n.second.Close()
	}
	for ctx.Err() == nil {
		life, crash := context.WithCancel(ctx)
		n.mu.Lock()
		n.crash = crash
		n.mu.Unlock()
		session := lockclient.NewSession(n.client, n.name, lockclient.NewFiles(n.temp))
		var wg sync.WaitGroup
		if !n.single {
			wg.Go(func() { session.Run(life) })
		}
		for name := range n.times {
			wg.Go(func() {
				n.adopt(life, session, name)
				for life.Err() == nil {
					n.rest(life, n.think())
					if n.single { // what it holds is kept in a file: a crash is nothing to it
						n.asScript(ctx, name)
					} else {
						n.asManager(life, session, name)
					}
				}
			})
		}
		wg.Wait()
		crash()
		n.powerOff()
	}
}

func (n *simNode) rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// asManager takes a lock, holds it, and gives it back, as back-to-work does.
func (n *simNode) asManager(ctx context.Context, session *lockclient.Session, name string) {
	times := n.times[name]
	patience, cancel := context.WithTimeout(ctx, n.draw(2*time.Second, 3*time.Minute))
	defer cancel()
	w := lockclient.Wish{Name: name, Times: times, Pace: n.pace}
	if n.sim.fencers {
		w.FenceLimit, w.Fence = simFenceLimit, func(ctx context.Context, node string) error { return n.fence(ctx, name, node) }
	}
	called := time.Now()
	n.sim.wait(name, n.name, true)
	h, err := session.Acquire(patience, w)
	n.sim.wait(name, n.name, false)
	if err != nil {
		return
	}
	o := &holding{
		lock: name, node: n.name, session: session.Owner.Session, term: h.Term, called: called, got: time.Now(),
		ends: h.Ends, on: n.clock, long: times.Timeout, lives: times, previous: h.Previous, unfenced: h.Unfenced(),
	}
	n.sim.hold(o)
	n.asked("/v1/acquire", api.AcquireRequest{Name: name, Owner: session.Owner, Times: times})
	n.has(ctx, h, o)
}

// has is what becomes of a lock that was had or adopted.
func (n *simNode) has(ctx context.Context, h *lockclient.Held, o *holding) {
	n.asked("/v1/renew", api.RenewRequest{Session: o.session, Locks: []api.Renewal{{Name: o.lock, Term: o.term}}})
	if n.draw(0, 3) == 0 { // else its start fails
		n.settle(ctx, h, o)
	}
	n.keep(ctx, h, o)
	if n.blocks(ctx, h, o) {
		return
	}
	if ctx.Err() == nil && !isLost(h) {
		n.sim.set(o, "gives it back", func() { o.gaveUp = time.Now() })
		n.asked("/v1/release", o.releaseRequest())
	}
	for ctx.Err() == nil && !isLost(h) {
		release, cancel := context.WithTimeout(ctx, n.draw(time.Second, 20*time.Second))
		err := h.Release(release)
		cancel()
		if err == nil {
			n.sim.set(o, "is free of it", func() { o.freed = time.Now() })
			return
		}
		h.Turn()
	}
	n.untilKillEnd(ctx, o)
}

// keep turns the holder's loop until it has had the lock for long enough, or lost it.
func (n *simNode) keep(ctx context.Context, h *lockclient.Held, o *holding) {
	stop := time.After(n.draw(2*time.Second, time.Minute))
	change := time.After(n.draw(time.Second, 4*time.Minute))
	for {
		if !n.isPaused() {
			h.Turn()
		}
		select {
		case <-time.After(time.Second):
		case <-stop:
			return
		case <-change:
			n.change(ctx, h, o)
		case <-h.Lost():
			return
		case <-ctx.Done():
			return
		}
	}
}

// change lives by other times from now on.
func (n *simNode) change(ctx context.Context, h *lockclient.Held, o *holding) {
	n.mu.Lock()
	times, before := someTimes(n.rng), o.long
	n.mu.Unlock()
	n.sim.set(o, "changes its times to "+fmt.Sprint(times), func() {
		o.long = max(o.long, times.Timeout)
		o.lives = lock.Times{Timeout: min(o.lives.Timeout, times.Timeout), Stop: min(o.lives.Stop, times.Stop)}
		if k := n.sim.table[o.lock]; k.Term == o.term {
			n.asked("/v1/change", api.ChangeRequest{ReleaseRequest: o.releaseRequest(), Seq: k.Seq, Times: times})
		}
	})
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := h.Change(limited, times)
	n.sim.set(o, fmt.Sprint("changed: ", err), func() {
		if err == nil {
			o.long, o.lives = times.Timeout, times
		} else {
			o.long = max(before, times.Timeout)
		}
	})
}

// asked keeps a request that may come again.
func (n *simNode) asked(path string, body any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.was = append(n.was, request{path, body})
}

func (o *holding) releaseRequest() api.ReleaseRequest {
	return api.ReleaseRequest{Name: o.lock, Term: o.term, Session: o.session}
}

// untilKillEnd waits, after a loss, until the holder has stopped: only then it asks again.
func (n *simNode) untilKillEnd(ctx context.Context, o *holding) {
	var kill time.Time
	n.sim.set(o, "has lost it", func() {
		o.update()
		kill = o.kill
		if ctx.Err() == nil {
			o.lost = time.Now()
		} else if o.gaveUp.IsZero() { // its manager is dead, and it runs on
			n.leave(o)
		}
	})
	n.rest(ctx, time.Until(kill))
}
