package lockserver

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backtowork/internal/lockclient"
	"backtowork/internal/lockserver/store"
	"backtowork/internal/sim/virtual"
)

// forEver is the slowness of a disk that does not answer any more.
const forEver = time.Hour

// A slowDisk is the disk of one server of a testCluster. The server's process ends with the first
// call of the store that takes too long: from then on nobody hears of it.
type slowDisk struct {
	c     *testCluster
	entry string
	slow  atomic.Int64  // how long each call of the store takes
	died  chan struct{} // closed when the process has ended
	freed chan struct{} // closed to end what hangs
}

// slowDisks restarts every server of c, each on a disk that the test can slow down.
func slowDisks(c *testCluster) map[string]*slowDisk {
	c.t.Helper()
	disks := map[string]*slowDisk{}
	for _, entry := range c.list {
		disks[entry] = &slowDisk{c: c, entry: entry}
		c.stop(entry)
		disks[entry].start()
	}
	c.leader()
	return disks
}

// start starts the disk's server.
func (d *slowDisk) start() {
	d.c.t.Helper()
	d.died, d.freed = make(chan struct{}), make(chan struct{})
	died, s := d.died, &testServer{done: make(chan error, 1)}
	cfg := d.c.config(d.entry, s)
	cfg.Fatal = func(err error) {
		d.c.net.Isolate(d.entry, append(d.c.others(d.entry), "x", "y", "z"), true)
		d.c.net.Crash(d.entry)
		close(died)
		s.fatal(err)
	}
	server, err := Open(cfg)
	if err != nil {
		d.c.t.Fatal(err)
	}
	server.self.store.Stall = d.stall
	ctx, cancel := context.WithCancel(context.Background())
	s.Server, s.cancel = server, cancel
	d.c.hosts[d.entry] = s
	go func() { s.done <- server.Run(ctx) }()
}

// stall is what a call of the store waits for.
func (d *slowDisk) stall() {
	for begin := time.Now(); time.Since(begin) < time.Duration(d.slow.Load()); {
		select {
		case <-time.After(10 * time.Millisecond): // it may have become faster
		case <-d.freed:
			runtime.Goexit() // with its process
		}
	}
}

func (d *slowDisk) set(slow time.Duration) { d.slow.Store(int64(slow)) }

func (d *slowDisk) dead() bool {
	select {
	case <-d.died:
		return true
	default:
		return false
	}
}

// again starts the server once more, if its process has ended.
func (d *slowDisk) again() {
	if d.bury() {
		d.start()
	}
}

// bury takes away what is left of a process that has ended.
func (d *slowDisk) bury() bool {
	if !d.dead() {
		return false
	}
	close(d.freed)
	d.c.hosts[d.entry].crashes.Store(true)
	d.c.stop(d.entry)
	d.c.net.Isolate(d.entry, append(d.c.others(d.entry), "x", "y", "z"), false)
	return true
}

// A tenure is a time in which a node may run the package.
type tenure struct {
	node       string
	begin, end time.Time
}

// A tussle is two nodes, x and y, that want one lock, and a third, z, that has changes logged all
// the time.
type tussle struct {
	c       *testCluster
	mu      sync.Mutex
	tenures []tenure
	lost    int
	changes atomic.Int64 // what z had logged
	ended   sync.WaitGroup
	stop    context.CancelFunc
}

func newTussle(c *testCluster) *tussle {
	ctx, stop := context.WithCancel(context.Background())
	u := &tussle{c: c, stop: stop}
	for _, node := range []string{"x", "y"} {
		s := c.session(node)
		u.ended.Go(func() { u.compete(ctx, node, s); s.stop() })
	}
	z := c.session("z")
	u.ended.Go(func() {
		for ctx.Err() == nil {
			if h, err := z.Acquire(ctx, wish("w")); err == nil && h.Release(ctx) == nil {
				u.changes.Add(2)
			}
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		z.stop()
	})
	c.eventually(20*time.Second, "somebody has the lock", func() bool { return u.count() > 0 })
	return u
}

func (u *tussle) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.tenures)
}

// losses is how often the lock was lost.
func (u *tussle) losses() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lost
}

// compete takes the lock again and again, and notes when the node may run the package: from when
// it has the lock to the kill end.
func (u *tussle) compete(ctx context.Context, node string, s *holder) {
	for {
		h, err := s.Acquire(ctx, wish("p"))
		if err != nil {
			return
		}
		u.mu.Lock()
		n := len(u.tenures)
		u.tenures = append(u.tenures, tenure{node, time.Now(), time.Time{}})
		u.mu.Unlock()
		if !u.hold(ctx, h, n, s.client) {
			return
		}
	}
}

