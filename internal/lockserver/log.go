package lockserver

import (
	"context"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger gives raft's log lines to l: warnings and errors once a minute each, for raft
// says twice a second that a server is dead; the rest only where l wants details.
func raftLogger(l *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Info})
	logger.RegisterSink(&sink{to: l, last: map[string]time.Time{}})
	return logger
}

type sink struct {
	to   *slog.Logger
	mu   sync.Mutex
	last map[string]time.Time
}

// Accept takes one line of raft's.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	if level >= hclog.Warn && s.rare(msg, args) {
		to = slog.LevelWarn
	}
	s.to.Log(context.Background(), to, "raft: "+msg, args...)
}

// rare says whether no such line was said in the last minute.
func (s *sink) rare(msg string, args []any) bool {
	for i := 0; i+1 < len(args); i += 2 {
		if name, ok := args[i].(string); ok && (name == "peer" || name == "id") {
			msg += " " + stringOf(args[i+1])
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.last[msg]) < time.Minute {
		return false
	}
	s.last[msg] = time.Now()
	return true
}

func stringOf(v any) string {
	if s, ok := v.(interface{ String() string }); ok {
		return s.String()
	}
	return slog.AnyValue(v).String()
}

// quiet gives what net/http complains of, mostly broken connections, to those who want details.
func quiet(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
