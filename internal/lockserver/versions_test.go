package lockserver

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
