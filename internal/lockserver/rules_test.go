package lockserver

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"backtowork/internal/sim/memnet"
)

// Each test here runs twice: with the rule, and with the library's own way, which must be
// seen to do harm. A check that cannot fail is no check.
func withAndWithout(t *testing.T, without Off, test func(t *testing.T, switched Off) (harm string)) {
	t.Helper()
	t.Run("with the rule", func(t *testing.T) {
		if harm := test(t, Off{}); harm != "" {
			t.Error(harm)
		}
	})
	t.Run("without", func(t *testing.T) {
		if test(t, without) == "" {
			t.Error("no harm was done with the rule switched off: this test proves nothing")
		}
	})
}

// transfer makes to the leader.
func (c *testCluster) transfer(from, to string) {
	c.t.Helper()
	id := c.hosts[to].self.ID
	if err := c.hosts[from].node().LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)).Error(); err != nil {
		c.t.Fatal(err)
	}
	c.eventually(5*time.Second, to+" leads", func() bool { return c.hosts[to].status().Open })
}

// Rule 6. raft.VerifyLeader counts the answer to a heartbeat that was sent before the request
// came. Here that answer is on its way while another leader is elected, and then a holder
// asks the old one.
func TestRule6QuorumQuestion(t *testing.T) {
	withAndWithout(t, Off{Quorum: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			old := c.leader()
			others := c.others(old)
			next, third := others[0], others[1]
			x := c.session("x", old)
			defer x.stop()
			h, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // raft has its connections
			c.net.Cut(next, old)    // answers are held
			time.Sleep(250 * time.Millisecond)
			c.net.Cut(old, next)
			c.net.Isolate(third, []string{old}, true)
			sent := time.Now()
			c.forceElection(next)
			c.eventually(300*time.Millisecond, "another leader", func() bool { return c.hosts[next].status().Open })

			answer := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				_, err := x.client.RenewOnce(ctx, x.Owner.Session, "p", h.Term)
				answer <- err
			}()
			time.Sleep(50 * time.Millisecond)
			c.net.Release(next, old, sent)
			if err := <-answer; err == nil {
				harm = "a deposed leader acknowledged a renewal"
			}
			c.net.Isolate(old, others, false)
			time.Sleep(3 * time.Second)
		})
		return harm
	})
}

// forceElection makes entry stand for election at once, as a leader does that hands over.
func (c *testCluster) forceElection(entry string) {
	c.t.Helper()
	var from string
	for _, o := range c.others(entry) {
		if !c.net.IsCut(o, entry) {
			from = o
		}
	}
	id := c.hosts[entry].self.ID
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	if err := c.hosts[from].network.TimeoutNow(raft.ServerID(id), raft.ServerAddress(id), request, &raft.TimeoutNowResponse{}); err != nil {
		c.t.Fatal(err)
	}
}

// Rule 7. A server that leads, is deposed, and leads again must not go by what it last heard:
// another leader may have renewed the lease in between.
func TestRule7OpenTerm(t *testing.T) {
	withAndWithout(t, Off{Open: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			first := c.leader()
			second := c.others(first)[0]
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			h, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Fatal(err)
			}
			stop := keep(h)
			time.Sleep(5 * time.Second)
			c.transfer(first, second)
			time.Sleep(13 * time.Second)
			c.net.Isolate("x", three, true)
			stop()
			id := c.hosts[first].self.ID
			if err := c.hosts[second].node().LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)).Error(); err != nil {
				t.Fatal(err)
			}
			_, kill := h.Ends()
			killAt := time.Now().Add(kill.Left(x.client.Clock.Now()))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := y.Acquire(ctx, wish("p")); err != nil {
				t.Fatal(err)
			}
			if time.Now().Before(killAt) {
				harm = "the lock was given away " + time.Until(killAt).String() + " before the kill end"
			}
			c.net.Isolate("x", three, false)
		})
		return harm
	})
}

// Rule 9. A server that lost its state must not vote as the one that it was: it could elect a
// leader that never heard of what the majority had agreed on.
func TestRule9Identity(t *testing.T) {
	withAndWithout(t, Off{Identity: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			leader := c.leader()
			others := c.others(leader)
			asleep, wiped := others[0], others[1]
			c.stop(asleep)
			x := c.session("x")
			defer x.stop()
			h, err := x.Acquire(t.Context(), wish("p")) // only two servers know
			if err != nil {
				t.Fatal(err)
			}
			defer keep(h)()
			c.crash(leader)
			c.stop(wiped)
			if err := os.RemoveAll(c.stateDir(wiped)); err != nil {
				t.Fatal(err)
			}
			c.start(wiped)
			c.start(asleep)
			y := c.session("y")
			defer y.stop()
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // x's lease runs for 10
			defer cancel()
			if h2, err := y.Acquire(ctx, wish("p")); err == nil {
				harm = "the lock was given to a second holder"
				if h2.Term > h.Term {
					harm += " in a later term"
				}
			}
		})
		return harm
	})
}

