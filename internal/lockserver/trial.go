package lockserver

import (
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// A Trial is what only tests and simulations set, to see what a server does when something is missing or goes wrong.
// A server that guards locks has the zero Trial.
type Trial struct {
	Off   Off    // the rules that it does without
	Knows int    // the newest version of log entries and snapshots, for an older server; 0: the program's
	Stall func() // runs in calls of the store, as on a slow disk; nil for a quick one

	logs   logSizes                             // zero: the usual
	saw    func(*raft.Log, lock.Entry, outcome) // is told what each log entry did, as soon as that is done; nil for nobody
	abrupt func() bool                          // whether it ends as in a crash, without handing over; nil: it does not
}

// logSizes is when the log is cut short.
type logSizes struct {
	snapshotAt uint64 // entries since the last snapshot
	kept       uint64 // entries behind a snapshot, for a follower that lags
}

// Off switches rules off, to show that a test of theirs can fail.
type Off struct {
	Grant      bool // rule 5: give a lock away once its lease has ended, T after the last request
	Own        bool // rule 5: judge a holder by the times of who asks for its lock
	Quorum     bool // rule 6: ask raft.VerifyLeader instead of the majority
	Open       bool // rule 7: go by LeaderCh, begin no table of leases for a term
	Conditions bool // rule 8: take every entry for one that fits
	Identity   bool // rule 9: take every raft connection, whoever it is meant for
	Birth      bool // rule 11: begin a cluster with whoever is there
	Lone       bool // rule 11: be a cluster of one, whoever else is
	Memory     bool // rule 12: go on as the server that it was, whatever its state is
	Members    bool // rule 13: take the list of the file as it is at the start
	Heartbeat  bool // rule 10: let heartbeats overtake the other messages
	Versions   bool // rule 14: write what this server knows, whatever the others know
	Blocked    bool // rule 16: a blocked lock has a lease's end as any other
	Adopt      bool // rule 18: adopt from whoever has the lock
	Fence      bool // rule 19: permit everybody to fence who asks
	Fencing    bool // rule 19: let the lock go and come while it is fenced, or was not, as if it were free then
	Down       bool // rule 19: believe who says that a node is off
	Unfenced   bool // rule 19: forget who lost a lock by silence
}

// stall makes a call of the store wait as [Trial.Stall] wants it. A call that may hold the server's mutex does not
// wait, since virtual time stands still while others wait for a mutex. Nor does a call before raft runs: Run itself
// may make it, and must not be held up, since it has to end everything else.
func (s *Server) stall() {
	if !s.mu.TryLock() {
		return
	}
	runs := s.raft != nil
	s.mu.Unlock()
	if runs {
		s.Stall()
	}
}
