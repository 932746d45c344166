package lockserver

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger gives raft's log lines to l: warnings and errors once a minute each, for raft
// says twice a second that a server is dead; the rest only where l wants details.
func raftLogger(l *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Info})
	logger.RegisterSink(&sink{to: l})
	return logger
}

type sink struct {
	to   *slog.Logger
	rare rare
}

// Accept takes one line of raft's.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	if level >= hclog.Warn && s.rare.first(msg+peerIn(args)) {
		to = slog.LevelWarn
	}
	for i, arg := range args {
		if f, ok := arg.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.to.Log(context.Background(), to, "raft: "+msg, args...)
}

// peerIn is whom a line of raft's is about.
func peerIn(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		if name, ok := args[i].(string); ok && (name == "peer" || name == "id") {
			return " " + stringOf(args[i+1])
		}
	}
	return ""
}

// rare tells what was not said in the last minute.
type rare struct{ turns turns }

// first says whether line is said for the first time in a minute.
func (r *rare) first(line string) bool { return r.turns.take(line, time.Minute, time.Minute) == 0 }

func stringOf(v any) string {
	if s, ok := v.(interface{ String() string }); ok {
		return s.String()
	}
	return slog.AnyValue(v).String()
}

// quiet gives what net/http complains of, mostly broken connections, to those who want details.
func quiet(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
