//go:build linux

package worker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backtowork/internal/failover"
	"backtowork/internal/script"
)

const asWorker, asChild = "WORKER_TEST_SERVES", "run-script"

func init() {
	switch {
	case os.Getenv(asWorker) != "":
		Limit(os.Stderr)
		if err := Serve(os.NewFile(3, "requests"), os.NewFile(4, "answers"), Embedded()); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	case len(os.Args) > 1 && os.Args[1] == asChild:
		os.Exit(script.RunChild(os.Args[2:], Alone))
	}
}

// A host is a home with packages, and a worker that is a process.
type host struct {
	t       *testing.T
	home    string
	client  *Client
	workers atomic.Int64
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, home: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(h.home, "packages/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.client = NewClient(h.spawn)
	t.Cleanup(h.client.Close)
	return h
}

func (h *host) spawn() (Conn, error) {
	return Start(func(requests, answers *os.File) (*exec.Cmd, error) {
		cmd := exec.Command("/proc/self/exe")
		cmd.Dir, cmd.Env, cmd.ExtraFiles = h.home, append(os.Environ(), asWorker+"=yes"), []*os.File{requests, answers}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		if err == nil {
			h.workers.Add(1)
		}
		return cmd, err
	})
}

// put writes a file of the home.
func (h *host) put(path, text string, mode os.FileMode) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.home, path), []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
}

// add makes a package of a script.
func (h *host) add(name, text string) *Scripts {
	h.t.Helper()
	h.put("packages/"+name, "#!/bin/sh\n"+text, 0o755)
	r, err := script.New(script.Config{
		Home: h.home, Name: name, Node: "n1", Lock: name, LockDir: "/no/dex-lock", Session: "s" + name + filepath.Base(filepath.Dir(h.home)),
		Environ: []string{"PATH=/usr/bin:/bin"}, Cgroup: "none",
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = r.Close() })
	return New(OnRunner(r), h.client, func(line string) { h.t.Logf("%s: %s", name, line) })
}

func begin(t *testing.T, s *Scripts) failover.Action {
	t.Helper()
	a, err := s.Start("status", failover.Token{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// up asks for the status, and wants it to be up, by the worker, and at once.
func up(t *testing.T, s *Scripts) {
	t.Helper()
	before, start := s.gate.now().Runs, time.Now()
	a := begin(t, s)
	<-a.Done()
	if r := s.gate.now(); a.Status() != 0 || r.Runs != before+1 || r.Off != "" {
		t.Fatalf("status %d, %v", a.Status(), r)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("it takes %v", took)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

// running is how many processes have word in their command line.
func running(t *testing.T, word string) (n int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if text, err := os.ReadFile(line); err == nil && bytes.Contains(text, []byte(word)) {
			n++
		}
	}
	return n
}

const calm = "case $1 in status) [ -d / ] && echo well ;; esac\n"

// TestForkBomb: what a status goes on to start, without end, is killed with it, all of it; another package does not notice.
func TestForkBomb(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	mark := "bomb-" + filepath.Base(filepath.Dir(h.home))
	// As a bomb, but that it stops at 127 processes.
	h.put("bomb", "#!/bin/sh\n[ $1 -gt 0 ] || exec sleep 1000\n./bomb $(($1 - 1)) "+mark+" & ./bomb $(($1 - 1)) "+mark+" & wait\n", 0o755)
	other := h.add("calm", calm)
	up(t, other)
	bomb := h.add("bomb", "case $1 in status) ./bomb 6 "+mark+" ; exit 0 ;; esac\n")
	a := begin(t, bomb)
	defer a.Kill(0)
	eventually(t, "the bomb goes off", func() bool { return running(t, mark) > 50 })
	if a.(*asked).real != nil {
		t.Fatal("it is the shell's")
	}
	up(t, other)
	a.Kill(0)
	<-a.Done()
	if n := running(t, mark); a.Status() != script.NotRun || n > 0 {
		t.Errorf("status %d, and %d processes are left", a.Status(), n)
	}
	up(t, other)
	if n := h.workers.Load(); n != 1 {
		t.Errorf("%d workers", n)
	}
}

// hungDisk is a file system that answers nothing.
func hungDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		err = unix.Mount("hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse.Fd()))
	}
	if err != nil {
		t.Skipf("no file system in a process here: %v", err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		fuse.Close() // who waits for it goes on
	})
	return dir
}

// TestHungDisk: a worker that waits for a disk is killed, and another one takes its place; the shell waits then, and other
// packages notice nothing.
func TestHungDisk(t *testing.T) {
	for name, status := range map[string]string{
		"stat": "[ -e DISK/file ]", "source": ". DISK/file", "program": "DISK/program",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := hungDisk(t)
			h := newHost(t)
			other := h.add("calm", calm)
			up(t, other)
			hung := h.add("hung", "case $1 in status) "+strings.ReplaceAll(status, "DISK", disk)+" ;; esac\n")
			start := time.Now()
			a := begin(t, hung).(*asked)
			defer a.Kill(0)
			up(t, other)
			isShells := func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				return a.real != nil
			}
			eventually(t, "the shell is asked", isShells)
			if took := time.Since(start); took > patience+cancelLimit+time.Second {
				t.Errorf("the shell is asked after %v", took)
			}
			up(t, other)
			a.Kill(0)
			<-a.Done()
			up(t, other)
			if n := h.workers.Load(); n != 2 {
				t.Errorf("%d workers", n)
			}
		})
	}
}
