//go:build linux

package script

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Whatever comes out of a command is signalled and killed; what comes out of another is not.
func (s *scene) kill() {
	script := `
sh -c '` + deaf + `' &
setsid sh -c '` + deaf + `' &
setsid sh -c 'setsid sh -c "echo \$\$ >>pids; exec sleep 60" & exit' &
env -i sh -c 'echo $$ >>pids; exec /bin/sleep 60' &
sh -c 'echo $$ >>pids; kill -STOP $$' &
setsid sh -c 'echo $$ >>pids; kill -STOP $$' &
`
	n := 7
	if s.mode == "" {
		script, n = script+"(env -i setsid sh -c '(echo >>pids; "+deaf+") & exit' &)\n", n+2
	}
	s.sh("a", script+deaf)
	s.sh("b", `echo $$ >>spared; exec sleep 60`)
	spared := s.noted("spared", 1)
	pids := s.noted("pids", n)
	s.must(s.Signal(syscall.SIGTERM, "a"))
	if got := s.alive("a"); len(got) < 3 {
		s.fail("alive after TERM: %v, want the deaf", got)
	}
	left, err := s.Kill("a")
	s.must(err)
	if len(left) > 0 || slices.ContainsFunc(pids, lives) || len(s.alive("a")) > 0 {
		s.fail("left: %v", left)
	}
	if e := s.end("a"); e.Status != 137 {
		s.fail("told %v, want 137", e)
	}
	if !lives(spared[0]) || !slices.Equal(s.alive("b"), spared) {
		s.fail("of the other: %v, want %v", s.alive("b"), spared)
	}
	s.sh("a", `exit 7`) // again, after a kill
	if e := s.end("a"); e.Status != 7 {
		s.fail("told %v, want 7", e)
	}
}

// A signal comes once to all, also to what has left the group or is stopped.
func (s *scene) signal() {
	s.sh("a", `trap 'echo a >>heard; exit 7' TERM
setsid sh -c 'trap "echo b >>heard; exit" TERM; echo $$ >>pids; kill -STOP $$; wait' &
sh -c 'trap "echo c >>heard; exit" TERM; echo $$ >>pids; kill -STOP $$; wait' &
echo $$ >>pids; while :; do sleep 0.02; done`)
	pids := s.noted("pids", 3)
	s.eventually("the stops", func() bool {
		stopped := 0
		for _, pid := range pids {
			data, _ := os.ReadFile("/proc/" + itoa(pid) + "/status")
			stopped += strings.Count(string(data), "T (stopped)")
		}
		return stopped == 2
	})
	s.must(s.Signal(syscall.SIGTERM, "a"))
	if e := s.end("a"); e.Status != 7 {
		s.fail("told %v, want the trap's 7", e)
	}
	s.eventually("nothing is left", func() bool { return len(s.alive("a")) == 0 })
	heard, _ := os.ReadFile("heard")
	lines := strings.Fields(string(heard))
	if slices.Sort(lines); !slices.Equal(lines, []string{"a", "b", "c"}) {
		s.fail("heard: %q", lines)
	}
}

func (s *scene) ends() {
	for command, status := range map[string]int{"exit 0": 0, "exit 255": 255, "kill -KILL $$": 137, "kill -TERM $$": 143, "(sleep 60 &) ; exit 3": 3} {
		began := time.Now()
		pid := s.sh(command, command)
		if e := s.end(command); e.Status != status || e.PID != pid || e.At.Before(began) || e.At.After(time.Now()) {
			s.fail("%s: told %v, want status %d and pid %d", command, e, status, pid)
		}
	}
}

