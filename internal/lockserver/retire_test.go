package lockserver

import (
	"testing"
	"time"
)

// A server that was started for packages ends when none is left: not while a lock is held, nor while anybody asks for
// something, as a stand-by does. One that is to stay does not.
func TestRetire(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		a := c.hosts[c.leader()]
		a.retirement.passes = true
		runs := func(what string) {
			t.Helper()
			time.Sleep(3 * quietFor)
			if status := a.status(); status.Ending || !status.Passing {
				t.Fatalf("%s: the server retires: %+v", what, status)
			}
		}
		retire := func() { go a.Retire(t.Context()) }
		holder := c.session("x")
		held, err := holder.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		retire()
		runs("a lock is held")
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		holder.stop()
		runs("a lock was held meanwhile")

		retire()
		client := c.client("y")
		for range 10 {
			time.Sleep(waitLimit)
			if _, err := client.Look(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
		c.eventually(2*quietFor, "an end", func() bool { return a.status().Ending })
		if _, err := a.retirement.enter("/v1/acquire"); err == nil {
			t.Error("a lock could be had of a server that ends")
		}
		c.ends("a", ErrRetired)

		c.start("a")
		a = c.hosts[c.leader()]
		a.retirement.passes = true
		retire()
		if !a.Passing() {
			t.Error("it is to stay before anybody has said so")
		}
		a.Stay()
		if a.Passing() {
			t.Error("it is not to stay")
		}
		time.Sleep(3 * quietFor)
		if status := a.status(); status.Ending {
			t.Error("a server that is to stay retires")
		}
	})
}
