package lockserver

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// A logbook is the log of a server.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write takes a line.
func (b *logbook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

// take is what was written since it was taken last.
func (b *logbook) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

// What lasts is told once, then once in ten minutes, and once more when it is over: on the server that is cut off, and
// on the one that leads meanwhile. So it is, with more words, for those who want details.
func TestLogOfACut(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		books := map[string]*logbook{"a": {}, "b": {}, "c": {}}
		c.log = func(entry string) slog.Handler {
			return slog.NewTextHandler(books[entry], &slog.HandlerOptions{Level: slog.LevelDebug})
		}
		for _, entry := range three {
			c.stop(entry)
			c.start(entry)
			c.leader()
			time.Sleep(10 * time.Second)
		}
		leader := c.leader()
		cut := c.others(leader)[0]
		// take is what was written meanwhile, at most so many bytes: plain, and with the details.
		take := func(when string, plain, verbose int) map[string]string {
			t.Helper()
			all := map[string]string{}
			for entry, book := range books {
				text, visible := book.take(), 0
				for line := range strings.Lines(text) {
					if !strings.Contains(line, "level=DEBUG") {
						visible += len(line)
					}
				}
				if visible > plain || len(text) > verbose {
					t.Errorf("%s wrote %d and %d bytes %s, more than %d and %d:\n%s", entry, visible, len(text), when, plain, verbose, text)
				}
				all[entry] = text
			}
			return all
		}
		has := func(text, word string) {
			t.Helper()
			if strings.Count(text, word) != 1 {
				t.Errorf("%q is not told once:\n%s", word, text)
			}
		}
		take("before", 10000, 100000)
		c.net.Isolate(cut, c.others(cut), true)
		time.Sleep(time.Minute)
		said := take("in the first minute", 500, 6000)
		has(said[leader], "a lock server does not answer")
		has(said[cut], "no lock server leads, as far as this one can see")
		time.Sleep(10 * time.Minute)
		said = take("in ten minutes", 500, 4000)
		has(said[leader], "a lock server does not answer")
		_, release := c.hold() // what the server that is cut off has to be told later
		release()
		c.net.Isolate(cut, c.others(cut), false)
		time.Sleep(30 * time.Second)
		said = take("when it is over", 500, 3000)
		has(said[leader], "the lock server answers again")
		has(said[cut], "a lock server leads again")
		for line := range strings.Lines(said[cut]) {
			if strings.Contains(line, "raft: ") && !strings.Contains(line, "level=DEBUG") {
				t.Errorf("raft's own words are told to all: %s", line)
			}
		}
	})
}

// What raft says of a server that has missed something, and is told of it, is for who wants details; what it says of a
// disk is for all.
func TestRaftOfWhoWasAway(t *testing.T) {
	book := &logbook{}
	l := raftLogger(slog.New(slog.NewTextHandler(book, nil)))
	l.Warn("failed to get previous log", "previous-index", 6, "last-index", 4, "error", "log not found")
	l.Warn("previous log term mis-match", "ours", 2, "remote", 3)
	l.Warn("clearing log suffix", "from", 5, "to", 6)
	if text := book.take(); text != "" {
		t.Errorf("all are told: %s", text)
	}
	l.Error("failed to append to logs", "error", "input/output error")
	if text := book.take(); !strings.Contains(text, "level=WARN") {
		t.Errorf("of a disk that fails it said %q", text)
	}
}
