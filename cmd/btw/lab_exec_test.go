package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is the other side of one at which a shell with job control sits.
type terminal struct {
	t    *testing.T
	keys *os.File
	mu   sync.Mutex
	seen bytes.Buffer
	read int // of what was seen, by wants
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

// jobScript leaves a daemon that TERM does not end, and ends as little itself. Both note when they
// ran, for the verdict of the lab.
const jobScript = `#!/bin/sh
trap '' TERM
note () { run=$(date +%s.%N) ; while : ; do date "+$run %s.%N" ; sleep 0.02 ; done >> /opt/probe.run ; }
[ "$1" = daemon ] || setsid "$0" daemon < /dev/null &
note
`

// execT is the timeout of the story's dex-exec, execM the margin.
const (
	execT = 6 * time.Second
	execM = 500 * time.Millisecond
)

// execOnHosts: three hosts run a job by dex-exec, each as soon as it can. Whatever happens to a
// host or to dex-exec, two of them never run at a time, daemons included. Meanwhile a dex-wait
// sees no change where there is none.
func execOnHosts(t *testing.T, tr tree) {
	l := newLab(t, tr, 3, nil, map[string]string{"dex-lock/conf/lock_servers": "h1 h2 h3"})
	for _, host := range l.hosts {
		must(t, os.WriteFile(filepath.Join(l.dir, host, "opt/job"), []byte(jobScript), 0o755))
		l.lab("exec", "-w", labHome, host, "./dex-lock/dex-server-init")
	}
	l.leader(l.hosts...)
	l.await(5*time.Second, "dex-servers finds nothing", func() bool {
		return !strings.Contains(l.labFails("exec", "-w", labHome, "h1", "./dex-lock/dex-servers"), "\n\n")
	})
	for _, host := range l.hosts {
		l.lab("bg", "-w", labHome, host, "wait", "./dex-lock/dex-wait", "quiet")
		l.execJob(host)
	}
	first := l.jobRuns(5 * time.Second)

	begin := l.cutOff(first, first)
	next := l.jobRuns(execT+execM+takeOver+election+5*time.Second, first)
	within(t, "runs elsewhere after a cut", begin, time.Now(), execT+execM+takeOver+election)
	l.exec76(first)
	l.healAll()
	l.execJob(first)

	begin = time.Now()
	l.lab("sig", next, "exec", "KILL")
	third := l.jobRuns(10*time.Second, next)
	within(t, "runs elsewhere after SIGKILL of dex-exec", begin, time.Now(), 5*time.Second)

	l.lab("sig", third, "exec", "STOP") // the lock is kept by the other process of it
	l.stays(execT+execM+time.Second, "goes on on "+third, func() bool { return l.jobOn(third) })

	begin = l.crash(third)
	l.jobRuns(execT+execM+takeOver+election+5*time.Second, third)
	within(t, "runs elsewhere after a crash", begin, time.Now(), execT+execM+takeOver+election)
	said := l.labFails("exec", "-w", labHome, l.others(third)[0], "./dex-lock/dex-servers")
	if !strings.Contains(said, "\n"+third+" does not answer: ") {
		t.Errorf("dex-servers without %s says\n%s", third, said)
	}
	for _, host := range l.others(third) {
		if _, err := os.Stat(filepath.Join(l.dir, host, "bg/wait.rc")); err == nil {
			t.Errorf("dex-wait on %s ended, but nothing has changed", host)
		}
	}
}

// labFails is lab, whatever the exit status.
func (l *lab) labFails(args ...string) string {
	cmd := exec.Command(l.repo+"/utils/lab", args...)
	cmd.Env = append(os.Environ(), "PATH="+systemPath(), "LAB_NAME="+l.name)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// execJob starts the job on a host.
func (l *lab) execJob(host string) {
	l.t.Helper()
	l.lab("bg", "-w", labHome, host, "exec", "./dex-lock/dex-exec", "-t", "6", "L", "--", "/opt/job")
}

// jobOn says whether the job has run on a host in the last half of a second.
func (l *lab) jobOn(host string) bool {
	info, err := os.Stat(filepath.Join(l.dir, host, "opt/probe.run"))
	return err == nil && time.Since(info.ModTime()) < 500*time.Millisecond
}

// jobRuns waits until the job runs on a host other than those named, and returns it.
func (l *lab) jobRuns(limit time.Duration, not ...string) (host string) {
	l.t.Helper()
	l.await(limit, "the job runs", func() bool {
		for _, host = range l.hosts {
			if !slices.Contains(not, host) && l.jobOn(host) {
				return true
			}
		}
		return false
	})
	return host
}

// exec76 waits until the dex-exec of a host has ended, and wants the status of a lost lock.
func (l *lab) exec76(host string) {
	l.t.Helper()
	path := filepath.Join(l.dir, host, "bg/exec.rc")
	l.await(2*execT, "dex-exec ends", func() bool { _, err := os.Stat(path); return err == nil })
	if text, _ := os.ReadFile(path); strings.TrimSpace(string(text)) != "76" {
		l.t.Errorf("dex-exec on %s exits %s, want 76", host, text)
	}
}
