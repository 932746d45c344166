package lockserver

import (
	"sync"
	"time"

	"backtowork/internal/lease"
)

// An others is what a server has heard of the other lock servers since it runs, by id.
type others struct {
	mu      sync.Mutex
	heard   map[string]lease.Time // when each member was last heard, while this server leads
	entries map[string]int        // the newest version of log entries that each said it knows
}

// sighted notes at now which members of r were heard.
func (o *others) sighted(r *roster, now lease.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := map[string]lease.Time{}
	for _, m := range r.members {
		known[m.ID] = now
		if at, ok := o.heard[m.ID]; ok && !r.live(m.ID) {
			known[m.ID] = at
		}
	}
	o.heard = known
}

// silence is how long the member with that id was not heard until now, as far as this server, which leads, knows.
func (o *others) silence(id string, now lease.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.heard[id]
	if !ok {
		return 0
	}
	return max(0, now.Shortest(at))
}

// said notes the newest version of log entries that the server with that id says it knows. A program from before
// version 2 says nothing: entries is 0 then. A server says it again on each new connection. So if it was started
// again as an older program, that is known before anything is sent to it.
func (o *others) said(id string, entries int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.entries == nil {
		o.entries = map[string]int{}
	}
	o.entries[id] = max(entries, 1)
}

// know is the newest version of log entries that the server with that id has said it knows: 1 if it was not heard.
func (o *others) know(id string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return max(1, o.entries[id])
}
