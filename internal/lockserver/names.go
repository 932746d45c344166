package lockserver

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// nameLife is how long a host that is not heard keeps its node name: then another, such as the
// same one after a reboot, may have it.
const nameLife = 10 * time.Second

// maxNames bounds how many node names are remembered.
const maxNames = 10_000

// names is which host goes by each node name, as far as this server has heard while it led. It
// guards no lock, for holders are sessions; but files, logs and fencing go by the name, and two
// hosts with one name would be taken for one.
type names struct {
	mu    sync.Mutex
	by    map[string]spoke
	waits map[[2]string]claim // which nodes stand by; by the lock's name and the node's, or by the lock's name and the session that had it there
}

// spoke is when a host was heard last.
type spoke struct {
	host string
	at   lease.Time
}

// hear notes that host spoke as node at now. If another host spoke as node not long ago, it returns
// true and notes nothing. A request that does not say which host it comes from is not judged.
func (n *names) hear(node, host string, now lease.Time) (taken bool) {
	if node == "" || host == "" {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	last, known := n.by[node]
	switch {
	case known && last.host != host && now.Shortest(last.at) < nameLife:
		return true
	case known && last.host == host:
		now = lease.Later(now, last.at)
	case len(n.by) >= maxNames, n.by == nil:
		n.by = map[string]spoke{}
	}
	n.by[node] = spoke{host, now}
	return false
}

// unheard is how long node was not heard, at the least; lock.Never if it never was.
func (n *names) unheard(node string, now lease.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	last, known := n.by[node]
	if !known {
		return lock.Never
	}
	return max(0, now.Shortest(last.at))
}

// standBy is for how long a node counts as standing by after it said so: it says so again every 1.5 s.
const standBy = 5 * time.Second

// A claim is what a session said last of its node: that it stands by.
type claim struct {
	session, node string
	at            lease.Time
}

// standsBy notes that a node waits for a lock, and that nothing of what the lock is for is alive there, except
// what the session that waits runs under it.
func (n *names) standsBy(q api.WaitRequest, now lease.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waits) >= maxNames || n.waits == nil {
		n.waits = map[[2]string]claim{}
	}
	n.waits[[2]string{q.Name, q.Node}] = claim{q.StandBy, q.Node, now}
	if q.Was != "" {
		n.waits[[2]string{q.Name, q.Was}] = claim{q.StandBy, q.Node, now}
	}
}

// isStandBy says whether the node of k's holder stands by for k, the lock called name, perhaps under another node name.
// Then nothing is left of what k's session ran. What that session said itself, before it had the lock, does not count.
// With proven the node must still have its name, and its disk must know that it had the lock.
func (n *names) isStandBy(name string, k lock.Lock, now lease.Time, proven bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	said := func(who string) bool {
		c, waits := n.waits[[2]string{name, who}]
		return waits && c.session != k.Session && now.Shortest(c.at) < standBy && (!proven || c.node == k.Node)
	}
	return said(k.Session) || !proven && said(k.Node)
}

// hearNode is hear, and tells in the log what it found, seldom.
func (s *Server) hearNode(node, host string, received lease.Time) (taken bool) {
	taken = s.names.hear(node, host, received)
	if taken {
		s.again(slog.LevelWarn, "two "+node, "two hosts have one node name: give one of them another in its conf/node_name", "node", node)
	}
	return taken
}

// twoHosts says what is wrong, and what to do about it.
func twoHosts(node string) string {
	return fmt.Sprintf("two hosts call themselves %q: give one of them another name in its conf/node_name", node)
}
