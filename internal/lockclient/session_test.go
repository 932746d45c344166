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
	"backtowork/internal/virtual"
)

// A lock is renewed only if the loop of its holder has turned since it was renewed last.
func TestRenewsWhatTurns(t *testing.T) {
	dir := t.TempDir()
	virtual.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		c := NewClient(Config{
			Servers: []Server{{"a", "a"}}, Clock: lease.Scaled(1), Log: slog.New(slog.DiscardHandler), Host: "x",
			Dial: func(context.Context, string) (net.Conn, error) {
				asked.Add(1)
				return nil, errors.New("connection refused")
			},
		})
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
