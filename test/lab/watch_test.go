//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A sight is something that can be seen of a package on a host, from outside.
type sight struct{ host, pkg, what string }

// What the watcher looks at. A package is up when the marker is there that it makes at start.
const (
	seesRole  = "role"      // stand-by, active
	seesState = "pkg_state" // as in temp/lockdir_P/pkg_state
	seesLock  = "htsp"      // holder term seq previous
	seesUp    = "package"   // up
)

// A change is a sight that was not so 10 ms before. An empty value: the file is not there.
type change struct {
	at time.Time
	sight
	value string
}

// A watcher looks at the files of all hosts every 10 ms, keeps a timeline, and notes each
// time that a package is up on two hosts, or that two hosts which hear one another are active.
type watcher struct {
	dir   string // one directory for each host: its disk
	hosts []string
	pkgs  []string

	mu      sync.Mutex
	seen    map[sight]string
	changes []change
	faults  []string
	cut     map[string]bool      // hosts that others may not hear
	started map[string]time.Time // when the manager of a host was started; not there: it does not run
	twice   map[string]bool      // what is up, or active, twice now
}

func newWatcher(dir string, hosts, pkgs []string) *watcher {
	return &watcher{
		dir: dir, hosts: hosts, pkgs: pkgs,
		seen: map[sight]string{}, cut: map[string]bool{}, started: map[string]time.Time{}, twice: map[string]bool{},
	}
}

// run looks until stop is closed.
func (w *watcher) run(stop <-chan struct{}) {
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-stop:
			tick.Stop()
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pkg := range w.pkgs {
		for _, host := range w.hosts {
			for _, what := range []string{seesRole, seesState, seesLock, seesUp} {
				s := sight{host, pkg, what}
				if value := w.read(s); value != w.seen[s] {
					w.seen[s] = value
					w.changes = append(w.changes, change{time.Now(), s, value})
				}
			}
		}
		w.once(pkg, seesUp, "up", func(string) bool { return true })
		w.once(pkg, seesRole, "active", func(host string) bool { return !w.cut[host] })
	}
}

// once notes a fault when two of the hosts that count have the value. They are read again, since
// the first of them may have changed while the second was read.
func (w *watcher) once(pkg, what, value string, counts func(host string) bool) {
	var have []string
	for _, host := range w.hosts {
		if s := (sight{host, pkg, what}); counts(host) && w.seen[s] == value && w.read(s) == value {
			have = append(have, host)
		}
	}
	key := fmt.Sprintf("%s %s %s", pkg, what, value)
	if len(have) > 1 && !w.twice[key] {
		w.faults = append(w.faults, fmt.Sprintf("%s %s of %s is %s on %s", stamp(time.Now()), what, pkg, value, strings.Join(have, " and ")))
	}
	w.twice[key] = len(have) > 1
}

// read returns the value of s now. It does not believe what a crash has left on the disk of a host
// that is down, or whose new manager has not got to it yet.
func (w *watcher) read(s sight) string {
	disk := filepath.Join(w.dir, s.host)
	if _, err := os.Stat(filepath.Join(disk, ".lab/pid")); err != nil {
		return ""
	}
	path := filepath.Join(disk, labHome, "temp/lockdir_"+s.pkg, s.what)
	switch s.what {
	case seesUp:
		if _, err := os.Stat(filepath.Join(disk, "tmp", s.pkg+".maintenance")); err != nil {
			return ""
		}
		return "up"
	case seesLock:
		path = filepath.Join(disk, labHome, "dex-lock/temp", s.pkg+"_htsp")
	}
	started, runs := w.started[s.host]
	info, err := os.Stat(path)
	if !runs || err != nil || info.ModTime().Before(started) {
		return ""
	}
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}

// value is what was last seen of s.
func (w *watcher) value(s sight) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[s]
}

// where returns the hosts on which what of pkg has the value.
func (w *watcher) where(pkg, what, value string) []string {
	return slices.DeleteFunc(slices.Clone(w.hosts), func(host string) bool {
		return w.value(sight{host, pkg, what}) != value
	})
}

// first is the first change after the time given that fits.
func (w *watcher) first(after time.Time, fits func(change) bool) (change, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.changes, func(c change) bool { return c.at.After(after) && fits(c) })
	if i < 0 {
		return change{}, false
	}
	return w.changes[i], true
}

// last is the last change up to the time given that fits.
func (w *watcher) last(until time.Time, fits func(change) bool) (change, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range slices.Backward(w.changes) {
		if !c.at.After(until) && fits(c) {
			return c, true
		}
	}
	return change{}, false
}

// timeline is all changes but the renewals, a line each.
func (w *watcher) timeline() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	holds := map[sight]string{}
	for _, c := range w.changes {
		if c.what == seesLock {
			f := strings.Fields(c.value)
			if len(f) == 4 && holds[c.sight] == f[0]+f[1] {
				continue // the sequence number only
			}
			holds[c.sight] = strings.Join(f[:min(2, len(f))], "")
		}
		fmt.Fprintf(&b, "%s %s %-9s %s %s\n", stamp(c.at), c.host, c.what, c.pkg, strings.ReplaceAll(c.value, "\n", "|"))
	}
	return b.String()
}

func stamp(t time.Time) string { return t.Format("15:04:05.000") }

// TestWatcher shows that the watcher sees what it is there for.
func TestWatcher(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []string // of h1 and h2
		cut   bool
		down  bool // h2 has crashed
		want  int
	}{
		{name: "up on one", files: []string{"h1/tmp/p.maintenance"}},
		{name: "up on two", files: []string{"h1/tmp/p.maintenance", "h2/tmp/p.maintenance"}, want: 1},
		{name: "up on two, one cut off", files: []string{"h1/tmp/p.maintenance", "h2/tmp/p.maintenance"}, cut: true, want: 1},
		{name: "left on a crashed disk", files: []string{"h1/tmp/p.maintenance", "h2/tmp/p.maintenance"}, down: true},
		{name: "two active", files: []string{"h1" + labHome + "/temp/lockdir_p/role", "h2" + labHome + "/temp/lockdir_p/role"}, want: 1},
		{name: "two active, one cut off", files: []string{"h1" + labHome + "/temp/lockdir_p/role", "h2" + labHome + "/temp/lockdir_p/role"}, cut: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			w := newWatcher(dir, []string{"h1", "h2"}, []string{"p"})
			files := append([]string{"h1/.lab/pid"}, tt.files...)
			if !tt.down {
				files = append(files, "h2/.lab/pid")
			}
			w.cut["h2"] = tt.cut
			w.started["h1"], w.started["h2"] = time.Now().Add(-time.Minute), time.Now().Add(-time.Minute)
			for _, f := range files {
				path := filepath.Join(dir, f)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte("active\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.look()
			w.look()
			if len(w.faults) != tt.want {
				t.Errorf("faults = %q, want %d of them", w.faults, tt.want)
			}
		})
	}
}
