package manager

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// A slowly scripted package says nothing of itself until it may.
type slowly struct {
	scripted
	may chan error
}

func (*slowly) Sets([]string) (file, name string) { return "", "" }

func (s *slowly) Echo(ctx context.Context, _, _ []string) (map[string]string, string, error) {
	select {
	case err := <-s.may:
		return nil, "", err
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// slowGroup is a group of packages that say nothing of themselves yet, and what was said to the admin. begun is told
// of each that begins.
func slowGroup(t *testing.T, names ...string) (cfg Config, may map[string]chan error, begun chan string, said func() string) {
	home := Home(t.TempDir())
	cfg = groupAt(home, nil, nil).Config
	may, begun = map[string]chan error{}, make(chan string, len(names))
	for _, name := range names {
		may[name] = make(chan error, 1)
	}
	cfg.Scripts = func(name, _ string, _ []string, _ bool) (Scripts, error) {
		return &slowly{may: may[name]}, nil
	}
	cfg.Aside = func() error { return nil }
	cfg.Ready = func(context.Context, bool) error { return nil }
	cfg.Session = func() (*lockclient.Session, error) {
		c := lockclient.NewClient(lockclient.Config{Clock: lease.System(), Log: cfg.Log, Host: "h1"})
		return lockclient.NewSession(c, "h1", lockclient.NewFiles(t.TempDir())), nil
	}
	cfg.Spawn = func() (io.ReadWriteCloser, func(), error) {
		ours, theirs := net.Pipe()
		go func() {
			for in := bufio.NewScanner(theirs); in.Scan(); {
				fmt.Fprintln(theirs, "{}")
			}
		}()
		return ours, func() {}, nil
	}
	cfg.Begun = func(name string, _ failover.Params) { begun <- name }
	var mu sync.Mutex
	var lines []string
	cfg.Say = func(line journal.Line) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line.Words())
	}
	cfg.Seen.Locker = func(string, *Locker) failover.Locker { return never{} }
	return cfg, may, begun, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(lines, "\n")
	}
}

// never is a lock that nobody gets.
type never struct{ failover.Locker }

func (never) Acquire(ctx context.Context, _ string, _ lock.Times, _, _ time.Duration) (failover.Lock, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Each package of a group begins when it has said its parameters. One that says nonsense is left out; one that says
// nothing can be halted.
func TestPackagesBeginAsTheyAreReady(t *testing.T) {
	t.Parallel()
	cfg, may, begun, said := slowGroup(t, "a", "b", "c", "d")
	may["b"] <- nil
	g, err := New(t.Context(), cfg, []string{"a", "b", "c", "d"})
	if err != nil {
		t.Fatal(err)
	}
	signals, ended := make(chan os.Signal), make(chan error)
	go func() { ended <- g.Run(t.Context(), signals) }()
	if first := <-begun; first != "b" {
		t.Errorf("%s begins first", first)
	}
	may["d"] <- nil
	if next := <-begun; next != "d" {
		t.Errorf("%s begins next", next)
	}
	may["c"] <- errors.New("nonsense")
	<-g.members[2].closed
	if len(g.Params()) != 2 {
		t.Errorf("the packages are %v", g.Params())
	}
	signals <- syscall.SIGTERM
	if err := <-ended; !errors.Is(err, ErrNotBegun) || errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want %v", err, ErrNotBegun)
	}
	for _, want := range []string{`error: package "c": nonsense. the package is not begun.`, "halted before the package had said its parameters."} {
		if !strings.Contains(said(), want) {
			t.Errorf("it does not say %q:\n%s", want, said())
		}
	}
	if err := g.Asked(); err == nil || !strings.Contains(err.Error(), `package "c": nonsense`) {
		t.Errorf("Asked = %v", err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if _, err := os.Stat(cfg.Dirs.(Home).Path(name)); !os.IsNotExist(err) {
			t.Errorf("the directory of %s is left: %v", name, err)
		}
	}
}

// A group of which none can begin is refused, and so is one whose start is given up; nothing is left of either.
func TestGroupIsRefused(t *testing.T) {
	t.Parallel()
	for _, give := range []string{"nonsense", "given up"} {
		cfg, may, begun, _ := slowGroup(t, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		if may["a"] <- errors.New("nonsense"); give == "nonsense" {
			may["b"] <- errors.New("nonsense")
		} else {
			cancel()
		}
		_, err := New(ctx, cfg, []string{"a", "b"})
		cancel()
		if err == nil || !strings.Contains(err.Error(), `package "b": `) || len(begun) > 0 {
			t.Errorf("%s: New = %v, begun are %d", give, err, len(begun))
		}
		if dirs, err := os.ReadDir(string(cfg.Dirs.(Home)) + "/temp"); len(dirs) > 0 {
			t.Errorf("%s: left are %v, %v", give, dirs, err)
		}
	}
}
