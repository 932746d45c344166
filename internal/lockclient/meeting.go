package lockclient

import (
	"fmt"
	"time"
)

// Waits is what the lock called name waits for, in words, while no server is asked for it: the lock servers are another
// cluster than before. Else it is "".
func (c *Client) Waits(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waits[name]
}

// noteWait remembers what Waits says.
func (c *Client) noteWait(name string, left time.Duration, oldWorks bool) {
	why := fmt.Sprintf("another cluster of lock servers: asked in %d s, when nothing of the old one can run", int((left+time.Second-1)/time.Second))
	if oldWorks {
		why = "another cluster of lock servers: some of them still work in the old one (dex-servers)"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == nil {
		c.waits = map[string]string{}
	}
	c.waits[name] = why
}

// noWait says that the lock waits no longer.
func (c *Client) noWait(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waits, name)
}
