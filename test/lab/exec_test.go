//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// jobScript is a job that ignores TERM, and leaves a daemon that ignores it too. Both note when
// they ran, for the verdict of the lab.
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

	l.lab("sig", third, "exec", "STOP") // the keeper, which is dex-exec's other process, keeps the lock
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

// labFails does what lab does, whatever the exit status is.
func (l *lab) labFails(args ...string) string {
	cmd := exec.Command(l.repo+"/utils/lab", args...)
	cmd.Env = append(os.Environ(), "LAB_NAME="+l.name)
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
