//go:build linux

package testscripts

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is the user's side of a terminal at which a shell with job control runs.
type terminal struct {
	t    *testing.T
	keys *os.File
	mu   sync.Mutex
	seen bytes.Buffer
	read int // how much of what was seen wants has passed
}

func (p *terminal) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.Write(b)
}

// newTerminal starts bash at a terminal of its own, as a user's login shell.
func newTerminal(t *testing.T, env ...string) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	conn, err := keys.SyscallConn()
	must(t, err)
	n := 0
	must(t, conn.Control(func(fd uintptr) {
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err == nil {
			err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		}
	}))
	must(t, err)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	shell := exec.Command("bash", "--norc", "--noediting", "-i")
	shell.Env = append(os.Environ(), append(env, "PS1=", "GORACE=atexit_sleep_ms=0")...)
	shell.Stdin, shell.Stdout, shell.Stderr = tty, tty, tty
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, shell.Start())
	must(t, tty.Close())
	p := &terminal{t: t, keys: keys}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(p, keys) // until nobody has the terminal open
	}()
	t.Cleanup(func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
		_ = keys.Close()
		<-read
	})
	return p
}

// types types on the keyboard.
func (p *terminal) types(keys string) {
	p.t.Helper()
	_, err := io.WriteString(p.keys, keys)
	must(p.t, err)
}

// wants waits until text comes up after what was wanted before.
func (p *terminal) wants(text string) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); ; <-tick.C {
		p.mu.Lock()
		i := bytes.Index(p.seen.Bytes()[p.read:], []byte(text))
		if i >= 0 {
			p.read += i + len(text)
			p.mu.Unlock()
			return
		}
		shown := string(p.seen.Bytes()[p.read:])
		p.mu.Unlock()
		if time.Now().After(end) {
			p.t.Fatalf("%q does not come up; the terminal shows %q", text, shown)
		}
	}
}

// TestExecAtTerminal: dex-exec is a job like any other, and while it is stopped nobody else has
// its lock.
func TestExecAtTerminal(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for _, dir := range []string{"conf", "packages", "dex-lock/conf"} {
		must(t, os.MkdirAll(filepath.Join(home, dir), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(home, "dex-lock/conf/lock_servers"), []byte("localhost:"+freePort()+"\n"), 0o644))
	env := []string{"BTW_HOME=" + home, "WORK=" + home}
	must(t, endsWithUs(home))
	t.Cleanup(func() { endAll(home) })
	start := exec.Command("dex-server-init")
	start.Env = append(os.Environ(), env...)
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	p := newTerminal(t, env...)
	p.types(`dex-exec -t 3 L -- sh -c 'trap "n=\$((n+1)) ; echo caught \$n. ; [ \$n -lt 2 ] || exit 5" INT ; while : ; do i=$((i+1)) ; [ $((i % 20000)) -ne 0 ] || echo ti""ck ; done'` + "\n")
	p.wants("tick")
	p.types("\x1a") // Ctrl-Z
	p.wants("Stopped")
	p.types("sleep 4 ; dex-exec -w 0 L -- echo never ; echo sta\"\"tus $?\n")
	p.wants("status 75")
	p.types("fg\n")
	p.wants("dex-exec -t 3 L")
	p.wants("tick") // it has the terminal again
	p.types("\x03") // Ctrl-C
	p.wants("caught 1.")
	p.types("\x1a")
	p.wants("Stopped")
	p.types("fg\n")
	p.wants("dex-exec -t 3 L")
	p.wants("tick") // it has the terminal again
	p.types("\x03")
	p.wants("caught 2.")
	p.types("echo sta\"\"tus $?\n")
	p.wants("status 5")

	p.types("dex-exec -w 0 L -- sh -c 'echo typ\"\"e ; exec cat' | sed s/cat/dog/\n")
	p.wants("type")
	p.types("a cat\n\x04")
	p.wants("a dog")
	p.types("dex-exec -w 0 L -- sh -c 'kill -STOP $$ ; echo wok\"\"en' &\n")
	p.types("sleep 0.5 ; dex-exec -w 0 L -- true ; echo sta\"\"tus $?\n")
	p.wants("status 75")
	p.types("fg\n")
	p.wants("woken")
}
