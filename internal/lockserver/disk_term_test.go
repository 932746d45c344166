package lockserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What stands in L_term and is no session keeps nobody from waiting for the lock.
func TestDamagedTerm(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"7 cut", "7 a b", "7 " + strings.Repeat("long ", 20_000), "7 " + strings.Repeat("x", 101), "some words", "-7"} {
		inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
			dir := memoryDir(t)
			if err := os.WriteFile(filepath.Join(dir, "p_term"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			x, y := c.session("x"), c.sessionOf("y", c.client("y"), dir)
			defer x.stop()
			defer y.stop()
			defer keep(mustAcquire(t, x, wish("p")))()
			w := wish("p")
			w.StandBy = true
			limited, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, err := y.Acquire(limited, w); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with %.20q it does not wait: %v", text, err)
			}
		})
	}
}

// A host that was made of a copy of the holder's disk says of itself that it had the lock, until it hears that this
// goes on elsewhere: it fences the holder when that is silent, as everybody does.
func TestCopiedDisk(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		one, two := memoryDir(t), memoryDir(t)
		x := c.sessionOf("x", c.client("x"), one)
		b := &switchboard{took: time.Second}
		w := fencing(b)
		w.Times, w.FenceRequired, w.StandBy = slowStop, true, true
		stop := keep(mustAcquire(t, x, w))
		time.Sleep(time.Second) // its L_term is written
		if err := os.CopyFS(two, os.DirFS(one)); err != nil {
			t.Fatal(err)
		}
		z := c.sessionOf("z", c.client("z"), two)
		defer z.stop()
		limited, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			time.Sleep(time.Minute)
			stop()
			x.stop()
			c.stop(c.leader()) // the next one never heard it
		}()
		if _, err := z.Acquire(limited, w); err != nil || len(b.called()) != 1 {
			t.Errorf("fenced %d times, want once: %v", len(b.called()), err)
		}
		<-gone
	})
}
