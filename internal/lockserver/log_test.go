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
	for name, row := range map[string]struct {
		level        slog.Level
		first, lasts int // bytes in the first minute, and in each later one
		heals        int
	}{
		"plain":   {level: slog.LevelInfo, first: 500, lasts: 50, heals: 500},
		"verbose": {level: slog.LevelDebug, first: 6000, lasts: 400, heals: 3000},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				books := map[string]*logbook{"a": {}, "b": {}, "c": {}}
				c.log = func(entry string) slog.Handler {
					return slog.NewTextHandler(books[entry], &slog.HandlerOptions{Level: row.level})
				}
				for _, entry := range three {
					c.stop(entry)
					c.start(entry)
					c.leader()
					time.Sleep(10 * time.Second)
				}
				leader := c.leader()
				cut := c.others(leader)[0]
				take := func() (of map[string]string) {
					of = map[string]string{}
					for entry, book := range books {
						of[entry] = book.take()
					}
					return of
				}
				small := func(when string, of map[string]string, limit int) {
					t.Helper()
					for entry, text := range of {
						if len(text) > limit {
							t.Errorf("%s wrote %d bytes %s, more than %d:\n%s", entry, len(text), when, limit, text)
						}
					}
				}
				has := func(text, word string) {
					t.Helper()
					if strings.Count(text, word) != 1 {
						t.Errorf("%q is not told once:\n%s", word, text)
					}
				}
				take()
				c.net.Isolate(cut, c.others(cut), true)
				time.Sleep(time.Minute)
				said := take()
				small("in the first minute", said, row.first)
				has(said[leader], "a lock server does not answer")
				has(said[cut], "no lock server leads, as far as this one can see")
				time.Sleep(30 * time.Minute)
				said = take()
				small("in 30 minutes", said, 30*row.lasts)
				if n := strings.Count(said[leader], "a lock server does not answer"); n != 3 {
					t.Errorf("it is told %d times in 30 minutes, want 3", n)
				}
				c.net.Isolate(cut, c.others(cut), false)
				time.Sleep(time.Minute)
				said = take()
				small("when it is over", said, row.heals)
				has(said[leader], "the lock server answers again")
				has(said[cut], "a lock server leads again")
			})
		})
	}
}