// Rule 10, hashicorp/raft issue 695. On the library's fast path a heartbeat of term 3 is
// handled beside a vote in term 4, and sets the term back. The store refuses to write that,
// and the server ends: harm enough. Without the fast path it cannot come to that.
func TestRule10Heartbeat(t *testing.T) {
	withAndWithout(t, Off{Heartbeat: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			c.leader()
			old, candidate := c.peer("a"), c.peer("b")
			defer old.Close()
			defer candidate.Close()
			voter := c.hosts["c"]
			id := raft.ServerID(voter.self.ID)
			for _, peer := range []*raft.NetworkTransport{old, candidate} { // so that the voter has met both
				late := &raft.AppendEntriesRequest{RPCHeader: header(peer)}
				if err := peer.AppendEntries(id, raft.ServerAddress(id), late, &raft.AppendEntriesResponse{}); err != nil {
					t.Fatal(err)
				}
			}
			c.stop("a")
			c.stop("b")
			term := voter.node().CurrentTerm()

			release := make(chan struct{})
			var calls atomic.Int32
			voter.self.store.Stall = func() {
				if calls.Add(1) == 1 {
					<-release
				}
			}
			beat := make(chan error, 1)
			go func() {
				beat <- old.AppendEntries(id, raft.ServerAddress(id), &raft.AppendEntriesRequest{
					RPCHeader: header(old), Term: term + 1,
				}, &raft.AppendEntriesResponse{})
			}()
			time.Sleep(50 * time.Millisecond)
			vote := make(chan error, 1)
			go func() {
				vote <- candidate.RequestVote(id, raft.ServerAddress(id), &raft.RequestVoteRequest{
					RPCHeader: header(candidate), Term: term + 2, LeadershipTransfer: true, LastLogIndex: 1000, LastLogTerm: term,
				}, &raft.RequestVoteResponse{})
			}()
			time.Sleep(50 * time.Millisecond)
			close(release)
			if err := errors.Join(<-beat, <-vote); err != nil && len(voter.died()) == 0 {
				t.Fatal(err)
			}
			if died := voter.died(); len(died) > 0 {
				harm = died[0].Error()
			} else if got := voter.node().CurrentTerm(); got < term+2 {
				t.Errorf("after the vote the term is %d, want at least %d", got, term+2)
			}
		})
		return harm
	})
}

func header(t *raft.NetworkTransport) raft.RPCHeader {
	addr := t.LocalAddr()
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(addr), Addr: []byte(addr)}
}

// peer is a transport that speaks as the server called entry, which may end.
func (c *testCluster) peer(entry string) *raft.NetworkTransport {
	stream := &streamLayer{newQueue(memnet.Addr(entry)), c.hosts[entry].Server}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: stream, MaxPool: 1, MaxRPCsInFlight: 1, Timeout: time.Second, Logger: raftLogger(c.hosts[entry].Log),
	})
}

// Rule 11. Servers that do not wait for one another each begin a cluster.
func TestRule11Birth(t *testing.T) {
	withAndWithout(t, Off{Birth: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			for _, entry := range three {
				c.stop(entry)
				if err := c.unmake(entry); err != nil {
					t.Fatal(err)
				}
			}
			c.net.Isolate("a", []string{"b", "c"}, true)
			for _, entry := range three {
				c.start(entry)
				time.Sleep(time.Second) // two that begin at the same time are in each other's way
			}
			time.Sleep(20 * time.Second)
			harm = c.twoHolders("a", "b")
			c.net.Isolate("a", []string{"b", "c"}, false)
		})
		return harm
	})
}

// twoHolders lets x ask the server one, and y the server other, for the same lock, and says whether
// both have it.
func (c *testCluster) twoHolders(one, other string) (harm string) {
	held := 0
	for host, server := range map[string]string{"x": one, "y": other} {
		s := c.session(host, server)
		ctx, cancel := context.WithTimeout(c.t.Context(), 8*time.Second)
		if _, err := s.Acquire(ctx, wish("p")); err == nil {
			held++
		}
		cancel()
		s.stop()
	}
	if held > 1 {
		harm = "two clients were given one lock within a lease"
	}
	return harm
}

// Rule 12. A server whose old state was put back must not vote as the one that it was.
func TestRule12Memory(t *testing.T) {
	withAndWithout(t, Off{Memory: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			leader := c.leader()
			asleep, old := c.others(leader)[0], c.others(leader)[1]
			c.stop(old)
			copied, err := os.ReadFile(c.stateDir(old) + "/raft.db")
			if err != nil {
				t.Fatal(err)
			}
			c.start(old)
			c.stop(asleep)
			c.leader()
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			h, err := x.Acquire(t.Context(), wish("p")) // only two servers know
			if err != nil {
				t.Fatal(err)
			}
			defer keep(h)()
			c.stop(old)
			if err := os.WriteFile(c.stateDir(old)+"/raft.db", copied, 0o600); err != nil {
				t.Fatal(err)
			}
			c.crash(leader)
			c.start(old)
			c.start(asleep)
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // x's lease runs for 10
			defer cancel()
			if _, err := y.Acquire(ctx, wish("p")); err == nil {
				harm = "the lock was given to a second holder"
			}
		})
		return harm
	})
}

// Rule 13, case B9. Five servers of which two are told, while they are cut off, that they are all
// there is.
func TestRule13Members(t *testing.T) {
	five := []string{"a", "b", "c", "d", "e"}
	withAndWithout(t, Off{Members: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, five, func(t *testing.T, c *testCluster) {
			c.leader()
			two := []string{"a", "b"}
			for _, entry := range two {
				c.net.Isolate(entry, []string{"c", "d", "e"}, true)
				c.stop(entry)
			}
			c.list = two
			c.start("a")
			c.start("b")
			c.list = five
			time.Sleep(10 * time.Second)
			harm = c.twoHolders("a", "c")
			for _, entry := range two {
				c.net.Isolate(entry, []string{"c", "d", "e"}, false)
			}
		})
		return harm
	})
}
