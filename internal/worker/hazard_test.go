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
	limits  string // what a shell says before the worker begins
	workers atomic.Int64
	last    atomic.Pointer[exec.Cmd]
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
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("sh", "-c", h.limits+"\nexec \"$0\"", self)
		cmd.Dir, cmd.Env, cmd.ExtraFiles = h.home, append(os.Environ(), asWorker+"=yes"), []*os.File{requests, answers}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // the kernel may hang up a group one of which is stopped
		if err = cmd.Start(); err == nil {
			h.workers.Add(1)
			h.last.Store(cmd)
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

// up asks for the status, and wants it to be up, by the worker. A busy host may need several tries.
func up(t *testing.T, s *Scripts) {
	t.Helper()
	before := s.gate.now().Runs
	eventually(t, "the worker answers", func() bool {
		a := begin(t, s)
		<-a.Done()
		if r := s.gate.now(); a.Status() != 0 || r.Off != "" {
			t.Fatalf("status %d, %v", a.Status(), r)
		}
		return s.gate.now().Runs > before
	})
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
}

// TestFlood: what prints too much is ended before the host has no memory left, and done by the shell into its log.
func TestFlood(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.put("print", "#!/bin/sh\nexec head -c 20000000 /dev/zero\n", 0o755)
	h.put("endless", "#!/bin/sh\ncat /dev/zero\n", 0o755)
	flood := h.add("flood", "case $1 in status) ./print ;; esac\n")
	a := begin(t, flood)
	<-a.Done()
	if r := flood.gate.now(); a.Status() != 0 || r.Runs != 0 {
		t.Errorf("status %d, %v", a.Status(), r)
	}
	endless := h.add("endless", "case $1 in status) ./endless ;; esac\n")
	shadow, err := endless.Shell.Shadow(failover.Token{})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-shadow.Done():
	case <-time.After(10 * time.Second):
		shadow.Kill(0)
	}
	if !shadow.Flooded() || len(shadow.Stdout()) > 2*longestOutput {
		t.Error("it is not ended")
	}
	// The same in all: the status is the shell's, into the log.
	odd := h.add("odd", "case $1 in status) [ ! -e flag ] || ./print ; true ;; esac\n")
	odd.Shell = &flags{odd.Shell, h}
	b := begin(t, odd)
	<-b.Done()
	if r := odd.gate.now(); b.Status() != 0 || !strings.Contains(r.Off, "prints more than") {
		t.Errorf("status %d, %v", b.Status(), r)
	}
}

// flags makes a file before a shadow, so that it does otherwise than the worker.
type flags struct {
	Shell
	h *host
}

func (f *flags) Shadow(of failover.Token) (Shadow, error) {
	f.h.put("flag", "", 0o600)
	return f.Shell.Shadow(of)
}

// many adds n packages that look at their file up0, up1 and so on.
func (h *host) many(n int) (list []*Scripts) {
	for i := range n {
		up := fmt.Sprintf("up%d", i)
		h.put(up, "well\n", 0o600)
		list = append(list, h.add(fmt.Sprintf("p%d", i), "case $1 in status) x=$(cat "+up+" | grep -c well) ; [ \"$x\" = 1 ] && read -r y < "+up+" && [ $y = well ] ;; esac\n"))
	}
	return list
}

// allUp asks all for their status at the same time.
func allUp(t *testing.T, list []*Scripts) {
	t.Helper()
	var actions []failover.Action
	for _, s := range list {
		actions = append(actions, begin(t, s))
	}
	for i, a := range actions {
		if <-a.Done(); a.Status() != 0 {
			t.Errorf("status of package %d: %d; %v", i, a.Status(), list[i].gate.now())
		}
	}
}

// TestStopped: a worker that stands still costs each package one status by the shell, and none its trust.
func TestStopped(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	list := h.many(30)
	allUp(t, list)
	if err := h.last.Load().Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	allUp(t, list)
	for i, s := range list {
		if r := s.gate.now(); r.Off != "" {
			t.Errorf("package %d: %v", i, r)
		}
	}
	up(t, list[0])
	if n := h.workers.Load(); n < 2 {
		t.Errorf("%d workers", n)
	}
}

// TestStoppedAlone: a worker that is stopped ends with its manager all the same.
func TestStoppedAlone(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	var manager *exec.Cmd
	client := NewClient(func() (Conn, error) {
		return Start(func(requests, answers *os.File) (*exec.Cmd, error) {
			self, err := os.Executable()
			if err != nil {
				return nil, err
			}
			manager = exec.Command("sh", "-c", `"$0" & echo $! > "$1"; wait`, self, pidFile)
			manager.Env, manager.ExtraFiles = append(os.Environ(), asWorker+"=yes"), []*os.File{requests, answers}
			manager.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			return manager, manager.Start()
		})
	})
	defer client.Close()
	if a, _, err := client.Run(t.Context(), Request{Path: "nosuch", Dir: "/", Limit: time.Minute}); a.ID == 0 && a.Declined == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	var pid int
	eventually(t, "its number is known", func() bool {
		text, _ := os.ReadFile(pidFile)
		_, err := fmt.Sscan(string(text), &pid)
		return err == nil
	})
	err := syscall.Kill(pid, syscall.SIGSTOP)
	if err == nil {
		err = manager.Process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker ends", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z "))
	})
}

// TestLowLimits: a worker that has too little of something is no answer, and never a wrong one.
func TestLowLimits(t *testing.T) {
	for name, limits := range map[string]string{"files": "ulimit -n 24", "memory": "ulimit -v 20000"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.limits = limits
			list := h.many(12)
			allUp(t, list)
			allUp(t, list)
			for i, s := range list {
				if r := s.gate.now(); r.Off != "" {
					t.Errorf("package %d: %v", i, r)
				}
			}
		})
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
			a := begin(t, hung).(*asked)
			defer a.Kill(0)
			up(t, other)
			isShells := func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				return a.real != nil
			}
			eventually(t, "the shell is asked", isShells)
			up(t, other)
			a.Kill(0)
			<-a.Done()
			up(t, other)
			if n := h.workers.Load(); n < 2 {
				t.Errorf("%d workers", n)
			}
		})
	}
}
