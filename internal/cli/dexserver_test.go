package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/conf"
)

// dieVariable has TestDieChild die.
const dieVariable = "BTW_TEST_DIE"

func TestDieChild(*testing.T) {
	if os.Getenv(dieVariable) != "" {
		die(os.Stderr, "dex-server", errors.New("the disk has not answered"))
	}
}

// A process that must end ends even if its output hangs, and says why if it does not hang.
func TestDieEndsFirst(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{true, false} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if hangs {
			fill(t, w)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestDieChild$")
		cmd.Env = append(os.Environ(), dieVariable+"=1")
		cmd.Stderr = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		watch := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		watch.Stop()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("hangs: %v: it ended with %v, want exit status 1", hangs, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if said, err := io.ReadAll(r); err != nil || !hangs && len(said) == 0 {
			t.Errorf("it said %q, %v", said, err)
		}
	}
}

// fill fills a pipe, so that the next write to it hangs.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

// A hung is a log on a disk that hangs.
type hung struct{ until <-chan struct{} }

// Write hangs.
func (h hung) Write(b []byte) (int, error) {
	<-h.until
	return len(b), nil
}

// A lock server serves whatever becomes of its log.
func TestServerLogHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	home, server := t.TempDir(), l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"packages", "conf", "dex-lock/conf"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "dex-lock/conf/lock_servers"), []byte(server+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	thaw := make(chan struct{})
	env := func(name string, stderr io.Writer, args ...string) *command.Env {
		return &command.Env{Name: name, Args: args, Home: home, Stdin: new(os.File), Stdout: io.Discard, Stderr: stderr, Getenv: func(string) string { return "" }}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() { ended <- Run(ctx, env("dex-server", hung{thaw})) }()
	served := false
	for end := time.Now().Add(10 * time.Second); !served && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		served = Run(ctx, env("dex-lock", io.Discard, "p", "20")) == 0
	}
	if !served {
		t.Error("a lock server whose log hangs gives no lock")
	}
	cancel()
	select {
	case <-ended: // it does not even wait for the log now
	case <-time.After(10 * time.Second):
		t.Error("a lock server whose log hangs does not end")
	}
	close(thaw)
}

// cluster_nodes may be empty for a moment, while it is being written. The lock server keeps its
// neighbours then: without them it would not stand still beside a rival. A host that the file
// leaves out twice in a row is a neighbour no more.
func TestNeighboursStayForAMoment(t *testing.T) {
	t.Parallel()
	s := &site{Site: conf.Site{Home: t.TempDir(), Node: "h1"}}
	path := filepath.Join(s.Home, "conf/cluster_nodes")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := conf.ParseServer("h1")
	if err != nil {
		t.Fatal(err)
	}
	var n neighbours
	for i, step := range []struct{ file, want string }{
		{"h1 h2 h3\n", "h2 h3"}, {"", "h2 h3"}, {"h1 h2 h3\n", "h2 h3"}, {"h1 h2\n", "h2 h3"}, {"h1 h2\n", "h2"}, {"h1 h4", "h4 h2"}, {"h1 h4", "h4"},
	} {
		if err := os.WriteFile(path, []byte(step.file), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := n.read(s, self); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(n.entries(), " "); got != step.want {
			t.Errorf("%d: of %q the neighbours are %q, want %q", i, step.file, got, step.want)
		}
	}
}