func (u *tussle) hold(ctx context.Context, h *lockclient.Held, n int, c *lockclient.Client) (again bool) {
	defer keep(h)()
	var end time.Time
	select {
	case <-h.Lost():
		_, kill := h.Ends()
		end = time.Now().Add(kill.Left(c.Clock.Now()))
	case <-ctx.Done():
		end = time.Now()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tenures[n].end = end
	if ctx.Err() == nil {
		u.lost++
	}
	return ctx.Err() == nil
}

// end ends it all, and fails the test if two nodes might have run the package at once.
func (u *tussle) end() {
	u.c.t.Helper()
	u.stop()
	u.ended.Wait()
	slices.SortFunc(u.tenures, func(a, b tenure) int { return a.begin.Compare(b.begin) })
	for i := 1; i < len(u.tenures); i++ {
		if a, b := u.tenures[i-1], u.tenures[i]; a.node != b.node && b.begin.Before(a.end) {
			u.c.t.Errorf("%s has the lock %v before the kill end of %s", b.node, a.end.Sub(b.begin), a.node)
		}
	}
}

// wantLine wants that the server has ended, once, with one line about its disk.
func (d *slowDisk) wantLine() {
	d.c.t.Helper()
	died := d.c.hosts[d.entry].died()
	if len(died) != 1 || !strings.HasSuffix(died[0].Error(), "the disk has not answered for 2s") || strings.Contains(died[0].Error(), "\n") {
		d.c.t.Errorf("%s ended with %q, want one line about its disk", d.entry, died)
	}
}

// One slow disk, the leader's or a follower's, is noticed by nobody who holds a lock. One that
// does not answer ends its server, and that is not noticed either.
func TestDiskOfMinority(t *testing.T) {
	t.Parallel()
	for _, leads := range []bool{false, true} {
		for _, slow := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, forEver} {
			t.Run(fmt.Sprintf("leader=%v/%v", leads, slow), func(t *testing.T) {
				t.Parallel()
				inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
					disks := slowDisks(c)
					u := newTussle(c)
					defer u.end()
					time.Sleep(10 * time.Second)
					victim := c.leader()
					if !leads {
						victim = c.others(victim)[0]
					}
					d, before := disks[victim], u.changes.Load()
					d.set(slow)
					time.Sleep(time.Minute)
					if u.losses() > 0 || u.count() > 1 {
						t.Errorf("the holder noticed: %d losses, %d holders", u.losses(), u.count())
					}
					if slow < store.Limit {
						if d.dead() {
							t.Errorf("a disk with calls of %v ended its server: %v", slow, c.hosts[victim].died())
						}
					} else {
						d.wantLine()
					}
					t.Logf("%d changes in a minute", u.changes.Load()-before)
					if got := u.changes.Load() - before; got < 10 {
						t.Errorf("%d changes in a minute, want 10 at least", got)
					}
					d.set(0)
					d.again()
					last := func() uint64 { return c.hosts[c.leader()].status().Last }
					c.eventually(30*time.Second, victim+" has caught up", func() bool { return c.hosts[victim].status().Applied+5 >= last() })
					if u.losses() > 0 {
						t.Error("the holder noticed that the disk is well again")
					}
				})
			})
		}
	}
}

// With slow disks on a majority a lock is kept, or lost in time and had by nobody else too early.
// When the disks are well again, all is.
func TestDiskOfMajority(t *testing.T) {
	t.Parallel()
	for _, leads := range []bool{false, true} {
		for _, slow := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, forEver} {
			t.Run(fmt.Sprintf("leader=%v/%v", leads, slow), func(t *testing.T) {
				t.Parallel()
				inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
					disks := slowDisks(c)
					u := newTussle(c)
					defer u.end()
					time.Sleep(10 * time.Second)
					leader := c.leader()
					victims := c.others(leader)
					if leads {
						victims = []string{leader, victims[0]}
					}
					before := u.changes.Load()
					for _, victim := range victims {
						disks[victim].set(slow)
					}
					time.Sleep(time.Minute)
					t.Logf("%d changes, %d losses, %d holders in a minute", u.changes.Load()-before, u.losses(), u.count())
					for _, victim := range victims {
						d := disks[victim]
						if slow < store.Limit && d.dead() {
							t.Errorf("a disk with calls of %v ended its server: %v", slow, c.hosts[victim].died())
						}
						d.set(0)
						d.again()
					}
					holders, before := u.count(), u.changes.Load()
					lost := u.losses()
					c.eventually(30*time.Second, "somebody has the lock, and changes are logged", func() bool {
						return u.count() > u.losses() && u.changes.Load() > before+4
					})
					time.Sleep(time.Minute)
					if u.losses() > lost || u.count() > holders+1 {
						t.Errorf("a minute after: %d losses more, %d holders, were %d", u.losses()-lost, u.count(), holders)
					}
				})
			})
		}
	}
}

// The server's identity is written while all requests wait: a disk that hangs then ends the process too.
func TestIdentityOnHungDisk(t *testing.T) {
	for name, write := range map[string]func(*Server){"outrun": (*Server).outrun, "settle": (*Server).settle} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			virtual.Test(t, func(t *testing.T) {
				var why error
				begin, took := time.Now(), time.Duration(0)
				fatal := func(err error) {
					if why == nil {
						why, took = err, time.Since(begin)
					}
				}
				db, err := store.Open(filepath.Join(dir, "raft.db"), fatal)
				if err != nil {
					t.Fatal(err)
				}
				db.Stall = func() { time.Sleep(time.Minute) }
				me := newSelf(Config{Dir: dir, Fatal: fatal})
				me.store, me.Forced = db, true
				write(&Server{Config: me.cfg, self: me, over: make(chan error, 1)})
				if why == nil || took != store.Limit {
					t.Errorf("after %v: %v", took, why)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
