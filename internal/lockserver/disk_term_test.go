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
