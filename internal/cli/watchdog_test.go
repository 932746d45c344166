package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/lease"
	"backtowork/internal/watchdog"

	"golang.org/x/sys/unix"
)

// The tests start this binary again as other processes; the name by which it is called says as
// what.
func init() {
	switch filepath.Base(os.Args[0]) {
	case "watchdog":
		os.Exit(Main())
	case "test-deadman":
		testDeadman(os.Args[1], os.Args[2])
	}
}

// testDeadman tells the watchdog that package p may run for d more, then tells it nothing until it
// is killed.
func testDeadman(socket, d string) {
	left, err := time.ParseDuration(d)
	if err == nil {
		var c *watchdog.Client
		if c, err = watchdog.Dial(socket); err == nil {
			err = c.Hold("p", lease.System().Now().Add(left), 0)
		}
	}
	fmt.Println("held", err)
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test
	os.Exit(0)
}

// A watchedHome is a home whose hardware watchdog is a file.
type watchedHome struct {
	*site
	t      *testing.T
	device string
}

func newWatchedHome(t *testing.T) *watchedHome {
	t.Helper()
	home := t.TempDir()
	h := &watchedHome{t: t, device: filepath.Join(home, "device")}
	for _, dir := range []string{"conf", "dex-lock"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.write(h.device, "")
	h.write(watchdogConf(home), h.device+" # a file\n")
	var err error
	if h.site, err = openSite(&command.Env{Name: "test", Home: home, Stderr: io.Discard, Getenv: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pid := h.pid(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			h.eventually("the watchdog process is gone", func() bool { return h.pid() == 0 })
		}
	})
	return h
}

func (h *watchedHome) write(path, text string) {
	h.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *watchedHome) start() error { return h.startWatchdog(context.Background()) }

func (h *watchedHome) mustStart() {
	h.t.Helper()
	if err := h.start(); err != nil {
		h.t.Fatal(err)
	}
}

// pid is the process that has the pid file locked, 0 if none has.
func (h *watchedHome) pid() int {
	f, err := os.Open(watchdogPID(h.Home))
	if err != nil {
		return 0
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0
	}
	line, _ := bufio.NewReader(f).ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	return pid
}

// eventually waits, for 10 s, until is so.
func (h *watchedHome) eventually(what string, is func() bool) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	h.t.Errorf("not seen in 10 s: %s", what)
}

// got is what was written to the device.
func (h *watchedHome) got() string {
	b, err := os.ReadFile(h.device)
	if err != nil {
		h.t.Error(err)
	}
	return string(b)
}

// logged is what the watchdog processes have logged.
func (h *watchedHome) logged() string {
	b, err := os.ReadFile(filepath.Join(h.Home, "log/watchdog.log"))
	if err != nil {
		h.t.Error(err)
	}
	return string(b)
}

// inForce says whether the watchdog answers.
func (h *watchedHome) inForce() error {
	c, err := watchdog.Dial(watchdogSocket(h.Home))
	if err != nil {
		return err
	}
	return c.Close()
}

// deadman starts a process that holds package p for d. kill is kill -9, and waits for its end.
func (h *watchedHome) deadman(d time.Duration) (kill func()) {
	h.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(exe, watchdogSocket(h.Home), d.String())
	cmd.Args[0] = "test-deadman"
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = stdin.Close() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held <nil>\n" {
		h.t.Fatalf("the deadman says %q, %v", line, err)
	}
	return func() {
		if err := cmd.Process.Kill(); err != nil {
			h.t.Error(err)
		}
		_ = cmd.Wait()
	}
}

func TestWatchdogNotWanted(t *testing.T) {
	t.Parallel()
	h := newWatchedHome(t)
	if err := os.Remove(watchdogConf(h.Home)); err != nil {
		t.Fatal(err)
	}
	if err := h.start(); err != nil || h.pid() != 0 {
		t.Errorf("with no conf/watchdog: %v, process %d; want nothing", err, h.pid())
	}
}

// What cannot be a watchdog is refused in one line, and leaves no process.
func TestWatchdogRefused(t *testing.T) {
	t.Parallel()
	h := newWatchedHome(t)
	missing := filepath.Join(h.Home, "missing")
	for _, row := range []struct{ conf, says string }{
		{missing, fmt.Sprintf("cannot open the watchdog %q: no such file or directory", missing)},
		{h.Home, fmt.Sprintf("cannot open the watchdog %q: is a directory", h.Home)},
		{"device", watchdogConf(h.Home) + `: cannot use "device": say the absolute path of a device`},
		{"# none", watchdogConf(h.Home) + ": the path of one device is wanted there, not 0 words"},
		{"/dev/watchdog0 /dev/watchdog1", watchdogConf(h.Home) + ": the path of one device is wanted there, not 2 words"},
	} {
		h.write(watchdogConf(h.Home), row.conf+"\n")
		if err := h.start(); err == nil || err.Error() != row.says {
			t.Errorf("conf/watchdog with %q: %v, want %s", row.conf, err, row.says)
		}
		h.eventually("no watchdog process", func() bool { return h.pid() == 0 })
	}
}