// What one costs is not held when it has ended, and none is forgotten.
func (s *scene) many() {
	const n = 500
	keys := make([]string, n)
	open := func() int { return len(s.files()) }
	s.sh("first", "exit 0")
	s.end("first")
	before := open()
	for i := range keys {
		keys[i] = "k" + itoa(i)
		pid, err := s.Start(keys[i], Launch{Argv: []string{"/bin/sleep", "60"}})
		s.must(err)
		if p, err := readProc(pid); err != nil || p.pgrp != pid {
			s.fail("%d is not the leader of a group: %+v, %v", pid, p, err)
		}
	}
	if got := open(); got > before+4 {
		s.fail("%d open files, %d before", got, before)
	}
	passes := s.Commands.passes
	found, err := s.Alive(keys...)
	s.must(err)
	want := 1
	if s.mode == "" {
		want = 0
	}
	if got := s.Commands.passes - passes; len(found) != n || got != want {
		s.fail("Alive: %d of %d, by %d looks at /proc, want %d", len(found), n, got, want)
	}
	s.must(s.Signal(syscall.SIGINT, keys...))
	for _, key := range keys {
		if e := s.end(key); e.Status != 130 {
			s.fail("told %v, want 130", e)
		}
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		s.fail("children are left: %v", err)
	}
	if got := open(); got > before+4 || len(s.came) > 0 {
		s.fail("%d open files, %d before; told besides: %v", got, before, s.came)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if s.must(err); len(threads) > 60 {
		s.fail("%d threads", len(threads))
	}
}

func (s *scene) files() []os.DirEntry {
	files, err := os.ReadDir("/proc/self/fd")
	s.must(err)
	return files
}

// What cannot be started is an error with its number, and touches nothing.
func (s *scene) refused() {
	s.must(os.WriteFile("plain", []byte("#!/bin/sh\n"), 0o644))
	s.must(os.WriteFile("text", []byte("exit 0\n"), 0o755))
	s.must(os.WriteFile("orphan", []byte("#!/no/such/shell\n"), 0o755))
	s.sh("other", `echo $$ >>pids; exec sleep 60`)
	s.noted("pids", 1)
	umask, nice := 0o27, 3
	for _, prepare := range []func(*Launch){
		func(*Launch) {},
		func(l *Launch) { l.Umask, l.Nice = &umask, &nice },
	} {
		for name, row := range map[string]struct {
			l    Launch
			want syscall.Errno
		}{
			"no such program":     {Launch{Argv: []string{"/no/such/program"}}, syscall.ENOENT},
			"no such interpreter": {Launch{Argv: []string{"./orphan"}}, syscall.ENOENT},
			"not executable":      {Launch{Argv: []string{"./plain"}}, syscall.EACCES},
			"no first line":       {Launch{Argv: []string{"./text"}}, syscall.ENOEXEC},
			"a directory":         {Launch{Argv: []string{"/"}}, syscall.EACCES},
			"no directory":        {Launch{Argv: []string{"/bin/true"}, Dir: "/no/such"}, syscall.ENOENT},
			"nothing":             {Launch{}, syscall.EINVAL},
			"no such limit":       {Launch{Argv: []string{"/bin/true"}, Limits: []Limit{{Name: "fun"}}}, syscall.EINVAL},
			"no such limit value": {Launch{Argv: []string{"/bin/true"}, Limits: []Limit{{"nofile", 2, 1}}}, syscall.EINVAL},
			"a NUL":               {Launch{Argv: []string{"/bin/true", "a\x00"}}, syscall.EINVAL},
		} {
			prepare(&row.l)
			_, err := s.Start("a", row.l)
			if !errors.Is(err, row.want) || !strings.HasPrefix(err.Error(), `cannot start "`) || row.l.Dir != "" && !strings.Contains(err.Error(), "/no/such") {
				s.fail("%s: %v, want %v", name, err, row.want)
			}
		}
	}
	for _, key := range []string{"", "a\x00b", strings.Repeat("k", 300)} {
		if _, err := s.Start(key, s.launch("exit 0")); err == nil {
			s.fail("key %q was taken", key)
		}
	}
	if s.dir != "" {
		s.eventually("its cgroup is gone", func() bool { return !exists(s.cgroup("a")) })
	}
	if s.loose {
		s.fail("cgroups are thought to be of no use")
	}
	s.sh("last", "exit 5") // all that was told before
	if e := s.end("last"); e.Status != 5 || len(s.came) > 0 || !slices.Equal(s.alive("other"), s.noted("pids", 1)) {
		s.fail("told %v and %v; alive %v", e, s.came, s.alive("other"))
	}
}

// No signal is ignored or blocked in a command, whatever is in this process.
func (s *scene) signals() {
	runtime.LockOSThread()
	s.must(unix.PthreadSigmask(unix.SIG_BLOCK, &unix.Sigset_t{Val: [16]uint64{1<<(unix.SIGUSR1-1) | 1<<(unix.SIGTERM-1)}}, nil))
	umask := 0o22
	for name, change := range map[string]func(*Launch){"direct": func(*Launch) {}, "prepared": func(l *Launch) { l.Umask = &umask }} {
		s.sh(name, `exec grep -E 'Sig(Ign|Blk)' /proc/self/status >`+name, change)
		s.end(name)
		got, _ := os.ReadFile(name)
		// make ignores 32 and 33 in what it runs. They are the C library's own, which sets them when it needs them.
		got = bytes.ReplaceAll(bytes.ReplaceAll(got, []byte("Ign:\t00000001"), []byte("Ign:\t00000000")), []byte("Ign:\t000000008"), []byte("Ign:\t000000000"))
		if want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"; string(got) != want {
			s.fail("%s: %q", name, got)
		}
	}
	data, _ := os.ReadFile("/proc/self/status")
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil || !strings.Contains(string(data), "SigBlk:\t0000000000004200") {
		s.fail("this process's own have changed: %v, %s", err, data)
	}
	time.Sleep(20 * time.Millisecond) // that INT must not end it
}

// What forks without end is ended.
func (s *scene) bomb() {
	s.sh("a", `trap "" TERM
i=0
while [ $i -lt 3000 ]; do
	setsid sh -c 'trap "" TERM; echo $$ >>pids; sleep 60 & exec sleep 60' &
	i=$((i+1))
done
wait`)
	s.noted("pids", 20)
	left, err := s.Kill("a")
	s.must(err)
	procs, err := processes()
	s.must(err)
	for pid := range procs {
		if env, _ := environ(pid); bytes.Contains(env, s.owner) {
			s.fail("%d is alive: %s (left: %v)", pid, command(pid), left)
		}
	}
}

