package lockserver

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// fenceRequest asks that by may power off the node of x, which holds h.
func fenceRequest(x *holder, h *lockclient.Held, by lock.Owner, limit time.Duration) api.FenceRequest {
	return api.FenceRequest{
		ReleaseRequest: api.ReleaseRequest{Name: "p", Term: h.Term, Session: x.Owner.Session}, By: by, Limit: limit.Milliseconds(),
	}
}

var standBys = []lock.Owner{{Node: "y", Session: "stand-by y"}, {Node: "z", Session: "stand-by z"}}

// Rule 19. A node that reaches only a minority gets no permission to fence: the other servers may hear the holder.
func TestRule19Minority(t *testing.T) {
	withAndWithout(t, Off{Fence: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			leader := c.leader()
			others := c.others(leader)
			x, y := c.session("x", others...), c.session("y", leader)
			defer x.stop()
			defer y.stop()
			h := mustAcquire(t, x, wish("p"))
			defer keep(h)()
			time.Sleep(5 * time.Second)
			c.net.Isolate(leader, append(c.others(leader), "x"), true)
			b := &switchboard{}
			go func() {
				if _, err := y.Acquire(t.Context(), fencing(b)); err == nil {
					t.Error("a stand-by in the minority has the lock")
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			q := fenceRequest(x, h, standBys[0], 10*time.Second)
			for ctx.Err() == nil && harm == "" {
				s := c.hosts[leader]
				if a, err := s.fence(ctx, s.Clock.Now(), q); err == nil && a.Granted {
					harm = "a minority gave leave to power off a holder that renews"
				}
				time.Sleep(250 * time.Millisecond)
			}
			if len(b.called()) > 0 {
				harm = "a stand-by in the minority fenced"
			}
			if isLost(h) {
				t.Error("the holder lost its lock")
			}
			c.net.Isolate(leader, append(c.others(leader), "x"), false)
		})
		return harm
	})
}

// Rule 19. Of two stand-bys that ask at once one fences; and nobody who was heard less than T ago is.
func TestRule19OneFences(t *testing.T) {
	withAndWithout(t, Off{Fence: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x := c.session("x")
			defer x.stop()
			h, _ := c.cutHolder(x, slowStop)
			leader := c.leader()
			var mu sync.Mutex
			leave := 0
			ask := func(by lock.Owner) {
				var a api.FenceAnswer
				if err := c.post(leader, "/v1/fence", fenceRequest(x, h, by, time.Minute), &a); err == nil && a.Granted {
					mu.Lock()
					leave++
					mu.Unlock()
				}
			}
			if ask(standBys[0]); leave > 0 {
				harm = "a holder was to be fenced that was heard less than T ago"
			}
			time.Sleep(slowStop.Timeout)
			var wg sync.WaitGroup
			c.slowly(10 * time.Millisecond)
			for range 3 {
				for _, by := range standBys {
					wg.Go(func() { ask(by) })
				}
			}
			wg.Wait()
			if leave != 1 {
				if harm += " two fence at once"; switched == (Off{}) {
					t.Errorf("%d were given leave, want one", leave)
				}
			}
		})
		return harm
	})
}

// Rule 19. A success that comes when the fenced node has the lock lawfully again, here in a later
// term, counts for nothing.
func TestRule19LateSuccess(t *testing.T) {
	withAndWithout(t, Off{Conditions: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			h, _ := c.cutHolder(x, testTimes)
			c.eventually(15*time.Second, "it may be fenced", func() bool {
				var a api.FenceAnswer
				err := c.post(c.leader(), "/v1/fence", fenceRequest(x, h, standBys[0], 30*time.Second), &a)
				return err == nil && a.Granted
			})
			c.net.Isolate("x", append(c.others(""), "y", "z"), false)
			begin := time.Now()
			again := mustAcquire(t, x, wish("p"))
			if took := time.Since(begin); took < 25*time.Second {
				harm = "the fenced session had its lock again while it was fenced"
			}
			defer keep(again)()
			q := api.FencedRequest{ReleaseRequest: fenceRequest(x, h, standBys[0], 0).ReleaseRequest, By: standBys[0].Session, OK: true}
			if err := c.post(c.leader(), "/v1/fenced", q, new(any)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := y.Acquire(ctx, wish("p")); err == nil {
				harm = "a late success opened the lock of a later term"
			}
		})
		return harm
	})
}

