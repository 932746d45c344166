package manager

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
)

// scripted is a package of which nothing runs, or what alive says.
type scripted struct {
	Scripts
	said  map[string]string // by an echo
	fault error             // of an echo
	alive string
	units []string // unitsLock guards it: packages may share it
}

var unitsLock sync.Mutex

func (*scripted) Sets([]string) (file, name string) { return "", "" }

func (s *scripted) Echo(context.Context, []string, []string) (map[string]string, string, error) {
	return s.said, "", s.fault
}
func (s *scripted) Alive() (string, error) { return s.alive, nil }
func (s *scripted) SetUnits(units []string) {
	unitsLock.Lock()
	defer unitsLock.Unlock()
	s.units = units
}
func (s *scripted) Cgroup() string { return "/cgroup/now" }
func (s *scripted) Close() error   { return nil }
func (s *scripted) Leave() error   { return nil }
func (s *scripted) Abandon() error { return nil }

// groupAt is a group at home whose only package is s. also is told the cgroups that its processes may be in.
func groupAt(home Home, s *scripted, also *[]string) *Group {
	return &Group{Config: Config{Common: Common{
		Node: "h1", Version: "test", PID: 1, Boot: "boot", Clock: lease.System(), Log: slog.New(slog.DiscardHandler),
		Say: func(journal.Line) {}, Dirs: home, Killer: func(int) func() { return func() {} },
		Scripts: func(_, _ string, other []string, _ bool) (Scripts, error) {
			if also != nil {
				*also = other
			}
			return s, nil
		},
	}}}
}

// newMember is the package p of g, asked for its parameters.
func newMember(t *testing.T, g *Group) (*member, error) {
	m, err := g.hold(t.Context(), "p")
	if err == nil {
		if err = m.prepare(t.Context()); err != nil {
			m.undo()
		}
	}
	return m, err
}

// leave ends m as by kill -9.
func leave(m *member) {
	m.dir.Leave()
	_ = m.dir.Notes().Sync()
}

// A start that fails leaves what an earlier manager has left: where processes carry the mark that only the
// record knows, the next start would not find them, and begin the package beside them.
func TestFailedStartLeavesTheRecord(t *testing.T) {
	t.Parallel()
	free := Record{Boot: "boot", Node: "h1", Mark: "m", Word: deadman.Word{Package: "p", Phase: deadman.Free}}
	for name, c := range map[string]struct {
		record func(path string) error
		script scripted
	}{
		"a record that cannot be read": {func(path string) error { return os.MkdirAll(path, 0o755) }, scripted{}},
		"a script that cannot be run": {func(path string) error {
			return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(free.note()), 0o644))
		}, scripted{fault: errors.New("no such file")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := Home(t.TempDir())
			path := filepath.Join(home.Path("p"), recordNote)
			if err := c.record(path); err != nil {
				t.Fatal(err)
			}
			if _, err := newMember(t, groupAt(home, &c.script, nil)); err == nil {
				t.Fatal("the package is begun")
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("what an earlier manager has left is gone: %v", err)
			}
		})
	}
}

// A start that fails where there was nothing leaves nothing.
func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	home := Home(t.TempDir())
	if _, err := newMember(t, groupAt(home, &scripted{fault: errors.New("no such file")}, nil)); err == nil {
		t.Fatal("the package is begun")
	}
	if _, err := os.Stat(home.Path("p")); !os.IsNotExist(err) {
		t.Errorf("a directory is left: %v", err)
	}
}

// Who is told by the deadman what there is goes on, whatever the disk says of it.
func TestGoesOnWithoutTheRecord(t *testing.T) {
	t.Parallel()
	home := Home(t.TempDir())
	if err := os.MkdirAll(filepath.Join(home.Path("p"), recordNote), 0o755); err != nil {
		t.Fatal(err)
	}
	g := groupAt(home, &scripted{}, nil)
	now := g.Clock.Now()
	g.earlier = &deadman.Attached{
		Words: map[string]deadman.Word{"p": {
			Package: "p", Phase: deadman.Held, Session: "s", Term: 3, Doing: "running", End: now.Add(time.Minute), Kill: now.Add(2 * time.Minute),
		}},
		Origins: map[string]deadman.Origin{"p": {Package: "p", Mark: "m"}},
	}
	m, err := newMember(t, g)
	if err != nil {
		t.Fatal(err)
	}
	defer leave(m)
	if m.predecessor == nil || m.predecessor.Term != 3 || m.mark != "m" {
		t.Errorf("it goes on with %+v, mark %q", m.predecessor, m.mark)
	}
}

