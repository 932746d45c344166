package lockclient

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/sim/virtual"
)

// Before a lock is lost because the servers do not answer, the log says so, and when that will be.
func TestSaysBeforeTheLoss(t *testing.T) {
	dir := t.TempDir()
	virtual.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		var said strings.Builder
		c := deaf(&asked)
		defer c.Close()
		begin := time.Now()
		c.Log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Duration("at", a.Value.Time().Sub(begin).Round(time.Second))
			}
			return a
		}}))
		s := NewSession(c, "x", NewFiles(dir))
		for _, name := range []string{"p", "q", "r", "s", "t", "u"} {
			s.hold(Wish{Name: name, Times: lock.Times{Timeout: 30 * time.Second}, Pace: time.Second}, lock.Lock{Term: 1}, c.Clock.Now())
		}
		for time.Since(begin) < 40*time.Second {
			s.renewDue(t.Context())
			time.Sleep(100 * time.Millisecond)
		}
		lines := strings.SplitAfter(said.String(), "\n")
		const warning = `at=8s level=WARN msg="warning: the lock servers do not answer, since 7 s: what runs under the lock is stopped in 22 s, unless they do" lock="p q r s 2 more" reason="cannot reach the majority of lock servers (a: connection refused)"`
		if lines[0] != warning+"\n" || strings.Count(said.String(), "do not answer, since") != 1 {
			t.Errorf("it said\n%s\nwant first\n%s", said.String(), warning)
		}
		if n := strings.Count(said.String(), `at=30s level=INFO msg="the lock is lost: what runs under it is stopped"`); n != 6 {
			t.Errorf("the loss of %d locks is told, want 6", n)
		}
		said.Reset()
		s.sayAnswered()
		s.sayAnswered()
		if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `msg="the lock servers answer again"`) {
			t.Errorf("it said\n%s", got)
		}
	})
}