// One process at a time; with nothing held TERM ends it, and disarms the device.
func TestWatchdogEnds(t *testing.T) {
	t.Parallel()
	h := newWatchedHome(t)
	h.mustStart()
	pid := h.pid()
	if pid == 0 {
		t.Fatal("no process has the pid file locked")
	}
	h.eventually("the device is fed", func() bool { return h.got() != "" })
	h.eventually("the log says so", func() bool { return strings.Contains(h.logged(), "in force") })
	if session, err := unix.Getsid(pid); session != pid || err != nil {
		t.Errorf("process %d is in session %d (%v), want one of its own", pid, session, err)
	}
	logged := h.logged()
	h.mustStart()
	if h.pid() != pid || h.logged() != logged {
		t.Errorf("process %d was followed by %d, or more was logged:\n%s", pid, h.pid(), h.logged())
	}
	if err := h.launchWatchdog(t.Context()); err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf("the watchdog process runs already: process %d", pid)) {
		t.Errorf("a second one: %v, want it refused", err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.eventually("the end of the process", func() bool { return h.pid() == 0 })
	if strings.Trim(h.got(), "\x00") != "V" || !strings.HasSuffix(h.got(), "V") {
		t.Errorf("the device has %q, want it fed, and disarmed at last", h.got())
	}
	if _, err := os.Stat(watchdogSocket(h.Home)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	h.mustStart() // and again
}

// A package whose deadman was killed still counts: while its time runs TERM does not end the
// process, and once it is late the machine will be reset, whoever starts another watchdog process.
func TestWatchdogKilledDeadman(t *testing.T) {
	t.Parallel()
	h := newWatchedHome(t)
	h.mustStart()
	pid := h.pid()
	kill := h.deadman(3 * time.Second)
	kill()
	if err := errors.Join(syscall.Kill(pid, syscall.SIGTERM), h.inForce()); err != nil {
		t.Errorf("after TERM, with a package held: %v", err)
	}
	var refusal watchdog.Refusal
	h.eventually("the feeding stops", func() bool { return errors.As(h.inForce(), &refusal) })
	if !strings.Contains(refusal.Error(), `"p"`) {
		t.Errorf("it says %q, want the package named", refusal)
	}
	if err := h.start(); !errors.As(err, &refusal) {
		t.Errorf("a start while it does not feed: %v, want its refusal", err)
	}
	h.eventually("the stop is written down", func() bool {
		b, _ := os.ReadFile(watchdogPID(h.Home))
		return strings.Contains(string(b), watchdogStopped)
	})
	if err := errors.Join(syscall.Kill(pid, syscall.SIGTERM), syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	h.eventually("the end of the process", func() bool { return h.pid() == 0 })
	fed := h.got()
	if err := h.start(); err == nil || !strings.Contains(err.Error(), `not fed any more in this boot, since package "p"`) {
		t.Errorf("a start after that: %v, want it refused", err)
	}
	if strings.Contains(fed, "V") || h.got() != fed {
		t.Errorf("the device has %q, and then %q; want it neither disarmed nor fed", fed, h.got())
	}
	if h.pid() != 0 {
		t.FailNow() // its number must not be overwritten
	}
	h.write(watchdogPID(h.Home), "0\nstopped 00000000-0000-0000-0000-000000000000 p\n") // in another boot
	h.mustStart()
}

// Where it may, the process is locked in memory, with all of its program, and the last to be killed.
func TestWatchdogProtected(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may")
	}
	h := newWatchedHome(t)
	h.mustStart()
	proc := fmt.Sprintf("/proc/%d/", h.pid())
	score, err1 := os.ReadFile(proc + "oom_score_adj")
	mappings, err2 := os.ReadFile(proc + "smaps")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	may := os.WriteFile(proc+"oom_score_adj", []byte("-1000"), 0) == nil // not every container lets root
	if may && string(score) != "-1000\n" {
		t.Errorf("oom_score_adj is %q, want -1000", score)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var size, resident, locked int // of the program, in kB
	ours := false
	for line := range strings.Lines(string(mappings)) {
		var kB int
		var key string
		switch n, _ := fmt.Sscan(line, &key, &kB); {
		case !strings.HasSuffix(key, ":"): // a mapping begins
			ours = strings.HasSuffix(line, exe+"\n")
		case !ours || n < 2:
		case key == "Size:":
			size += kB
		case key == "Rss:":
			resident += kB
		case key == "Locked:":
			locked += kB
		}
	}
	if size == 0 || resident != size || locked == 0 {
		t.Errorf("of %d kB of the program %d are in memory, %d locked; want all", size, resident, locked)
	}
}
