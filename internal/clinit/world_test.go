package clinit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/script"
)

// A world is a host in virtual time: a file, processes, and what was written.
type world struct {
	t     *testing.T
	began time.Time

	mu     sync.Mutex
	file   string
	pids   int
	procs  map[string][]*fake // by key: those of which anything lives
	runs   []string           // "1.5 begin TAG", "3.0 SIGINT TAG", "3.0 end TAG STATUS"
	states []string           // lines of clstat as they came, per group: "g 1 DONE"
	said   []string
	kept   string
	twice  []string // keys that were begun while they lived
	ended  chan script.Ended

	daemon *Daemon
	stop   context.CancelFunc
	done   chan struct{}
}

// A fake is a process. Its command says what it does: "for 2s", "exit 3", "deaf" to all but SIGKILL, "noint", "leaves"
// something running when it ends, "bad" cannot be run.
type fake struct {
	key, command string
	pid          int
	main, rest   bool
	adopted      bool
	status       int
}

func (f *fake) word(w string) string {
	_, tail, _ := strings.Cut(f.command, w)
	tail, _, _ = strings.Cut(strings.TrimSpace(tail), " ")
	return tail
}

func (f *fake) has(w string) bool { return slices.Contains(strings.Fields(f.command), w) }

func inWorld(t *testing.T, file string, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, began: time.Now(), file: file, procs: map[string][]*fake{}, ended: make(chan script.Ended, 10000)}
		w.start()
		test(w)
		w.halt()
		w.mu.Lock()
		defer w.mu.Unlock()
		for key := range w.procs {
			t.Errorf("%s is left when all was halted", key)
		}
		for _, key := range w.twice {
			t.Errorf("%s was begun while it ran", key)
		}
	})
}

func (w *world) start() {
	w.t.Helper()
	d, problems := New(Config{
		Dialect: Clinit, File: "cltab", Hands: w, Kept: w.kept, Boot: "boot",
		Read: func() ([]byte, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.file == "" {
				return nil, os.ErrNotExist
			}
			return []byte(w.file), nil
		},
		Start: func(key string, _ Entry, command string, env ...string) (int, error) {
			return w.Start(key, script.Launch{Argv: []string{command}, Env: env})
		},
		Log: func(l journal.Line) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.said = append(w.said, l.Text)
		},
		Status: w.see,
		Keep: func(text string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.kept = text
			return nil
		},
	})
	if d == nil {
		w.t.Fatalf("New: %v", problems)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.daemon, w.stop, w.done = d, stop, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		d.Run(ctx)
	}(w.done)
	synctest.Wait()
}

func (w *world) halt() {
	w.stop()
	<-w.done
}

// kill ends the daemon as SIGKILL would: its processes go on.
func (w *world) kill() {
	close(w.daemon.killed)
	<-w.done
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.procs {
		for _, f := range all {
			f.adopted = true
		}
	}
	for len(w.ended) > 0 { // nobody heard it
		<-w.ended
	}
}

func (w *world) see(text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "Cluster::Init::Group ")
		group, _, _ := strings.Cut(line, " ")
		last := ""
		for _, s := range w.states {
			if strings.HasPrefix(s, group+" ") {
				last = s
			}
		}
		if last != line {
			w.states = append(w.states, line)
		}
	}
	return nil
}