// Of a package of which processes are left though its record says that nothing is, that is taken away which the
// record says was set up.
func TestWhatIsLeftWasSetUp(t *testing.T) {
	t.Parallel()
	before := lived{Params: failover.Params{VIPs: []string{"192.0.2.1"}, KillUnits: []string{"u.service"}}}
	for alive, want := range map[string]string{"": "", "daemon (pid 7)": "192.0.2.1"} {
		home, s := Home(t.TempDir()), &scripted{alive: alive}
		r := Record{Boot: "boot", Node: "h1", Mark: "m", Lived: before.text(), Word: deadman.Word{Package: "p", Phase: deadman.Free}}
		if err := home.Notes("p").Write(recordNote, r.note()); err != nil {
			t.Fatal(err)
		}
		m, err := newMember(t, groupAt(home, s, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer leave(m)
		if got := strings.Join(m.standing().VIPs, " "); got != want || m.clear != (alive != "") {
			t.Errorf("alive is %q: the addresses %q are taken away, clear is %t", alive, got, m.clear)
		}
		if got := strings.Join(s.units, " "); (got != "") != (alive != "") {
			t.Errorf("alive is %q: the units are %q", alive, got)
		}
	}
}

// What the next start sets up is known before it, also where the script was edited and one of its parameters became
// bad: the start runs as the script says, and its address would be left where a stop fails.
func TestStartingKnowsWhatABadScriptSetsUp(t *testing.T) {
	t.Parallel()
	s := &scripted{said: map[string]string{"vip_ip_0": "192.0.2.1"}}
	g := groupAt(Home(t.TempDir()), s, nil)
	m, err := newMember(t, g)
	if err != nil {
		t.Fatal(err)
	}
	defer leave(m)
	link, _, let := linkTo(t)
	close(let)
	g.link = link
	s.said = map[string]string{"vip_ip_0": "192.0.2.2", "pace": "1s"}
	m.starting(t.Context())
	if got, want := m.standing().VIPs, []string{"192.0.2.1", "192.0.2.2"}; !slices.Equal(got, want) {
		t.Errorf("a start may set up %q, want %q", got, want)
	}
}

// A package that is being asked for its parameters can be asked itself how it is.
func TestStateWhileAsked(t *testing.T) {
	t.Parallel()
	m, err := groupAt(Home(t.TempDir()), &scripted{}, nil).hold(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	defer leave(m)
	for _, what := range []string{State, Await, Halt} {
		if a := m.answer(t.Context(), Request{What: what}); a.Node != "h1" || a.Silent != 0 || a.Doing != "" {
			t.Errorf("%s: it says %+v", what, a)
		}
	}
}

// Other parameters that are told while the lock is given back do not make the record say what was before: who comes
// after both would run a stop script beside another node's start.
func TestRecordOfTheLastWord(t *testing.T) {
	t.Parallel()
	home := Home(t.TempDir())
	g := groupAt(home, &scripted{}, nil)
	m, err := newMember(t, g)
	if err != nil {
		t.Fatal(err)
	}
	defer leave(m)
	g.link = deadman.NewLink(deadman.Hello{Packages: []deadman.Origin{m.origin()}}, nil, func(journal.Line) {}, nil)
	for range 2000 {
		m.remember(deadman.Word{Package: "p", Phase: deadman.Held, Session: "s"})
		var told sync.WaitGroup
		for i := range 20 {
			told.Go(func() {
				if i == 10 {
					m.remember(deadman.Word{Package: "p", Phase: deadman.Free})
				} else {
					m.tell()
				}
			})
		}
		told.Wait()
		if m.last.Phase != deadman.Free {
			t.Fatalf("the lock was given back, and the record says %+v", m.last)
		}
	}
}

// The cgroup of an earlier name of this host is looked at for as long as there is a record: who was to kill what is in
// it may be killed before that.
func TestEarlierCgroupsStay(t *testing.T) {
	t.Parallel()
	home, s, also := Home(t.TempDir()), &scripted{}, []string(nil)
	r := Record{Boot: "boot", Node: "h0", Mark: "m", Cgroup: "/cgroup/then", Word: deadman.Word{Package: "p", Phase: deadman.Free}}
	if err := home.Notes("p").Write(recordNote, r.note()); err != nil {
		t.Fatal(err)
	}
	for range 3 { // each killed when it has only just begun
		m, err := newMember(t, groupAt(home, s, &also))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(also, "/cgroup/then") || !slices.Contains(m.origin().Also, "/cgroup/then") {
			t.Errorf("looked at besides are %q, and by the deadman %q", also, m.origin().Also)
		}
		leave(m)
	}
}

// A log that cannot be opened keeps a package from being begun, and not from being gone on with.
func TestBeginWithoutOutput(t *testing.T) {
	t.Parallel()
	for _, earlier := range []*deadman.Attached{nil, {}} {
		g := groupAt(Home(t.TempDir()), &scripted{}, nil)
		g.Output = func(string) (journal.Log, func(), error) { return nil, nil, os.ErrPermission }
		g.earlier = earlier
		m := &member{Group: g, pkg: "p", say: g.Say}
		g.members = []*member{m, {}}
		if err := g.begin(m); (err == nil) != (earlier != nil) {
			t.Errorf("goes on: %t: begin = %v", earlier != nil, err)
		}
		if m.say == nil {
			t.Error("there is nowhere to say anything")
		}
	}
}

// A tapped connection tells of what is written to it.
type tapped struct {
	net.Conn
	saw func(text string)
}

func (c tapped) Write(b []byte) (int, error) {
	c.saw(string(b))
	return c.Conn.Write(b)
}

// A deadman of another version is let go only when the next one has been told of what runs: a manager that is killed
// between the two would leave it to nobody.
func TestDeadmanIsReplacedWhenTheNextKnows(t *testing.T) {
	t.Parallel()
	events := make(chan string, 10)
	end := func(name, hello string) net.Conn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = theirs.Close() })
		go func() {
			for in := bufio.NewScanner(theirs); in.Scan(); {
				if strings.Contains(in.Text(), `"hello"`) {
					fmt.Fprintln(theirs, hello)
				} else {
					fmt.Fprintln(theirs, "{}")
				}
			}
		}()
		return tapped{ours, func(text string) {
			switch {
			case strings.Contains(text, `"over":true`):
				events <- name + " is let go"
			case strings.Contains(text, `"hello"`) && strings.Contains(text, `"term":3`):
				events <- name + " knows of p"
			}
		}}
	}
	g := groupAt(Home(t.TempDir()), &scripted{}, nil)
	var err error
	g.earlier, err = deadman.Attach(end("the old one", `{"version":"old","pid":9,"words":[{"package":"p","phase":"held","term":3}],"origins":[{"package":"p","mark":"m"}]}`),
		g.Killer, deadman.Hello{PID: 1, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	g.Spawn = func() (io.ReadWriteCloser, func(), error) {
		return end("the new one", `{"version":"test","pid":10}`), func() {}, nil
	}
	g.members = []*member{{Group: g, pkg: "p", mark: "m", scripts: &scripted{}, lived: &lived{}, asked: make(chan struct{})}}
	if err := g.openLink(); err != nil {
		t.Fatal(err)
	}
	if first, then := <-events, <-events; first != "the new one knows of p" || then != "the old one is let go" {
		t.Errorf("first %s, then %s", first, then)
	}
}

// A start that fails in the end, where a package runs from before, does not tell a deadman that nothing of it runs.
func TestFailedStartTellsNoDeadman(t *testing.T) {
	t.Parallel()
	home := Home(t.TempDir())
	cfg := groupAt(home, &scripted{}, nil).Config
	now := cfg.Clock.Now()
	w := deadman.Word{Package: "p", Phase: deadman.Held, Session: "s", Term: 3, Doing: "running", End: now.Add(time.Minute), Kill: now.Add(2 * time.Minute)}
	if err := home.Notes("p").Write(recordNote, Record{Boot: "boot", Node: "h1", Mark: "m", Word: w}.note()); err != nil {
		t.Fatal(err)
	}
	cfg.Aside = func() error { return nil }
	cfg.Ready = func(context.Context, bool) error { return nil }
	cfg.Session = func() (*lockclient.Session, error) { return nil, nil }
	cfg.Output = func(string) (journal.Log, func(), error) { return nil, nil, os.ErrPermission }
	told := make(chan string, 10)
	cfg.Spawn = func() (io.ReadWriteCloser, func(), error) {
		ours, theirs := net.Pipe()
		go func() {
			for in := bufio.NewScanner(theirs); in.Scan(); {
				told <- in.Text()
				fmt.Fprintln(theirs, "{}")
			}
		}()
		return ours, func() {}, nil
	}
	if _, err := New(t.Context(), cfg, []string{"p", "q"}); err == nil {
		t.Fatal("the packages are begun")
	}
	for len(told) > 0 {
		if text := <-told; strings.Contains(text, `"over":true`) {
			t.Errorf("a deadman was told %s", text)
		}
	}
	if _, err := os.Stat(filepath.Join(home.Path("p"), recordNote)); err != nil {
		t.Errorf("what there is to go on with is gone: %v", err)
	}
}