// What a process does to itself before it becomes the command; its end is told even if it ends at once.
func (s *scene) prepared() {
	umask, nice := 0o27, 5
	s.must(os.Chmod(".", 0o777))
	dir, err := os.Getwd()
	s.must(err)
	for name, row := range map[string]struct {
		change  func(*Launch)
		command string
		want    string
	}{
		"umask": {func(l *Launch) { l.Umask = &umask }, "umask", "0027"},
		"nice":  {func(l *Launch) { l.Nice = &nice }, "nice", "5"},
		"limit": {func(l *Launch) { l.Limits = []Limit{{"nofile", 77, 99}, {"core", 0, 0}} }, "ulimit -Sn; ulimit -Hn; ulimit -c", "77 99 0"},
		"all":   {func(l *Launch) { l.Umask, l.Nice, l.Dir = &umask, &nice, "/" }, "umask; nice; pwd", "0027 5 /"},
		"env":   {func(l *Launch) { l.Nice, l.Env = &nice, []string{"A=b", AsideMark + "=x", keyMark + "=y"} }, `echo $A $BTW_ASIDE $CLINIT_ENTRY $PWD`, "b env " + dir},
	} {
		s.sh(name, "{ "+row.command+"; } >"+dir+"/out."+name, row.change)
		s.end(name)
		got, _ := os.ReadFile("out." + name)
		if strings.Join(strings.Fields(string(got)), " ") != row.want {
			s.fail("%s: %q, want %q", name, got, row.want)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	who := func(l *Launch) { l.Credential = &syscall.Credential{Uid: 65534, Gid: 65533, Groups: []uint32{65532}} }
	for name, change := range map[string]func(*Launch){"direct": func(*Launch) {}, "prepared": func(l *Launch) { l.Umask, l.Limits = &umask, []Limit{{"nofile", 77, 88}} }} {
		out, err := os.Create(name)
		s.must(err)
		s.sh(name, "id -u; id -g; id -G", who, change, func(l *Launch) { l.Files[1] = out })
		s.end(name)
		got, _ := os.ReadFile(name)
		if strings.Join(strings.Fields(string(got)), " ") != "65534 65533 65533 65532" {
			s.fail("%s: %q", name, got)
		}
	}
}

// A manager that a command has started is not the command's, nor is what that starts.
func (s *scene) aside() {
	s.sh("a", `echo $$ >>pids
setsid env -u CLINIT_DAEMON -u CLINIT_ENTRY BTW_ASIDE=back-to-work sh -c 'echo $$ >>beside; env -u BTW_ASIDE setsid sh -c "echo \$\$ >>beside; exec sleep 60" & wait' &
setsid env BTW_ASIDE=x sh -c 'echo $$ >>pids; exec sleep 60' &
exec sleep 60`)
	pids, beside := s.noted("pids", 2), s.noted("beside", 2)
	got := s.alive("a")
	if s.mode == "" { // what that starts is in the cgroup here
		got = slices.DeleteFunc(got, func(pid int) bool { return pid == beside[1] })
	}
	if slices.Sort(pids); !slices.Equal(got, pids) {
		s.fail("alive: %v, want %v", got, pids)
	}
	if s.mode != "" { // such a process leaves the cgroup by itself
		_, err := s.Kill("a")
		s.must(err)
		if !lives(beside[0]) || !lives(beside[1]) || lives(pids[0]) || lives(pids[1]) {
			s.fail("killed: the wrong ones")
		}
	}
	for _, pid := range beside {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// What was seen, or was in the group when its leader ended, stays known though nothing tells of it any more.
func (s *scene) seenBefore() {
	s.sh("a", `
setsid sh -c 'echo $$ >>pids; until [ -e go ]; do sleep 0.01; done; exec env -i /bin/sleep 60' &
until [ -e go ]; do sleep 0.01; done; exit 0`)
	pids := s.noted("pids", 1)
	if got := s.alive("a"); !slices.Contains(got, pids[0]) {
		s.fail("alive: %v, want %d", got, pids[0])
	}
	s.must(os.WriteFile("go", nil, 0o600))
	s.end("a")
	s.eventually("an empty environment", func() bool { return command(pids[0]) == "/bin/sleep 60" })
	if got := s.alive("a"); !slices.Contains(got, pids[0]) {
		s.fail("alive: %v, want %d", got, pids[0])
	}
	s.sh("b", `env -i /bin/sh -c 'echo $$ >>pids; exec /bin/sleep 60' & until [ "$(wc -l <pids)" -eq 2 ]; do sleep 0.01; done`)
	s.end("b")
	pids = s.noted("pids", 2)
	s.eventually("alive in the group", func() bool { return slices.Equal(s.alive("b"), pids[1:]) })
	if left, err := s.Kill("a", "b"); len(left) > 0 || err != nil || slices.ContainsFunc(pids, lives) {
		s.fail("Kill: %v, %v", left, err)
	}
}
