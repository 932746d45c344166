package lockserver

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// silence has a new session of node take p from a holder that says no more, and returns which nodes it is told of.
func (c *testCluster) silence(node string) (told *lockclient.Held) {
	c.t.Helper()
	x := c.session(node)
	defer x.stop() // without a release
	return mustAcquire(c.t, x, wish("p"))
}

// Rule 14. Servers that are older are replaced one after the other, and what they do not know is written only
// when all know it; then it is.
func TestRule14Versions(t *testing.T) {
	t.Parallel()
	withAndWithout(t, Off{Versions: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, nil, func(t *testing.T, c *testCluster) {
			c.list = slices.Clone(three)
			defer func() {
				for _, entry := range three {
					c.stop(entry)
				}
			}()
			for _, entry := range three[1:] {
				c.knows[entry] = 1
			}
			for _, entry := range three {
				c.start(entry)
			}
			c.leader()
			for i, next := range append(slices.Clone(three[1:]), "") {
				if leader := c.leader(); leader != "a" {
					c.transfer(leader, "a")
				}
				c.silence("x")
				told := c.silence("y")
				for _, entry := range three {
					if died := c.hosts[entry].died(); len(died) > 0 {
						harm = fmt.Sprint(entry, " stopped: ", died)
						return
					}
				}
				if all := next == ""; all != slices.Equal(told.Unfenced(), []string{"x"}) {
					harm = fmt.Sprintf("with %d new servers of 3 y is told of %v", i+1, told.Unfenced())
				}
				if told.Previous != "x" {
					t.Errorf("y is told that %q had it before", told.Previous)
				}
				if next != "" {
					c.stop(next)
					delete(c.knows, next)
					c.start(next)
					time.Sleep(2 * lookSeldom)
				}
			}
		})
		return harm
	})
}

// A server that is started again as an older program is believed as soon as it speaks with the leader; but what the
// table needs every server has known: that is written on, whoever is not heard.
func TestOlderAgain(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		older := c.others(leader)[0]
		c.silence("x")
		y := c.session("y")
		defer y.stop()
		got := acquireLater(t, y, wish("p"))
		time.Sleep(testTimes.Silence() - 4*time.Second) // then the leader looks too seldom
		c.stop(older)
		c.knows[older] = 1
		c.start(older)
		<-got
		if died := c.hosts[older].died(); len(died) > 0 {
			t.Fatal("it stopped: ", died)
		}
		if k := c.agreed("p"); k.Unfenced != "" {
			t.Errorf("x is named, though a server does not know of that: %+v", k)
		}
		c.stop(older)
		delete(c.knows, older)
		c.start(older)
		time.Sleep(2 * lookSeldom)
		y.stop()
		if told := c.silence("z"); !slices.Equal(told.Unfenced(), []string{"y"}) {
			t.Fatalf("z is told of %v", told.Unfenced())
		}
		c.stop(leader)
		for _, entry := range c.others(leader) { // they have not heard of it since
			c.stop(entry)
		}
		for _, entry := range c.others(leader) {
			c.start(entry)
		}
		if told := c.silence("x"); !slices.Equal(told.Unfenced(), []string{"y", "z"}) {
			t.Errorf("x is told of %v", told.Unfenced())
		}
	})
}

// An older server stops at a snapshot that it does not know, as at a log entry.
func TestSnapshotOfANewerVersion(t *testing.T) {
	t.Parallel()
	const named = `{"v":2,"locks":{"p":{"term":3,"seq":1,"unfenced":"x"}}}`
	for _, row := range []struct {
		knows int
		text  string
		stops bool
	}{{1, named, true}, {lock.Version, named, false}, {1, `{"v":1,"locks":{"p":{"term":3,"seq":1}}}`, false}} {
		stopped := false
		m := newMachine(lease.Scaled(1), func(error) { stopped = true })
		m.knows = row.knows
		err := m.Restore(io.NopCloser(strings.NewReader(row.text)))
		if stopped != row.stops || errors.Is(err, lock.ErrVersion) != row.stops {
			t.Errorf("one that knows version %d, of %s: stopped %v, %v", row.knows, row.text, stopped, err)
		}
	}
}