// Rule 19. Until the result of a fencing or its limit, here of a minute, nobody gets the lock; and a
// success is none when the limit has passed.
func TestRule19UntilTheLimit(t *testing.T) {
	withAndWithout(t, Off{Fencing: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			h, _ := c.cutHolder(x, slowStop)
			var granted time.Time
			c.eventually(15*time.Second, "it may be fenced", func() bool {
				var a api.FenceAnswer
				err := c.post(c.leader(), "/v1/fence", fenceRequest(x, h, standBys[0], 5*time.Minute), &a)
				granted = time.Now()
				return err == nil && a.Granted
			})
			var a api.RenewAnswer
			renew := api.RenewRequest{Session: x.Owner.Session, Locks: []api.Renewal{{Name: "p", Term: h.Term}}}
			if err := c.post(c.leader(), "/v1/renew", renew, &a); err != nil || a.Refused[0] != lock.ErrEnded.Error() {
				t.Errorf("who is fenced is told %q, %v", a.Refused, err)
			}
			w := fencing(&switchboard{})
			w.Fence = nil
			second := mustAcquire(t, y, w)
			if after := time.Since(granted); after < 5*time.Minute {
				harm = "the lock was given away while its holder was fenced"
			} else if after > 5*time.Minute+5*time.Second {
				t.Errorf("had %v after a fencing of 5 minutes began", after)
			}
			if second.Term != h.Term+1 {
				t.Errorf("had in term %d", second.Term)
			}
		})
		return harm
	})
}

// A success that is reported when the limit has passed opens nothing.
func TestRule19SuccessAfterTheLimit(t *testing.T) {
	withAndWithout(t, Off{Fencing: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			h, _ := c.cutHolder(x, slowStop)
			c.eventually(15*time.Second, "it may be fenced", func() bool {
				var a api.FenceAnswer
				err := c.post(c.leader(), "/v1/fence", fenceRequest(x, h, standBys[0], 10*time.Second), &a)
				return err == nil && a.Granted
			})
			time.Sleep(11 * time.Second)
			q := api.FencedRequest{ReleaseRequest: fenceRequest(x, h, standBys[0], 0).ReleaseRequest, By: standBys[0].Session, OK: true}
			if err := c.post(c.leader(), "/v1/fenced", q, new(any)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := y.Acquire(ctx, wish("p")); err == nil {
				harm = "a success after the limit opened the lock"
			}
		})
		return harm
	})
}

// Rule 19. Where fencing is required, silence alone never opens the lock.
func TestRule19Required(t *testing.T) {
	withAndWithout(t, Off{Fencing: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			c.cutHolder(x, testTimes)
			b := &switchboard{err: errors.New("no answer from the power switch")}
			w := fencing(b)
			w.FenceRequired = true
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if _, err := y.Acquire(ctx, w); err == nil {
				harm = "a lock was had though its holder was not fenced"
				return
			}
			if n := len(b.called()); n < 5 || n > 11 {
				t.Errorf("fenced %d times in ten minutes", n)
			}
			b.mu.Lock()
			b.err = nil
			b.mu.Unlock()
			h := mustAcquire(t, y, w)
			if err := h.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.Fence = nil
			disk := memoryDir(t)
			z := c.sessionOf("z", c.client("z"), disk)
			held := mustAcquire(t, z, w) // a free lock needs no fencing
			time.Sleep(time.Second)      // the term is on its disk
			z.stop()
			booted := c.sessionOf("z", c.client("z"), disk) // nobody else can have it, and it needs no fencing of itself
			defer booted.stop()
			if again := mustAcquire(t, booted, w); again.Term <= held.Term {
				t.Errorf("the node has its lock in term %d again, after %d", again.Term, held.Term)
			}
		})
		return harm
	})
}

// Rule 19. Where fencing is required, a host that has the silent holder's name is not taken for it because of
// the name alone: two hosts may have one name by mistake. It is, if its own disk knows the lock's last term.
func TestRule19RequiredTwins(t *testing.T) {
	withAndWithout(t, Off{Fencing: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			disk := memoryDir(t)
			x := c.sessionOf("x", c.client("x"), disk)
			defer x.stop()
			client := c.client("y")
			client.Host = "another host"
			twin := c.sessionOf("x", client, memoryDir(t))
			defer twin.stop()
			h, _ := c.cutHolder(x, testTimes)
			w := fencing(&switchboard{err: errors.New("no answer from the power switch")})
			w.FenceRequired, w.StandBy = true, true
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if _, err := twin.Acquire(ctx, w); err == nil {
				harm = "another host of that name had the lock, and the holder was not fenced"
				return
			}
			twin.stop()
			c.net.Isolate("x", three, false)
			client = c.client("x")
			client.Host = "x, booted again"
			booted := c.sessionOf("x", client, disk)
			defer booted.stop()
			if again := mustAcquire(t, booted, w); again.Term <= h.Term {
				t.Errorf("the node has its lock in term %d again, after %d", again.Term, h.Term)
			}
		})
		return harm
	})
}
