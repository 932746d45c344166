package lockserver

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
	"time"

	"backtowork/internal/journal"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// again tells what comes again and again: what is what it is known by.
func (s *Server) again(level slog.Level, what, text string, facts ...any) {
	s.repeats.Tell(s.Log, level, what, text, facts...)
}

// well tells that this is over.
func (s *Server) well(what, text string, facts ...any) {
	s.repeats.TellOver(s.Log, what, text, facts...)
}

// sayAbsent tells that another lock server does not answer. Who leads says so to the admin: once for each of them is enough.
func (s *Server) sayAbsent(entry string, err error) {
	if s.knowsLeases() {
		s.again(slog.LevelWarn, "absent "+entry, "a lock server does not answer: the others go on without it; look whether it runs, and what is between (dex-servers)",
			"server", entry, "reason", err)
		return
	}
	s.again(slog.LevelDebug, "no answer "+entry, "no answer", "from", entry, "reason", err)
}

// sayPresent tells that it answers again.
func (s *Server) sayPresent(entry string) {
	s.well("absent "+entry, "the lock server answers again", "server", entry)
	_, _ = s.repeats.Over("no answer " + entry)
}

// sayLeads tells that this server leads now, or does not any more.
func (s *Server) sayLeads(leads bool, term uint64) {
	if leads {
		s.again(slog.LevelInfo, "leads", "this server leads the lock servers", "raft_term", term)
		_, _ = s.repeats.Over("leads not")
		return
	}
	s.again(slog.LevelInfo, "leads not", "this server does not lead the lock servers any more", "raft_term", term)
	_, _ = s.repeats.Over("leads")
}

// leaderless is how long there may be no leader before that is told: an election takes a second or two.
const leaderless = 5 * time.Second

// sayLeaderless tells that this server knows no leader. led is when it knew one last.
func (s *Server) sayLeaderless(r *raft.Raft, led *time.Time) {
	switch _, leader := r.LeaderWithID(); {
	case leader != "":
		*led = time.Now()
		s.well("leaderless", "a lock server leads again", "leader", entryOf(string(leader)))
	case time.Since(*led) >= leaderless:
		s.again(slog.LevelWarn, "leaderless",
			"no lock server leads, as far as this one can see: it gives and renews no lock; see that most of the lock servers run, and reach one another (dex-servers)",
			"raft_term", r.CurrentTerm())
	}
}

// raftLogger gives raft's log lines to l, seldom. Of other servers and of elections it says in its own words what
// this server says too: that is for those who want details.
func raftLogger(l *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Info})
	logger.RegisterSink(&sink{to: l})
	return logger
}

type sink struct {
	to      *slog.Logger
	repeats journal.Repeats
}

// Accept takes one line of raft's.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to, peer := slog.LevelDebug, peerIn(args)
	if level >= hclog.Warn && peer == "" && !ordinary(msg) {
		to = slog.LevelWarn
	}
	if !s.to.Enabled(context.Background(), to) {
		return
	}
	for i, arg := range args {
		if f, ok := arg.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.repeats.Tell(s.to, to, msg+peer, "raft: "+msg, args...)
}

// ordinary says whether a warning of raft's is about what happens whenever a leader is not heard, or a server that
// was away is told what it has missed.
func ordinary(msg string) bool {
	for _, begin := range []string{
		"heartbeat timeout reached", "Election timeout reached", "failed to contact", "rejecting ", "duplicate requestVote",
		"new leader elected", "no known peers", "not part of stable configuration",
		"failed to get previous log", "previous log term mis-match", "clearing log suffix", "skipping application of old log",
		"unable to get address", "failed to decode incoming command", "failed to flush response",
	} {
		if strings.HasPrefix(msg, begin) {
			return true
		}
	}
	return false
}

// peerIn is whom a line of raft's is about.
func peerIn(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch name, _ := args[i].(string); name {
		case "peer", "server-id", "target", "candidate":
			return " " + stringOf(args[i+1])
		}
	}
	return ""
}

func stringOf(v any) string {
	if s, ok := v.(interface{ String() string }); ok {
		return s.String()
	}
	return slog.AnyValue(v).String()
}

// quiet gives what net/http complains of, mostly broken connections, to those who want details.
func quiet(s *Server) *log.Logger { return log.New(complaints{s}, "", 0) }

type complaints struct{ *Server }

// Write takes a line of net/http's.
func (c complaints) Write(line []byte) (int, error) {
	c.again(slog.LevelDebug, "http", strings.TrimSpace(string(line)))
	return len(line), nil
}
