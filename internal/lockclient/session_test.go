package lockclient

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/sim/virtual"
)

// deaf is a client whose server is down, and counts what it is asked.
func deaf(asked *atomic.Int32) *Client {
	return NewClient(Config{
		Servers: []Server{{"a", "a"}}, Clock: lease.Scaled(1), Log: slog.New(slog.DiscardHandler), Host: "x",
		Dial: func(context.Context, string) (net.Conn, error) {
			asked.Add(1)
			return nil, errors.New("connection refused")
		},
	})
}

// A lock is renewed only if the loop of its holder has turned since it was renewed last.
func TestRenewsWhatTurns(t *testing.T) {
	dir := t.TempDir()
	virtual.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		c := deaf(&asked)
		defer c.Close()
		s := NewSession(c, "x", NewFiles(dir))
		w := Wish{Name: "p", Times: lock.Times{Timeout: time.Hour}, Pace: time.Second}
		h := s.hold(w, lock.Lock{Term: 1}, c.Clock.Now())
		defer h.released()
		renews := func() bool {
			before := asked.Load()
			s.renewDue(t.Context())
			return asked.Load() > before
		}
		time.Sleep(w.Pace / 2)
		if renews() {
			t.Error("the lock is renewed before it is due")
		}
		time.Sleep(w.Pace)
		if !renews() {
			t.Error("a lock that is due is not renewed")
		}
		if !renews() {
			t.Error("what the servers did not answer is not asked again")
		}
		h.takeTurn() // as if they had answered
		if renews() {
			t.Error("the lock is renewed though the holder's loop has not turned")
		}
		h.Turn()
		if !renews() {
			t.Error("the loop has turned, and the lock is not renewed")
		}
		if err := s.files.Sync(); err != nil {
			t.Error(err)
		}
	})
}

// holds runs test on a lock that was had just now, with a timeout of 9 s and a stop timeout of 6 s.
func holds(t *testing.T, test func(t *testing.T, c *Client, h *Held)) {
	t.Helper()
	dir := t.TempDir()
	virtual.Test(t, func(t *testing.T) {
		c := deaf(new(atomic.Int32))
		defer c.Close()
		s := NewSession(c, "x", NewFiles(dir))
		h := s.hold(Wish{Name: "p", Times: lock.Times{Timeout: 9 * time.Second, Stop: 6 * time.Second}, Pace: time.Minute}, lock.Lock{Term: 1}, c.Clock.Now())
		test(t, c, h)
		h.released()
		if err := s.files.Sync(); err != nil {
			t.Error(err)
		}
	})
}

// An answer that comes after the end of the lease changes nothing, also where it is seen before the end is.
func TestAnswerAfterTheEnd(t *testing.T) {
	holds(t, func(t *testing.T, c *Client, h *Held) {
		h.stopLook() // who looks at the end is late
		time.Sleep(8 * time.Second)
		sent := c.Clock.Now()
		time.Sleep(time.Second)
		h.renewed(sent, "")
		select {
		case <-h.Lost():
		default:
			t.Error("an answer after the end of the lease renewed it")
		}
	})
}

// A lock is renewed every third of its timeout where its pace is longer.
func TestDueByTheTimeout(t *testing.T) {
	holds(t, func(t *testing.T, c *Client, h *Held) {
		if due := h.dueIn(c.Clock.Now()); due != 3*time.Second {
			t.Errorf("the next renewal is due in %v", due)
		}
	})
}

// A shorter stop timeout binds at once, whatever the servers say (rule 20).
func TestShortenStop(t *testing.T) {
	holds(t, func(t *testing.T, c *Client, h *Held) {
		if err := h.Shorten(t.Context(), lock.Times{Timeout: time.Minute, Stop: 2 * time.Second}); err != nil {
			t.Error(err)
		}
		end, kill := h.Ends()
		if now := c.Clock.Now(); end.Left(now) != 9*time.Second || kill.Left(now) != 11*time.Second {
			t.Errorf("the lease ends in %v, the kill end is in %v", end.Left(now), kill.Left(now))
		}
	})
}

// Shorter times that no server hears of before the caller gives up, or before the lock is lost, move nothing: the
// package is being stopped by the ends that were told.
func TestShortenUnheard(t *testing.T) {
	for name, limit := range map[string]time.Duration{"given up": 3 * time.Second, "lost": time.Hour} {
		t.Run(name, func(t *testing.T) {
			holds(t, func(t *testing.T, _ *Client, h *Held) {
				end, kill := h.Ends()
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				if err := h.Shorten(ctx, lock.Times{Timeout: 4 * time.Second, Stop: 2 * time.Second}); err == nil {
					t.Error("they bind, and no server answers")
				}
				if e, k := h.Ends(); e != end || k != kill {
					t.Errorf("the ends were moved by %v and %v", end.Left(e), kill.Left(k))
				}
			})
		})
	}
}

// Silence counts from when the last question was sent that the servers answered, and not by those that failed.
func TestSilence(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		c := deaf(&asked)
		defer c.Close()
		wants := func(d time.Duration) {
			t.Helper()
			if got := c.Silence(); got.Round(time.Second) != d {
				t.Errorf("the servers are silent for %v, want %v", got, d)
			}
		}
		wants(0)
		time.Sleep(30 * time.Second)
		if _, err := c.Look(t.Context(), "p"); err == nil {
			t.Fatal("a server that is down has answered")
		}
		wants(30 * time.Second)
		sent := c.Clock.Now()
		time.Sleep(2 * time.Second)
		c.noteLeader("a", "a", sent)
		wants(2 * time.Second)
	})
}
