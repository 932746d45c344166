package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"backtowork/internal/sim/lives"
)

// The logs of a run of chaos are a directory:
//
//	faults            what was done when: TIME WORD [HOST [PACKAGE]], WORD one of the words below or
//	                  the name of a fault
//	hN/opt/P.run      the notes of package P on host N
//	hN/opt/P.acts     the notes of the package's scripts: see acts.go
//	hN/bg/client.log  the answers that a client had: TIME HOST
const (
	begins    = "begin"     // and the seed
	healed    = "healed"    // all faults of the round are undone
	up        = "up"        // all is well again
	late      = "late"      // it is not, and should be
	unblocked = "unblocked" // the admin had to say that the package is down
	started   = "started"   // the admin had to start a manager that had ended
	ends      = "end"
)

// freeze is the fault after which a host may wake up late.
const freeze = "freeze"

// An event is a line of the log of faults.
type event struct {
	at        time.Time
	word      string
	host, pkg string // or other words of the line; may be empty
}

func (e event) isFault() bool {
	return !slices.Contains([]string{begins, healed, up, late, unblocked, started, ends}, e.word)
}

// logs is all that the report is made of.
type logs struct {
	dir     string
	events  []event
	notes   map[string]map[string]string // of each package on each host
	acts    map[string][]act             // of each package
	answers string
}

// tail is how much of a file is read for the last fault alone.
const tail = 4 << 20

// readLogs reads a directory; of long files no more than the last part, if limit is not 0.
func readLogs(dir string, limit int64) (*logs, error) {
	l := &logs{dir: dir, notes: map[string]map[string]string{}, acts: map[string][]act{}}
	text, err := os.ReadFile(filepath.Join(dir, "faults"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of faults: %w", err)
	}
	l.events = parseEvents(string(text))
	err = errors.Join(
		l.each("opt/*.run", limit, func(host, pkg, text string) {
			if l.notes[pkg] == nil {
				l.notes[pkg] = map[string]string{}
			}
			l.notes[pkg][host] = text
		}),
		l.each("opt/*.acts", limit, func(host, pkg, text string) { l.acts[pkg] = append(l.acts[pkg], parseActs(host, text)...) }),
		l.each("bg/client.log", limit, func(_, _, text string) { l.answers += text }),
	)
	return l, err
}

// each reads the files of all hosts that match the pattern. A file's name is a package's name.
func (l *logs) each(pattern string, limit int64, take func(host, name, text string)) error {
	paths, _ := filepath.Glob(filepath.Join(l.dir, "h*", pattern))
	for _, path := range paths {
		text, err := readTail(path, limit)
		if err != nil {
			return fmt.Errorf("cannot read what a host has noted: %w", err)
		}
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		take(filepath.Base(filepath.Dir(filepath.Dir(path))), name, text)
	}
	return nil
}

func readTail(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	skip := size - limit
	if limit == 0 || skip <= 0 {
		skip = 0
	}
	if _, err := f.Seek(skip, io.SeekStart); err != nil {
		return "", err
	}
	text, err := io.ReadAll(f)
	if skip > 0 { // reading began in the middle of a line
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	return string(text), err
}

func parseEvents(text string) (events []event) {
	for line := range strings.Lines(text) {
		f := append(strings.Fields(line), "", "")
		if len(f) < 4 || !strings.HasSuffix(line, "\n") {
			continue
		}
		events = append(events, event{at: lives.Time(f[0]), word: f[1], host: f[2], pkg: f[3]})
	}
	return events
}

// packages is those that noted anything, by name.
func (l *logs) packages() (names []string) {
	for name := range l.notes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// runs is when a package ran, on all hosts.
func (l *logs) runs(pkg string, pause time.Duration) (runs []lives.Run) {
	for host, text := range l.notes[pkg] {
		runs = append(runs, lives.Runs(host, text, pause)...)
	}
	return runs
}