func (w *world) note(format string, args ...any) {
	w.runs = append(w.runs, fmt.Sprintf("%.1f ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) Start(key string, l script.Launch) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &fake{key: key, command: l.Argv[0], main: true}
	if f.has("bad") {
		return 0, errors.New("no such file or directory")
	}
	if len(w.procs[key]) > 0 {
		w.twice = append(w.twice, key)
	}
	w.pids++
	f.pid = w.pids
	f.rest = f.has("leaves")
	w.procs[key] = append(w.procs[key], f)
	w.note("begin %s", key)
	if how := f.word("for"); f.has("for") {
		d, err := time.ParseDuration(how)
		if err != nil {
			w.t.Fatal(err)
		}
		time.AfterFunc(d, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			_, _ = fmt.Sscan(f.word("exit"), &f.status)
			w.end(f, f.status)
		})
	}
	return f.pid, nil
}

// end ends the command itself.
func (w *world) end(f *fake, status int) {
	if !f.main {
		return
	}
	f.main = false
	w.note("end %s %d", f.key, status)
	if f.adopted {
		status = unknown
	}
	w.ended <- script.Ended{Key: f.key, PID: f.pid, Status: status}
	w.tidy(f.key)
}

func (w *world) tidy(key string) {
	w.procs[key] = slices.DeleteFunc(w.procs[key], func(f *fake) bool { return !f.main && !f.rest })
	if len(w.procs[key]) == 0 {
		delete(w.procs, key)
	}
}

func (w *world) Ended() <-chan script.Ended { return w.ended }

func (w *world) Adopt(key string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.procs[key] {
		if f.main {
			return f.pid, nil
		}
	}
	return 0, nil
}

func (w *world) Signal(sig syscall.Signal, keys ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		w.signal(key, sig)
	}
	return nil
}

func (w *world) signal(key string, sig syscall.Signal) {
	w.note("signal %d %s", int(sig), key)
	for _, f := range slices.Clone(w.procs[key]) {
		if f.has("deaf") || f.has("noint") && sig == syscall.SIGINT {
			continue
		}
		f.rest = false
		w.end(f, 128+int(sig))
		w.tidy(key)
	}
}

func (w *world) Kill(keys ...string) (map[string][]script.Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		w.kill9(key)
	}
	return nil, nil
}

func (w *world) kill9(key string) {
	w.note("signal 9 %s", key)
	for _, f := range slices.Clone(w.procs[key]) {
		if f.has("stuck") {
			continue
		}
		f.rest = false
		w.end(f, 128+9)
		w.tidy(key)
	}
}

func (w *world) Alive(keys ...string) (map[string][]script.Process, error) {
	all, err := w.Found()
	maps.DeleteFunc(all, func(key string, _ []script.Process) bool { return !slices.Contains(keys, key) })
	return all, err
}

func (w *world) Found() (map[string][]script.Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string][]script.Process{}
	for key, all := range w.procs {
		for _, f := range all {
			pid := f.pid
			if !f.main {
				pid += 100000 // that is what it left
			}
			found[key] = append(found[key], script.Process{PID: pid, Command: f.command})
		}
	}
	return found, nil
}

// tell tells a level, and returns the answer's words.
func (w *world) tell(group, level string) string {
	a, _ := w.daemon.Do(Ask{Op: Tell, Group: group, Level: level}, nil)
	synctest.Wait()
	return a.Msg
}

// tellAndWait tells a level, and waits until the group stands.
func (w *world) tellAndWait(group, level string) string {
	a, _ := w.daemon.Do(Ask{Op: Tell, Group: group, Level: level, Wait: Any}, nil)
	synctest.Wait()
	return a.Msg
}

func (w *world) ask(op Op, tag string) Answer {
	a, _ := w.daemon.Do(Ask{Op: op, Tag: tag}, nil)
	synctest.Wait()
	return a
}

// after is what happened since the n-th note.
func (w *world) happened(from int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.runs[from:], "; ")
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.runs)
}

// seen is the states of a group as they came.
func (w *world) seen(group string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, s := range w.states {
		if tail, ok := strings.CutPrefix(s, group+" "); ok {
			list = append(list, tail)
		}
	}
	return strings.Join(list, ", ")
}

func (w *world) process(tag string) EntryView {
	a := w.ask(Look, "")
	for _, g := range a.Groups {
		for _, e := range g.Entries {
			if e.Tag == tag {
				return e
			}
		}
	}
	return EntryView{}
}
