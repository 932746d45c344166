//go:build linux

package script

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who has Commands reaps every child, so each test of them is a process of its own: a scene.
func init() {
	if name := os.Getenv("SCRIPT_TEST_SCENE"); name != "" {
		play(name)
	}
}

type scene struct {
	*Commands
	mode string
	came map[string]Ended // received while another was waited for
}

var scenes = map[string]func(s *scene){
	"kill":     (*scene).kill,
	"signal":   (*scene).signal,
	"ends":     (*scene).ends,
	"many":     (*scene).many,
	"refused":  (*scene).refused,
	"signals":  (*scene).signals,
	"bomb":     (*scene).bomb,
	"prepared": (*scene).prepared,
	"aside":    (*scene).aside,
	"seen":     (*scene).seenBefore,
	"adopt":    (*scene).adopt,
	"tidy":     (*scene).tidy,
}

// play does a scene, or what a scene needs another process for.
func play(name string) {
	s := &scene{mode: os.Getenv("SCRIPT_TEST_MODE"), came: make(map[string]Ended)}
	if name == "dies" {
		s.dies()
	}
	var err error
	if name == "adopt" {
		s.dying()
	}
	s.Commands, err = NewCommands(s.config())
	s.must(err)
	if s.dir == "" && s.mode == "" {
		s.fail("no cgroup")
	}
	scenes[name](s)
	found, err := s.Found()
	s.must(err)
	_, err = s.Kill(slices.Collect(maps.Keys(found))...)
	s.must(err)
	s.Close()
	if s.dir != "" && exists(s.dir) {
		s.fail("%s is still there", s.dir)
	}
	os.Exit(0)
}

func (s *scene) config() CommandsConfig {
	wd, err := os.Getwd()
	s.must(err)
	return CommandsConfig{Name: "script-test." + strings.ReplaceAll(wd[len(os.TempDir()):], "/", "-"), Cgroup: s.mode}
}

func (s *scene) fail(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	if s.Commands != nil {
		if found, err := s.Found(); err == nil {
			_, _ = s.Kill(slices.Collect(maps.Keys(found))...)
		}
		s.Close()
	}
	os.Exit(1)
}

func (s *scene) must(err error) {
	if err != nil {
		_, _, line, _ := runtime.Caller(1)
		s.fail("line %d: %v", line, err)
	}
}

// sh starts a shell command; $T is the directory of the scene.
func (s *scene) sh(key, command string, change ...func(*Launch)) int {
	pid, err := s.Start(key, s.launch(command, change...))
	s.must(err)
	return pid
}

func (s *scene) launch(command string, change ...func(*Launch)) Launch {
	l := Launch{Argv: []string{"/bin/sh", "-c", command}, Env: []string{"PATH=/usr/bin:/bin"}}
	l.Files[1], l.Files[2] = os.Stdout, os.Stderr
	for _, f := range change {
		f(&l)
	}
	return l
}

// end waits for the end of key's command.
func (s *scene) end(key string) Ended {
	late := time.After(20 * time.Second)
	for {
		if e, ok := s.came[key]; ok {
			delete(s.came, key)
			return e
		}
		select {
		case e := <-s.Ended():
			if _, twice := s.came[e.Key]; twice {
				s.fail("told twice: %v", e)
			}
			s.came[e.Key] = e
		case <-late:
			s.fail("the end of %s is not told", key)
		}
	}
}

func (s *scene) eventually(what string, ok func() bool) {
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.fail("not within 20 s: %s", what)
		}
	}
}

// noted waits for n pids in file.
func (s *scene) noted(file string, n int) (pids []int) {
	s.eventually(fmt.Sprintf("%d pids in %s", n, file), func() bool {
		data, _ := os.ReadFile(file)
		pids = parsePIDs(data)
		return bytes.Count(data, []byte("\n")) >= n
	})
	return pids
}

// alive is the pids of Alive.
func (s *scene) alive(key string) (pids []int) {
	found, err := s.Alive(key)
	s.must(err)
	for _, p := range found[key] {
		pids = append(pids, p.PID)
	}
	return pids
}

// inScene plays a scene, in each mode; what it has noted in pids must be gone then.
func inScene(t *testing.T, name string, with ...string) {
	t.Helper()
	eachMode(t, func(t *testing.T, mode string) {
		argv := append(slices.Clone(with), "/proc/"+strconv.Itoa(os.Getpid())+"/exe")
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "SCRIPT_TEST_SCENE="+name, "SCRIPT_TEST_MODE="+mode, "GORACE=atexit_sleep_ms=0")
		cmd.WaitDelay = 5 * time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		data, _ := os.ReadFile(filepath.Join(cmd.Dir, "pids"))
		for _, pid := range parsePIDs(data) {
			if lives(pid) {
				t.Errorf("%d is alive: %s", pid, command(pid))
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
}

func TestCommandsKill(t *testing.T)     { inScene(t, "kill") }
func TestCommandsSignal(t *testing.T)   { inScene(t, "signal") }
func TestCommandsEnded(t *testing.T)    { inScene(t, "ends") }
func TestCommandsMany(t *testing.T)     { inScene(t, "many") }
func TestCommandsRefused(t *testing.T)  { inScene(t, "refused") }
func TestCommandsBomb(t *testing.T)     { inScene(t, "bomb") }
func TestCommandsPrepared(t *testing.T) { inScene(t, "prepared") }
func TestCommandsAside(t *testing.T)    { inScene(t, "aside") }
func TestCommandsSeen(t *testing.T)     { inScene(t, "seen") }
func TestCommandsAdopt(t *testing.T)    { inScene(t, "adopt") }
func TestCommandsTidy(t *testing.T)     { inScene(t, "tidy") }

// As after `clinit -d &` in a shell without job control, or under nohup.
func TestCommandsSignals(t *testing.T) {
	inScene(t, "signals", "/bin/sh", "-c", `trap "" HUP INT QUIT TSTP; exec "$0"`)
}

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
		script, n = script+"(env -i setsid sh -c '(echo >>pids; "+deaf+") & exit' &)\n", n+1
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
setsid env -u CLINIT_DAEMON -u CLINIT_ENTRY BTW_ASIDE=back-to-work sh -c 'echo $$ >>beside; env -u BTW_ASIDE setsid sleep 60 & echo $! >>beside; wait' &
setsid env BTW_ASIDE=x sh -c 'echo $$ >>pids; exec sleep 60' &
exec sleep 60`)
	pids, beside := s.noted("pids", 2), s.noted("beside", 2)
	want := slices.Clone(pids)
	if s.mode == "" {
		want = append(want, beside[1]) // as long as it is in the cgroup
	}
	got := s.alive("a")
	if slices.Sort(want); !slices.Equal(got, want) {
		s.fail("alive: %v, want %v", got, want)
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

// dies starts commands and waits for its death.
func (s *scene) dies() {
	var err error
	s.Commands, err = NewCommands(s.config())
	s.must(err)
	s.sh("a/.1", `setsid sleep 60 & echo $! >>pids; echo $$ >>pids; exec sleep 60`)
	s.sh("b", `setsid sleep 60 & echo $! >>pids; exit 0`)
	s.sh("c", `exit 0`)
	s.end("b")
	s.end("c")
	s.noted("pids", 3)
	s.must(os.WriteFile("ready", nil, 0o600))
	select {}
}

// dying has another process die that has started commands.
func (s *scene) dying() {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SCRIPT_TEST_SCENE=dies")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	s.must(cmd.Start())
	s.eventually("it is ready", func() bool { return exists("ready") })
	s.must(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
}

// What a daemon that was killed has left is found, followed and ended by the next.
func (s *scene) adopt() {
	found, err := s.Found()
	s.must(err)
	if keys := slices.Sorted(maps.Keys(found)); !slices.Equal(keys, []string{"a/.1", "b"}) || len(found["a/.1"]) != 2 || len(found["b"]) != 1 {
		s.fail("found: %v", found)
	}
	data, _ := os.ReadFile("pids")
	pid, err := s.Adopt("a/.1")
	if s.must(err); !slices.Contains(parsePIDs(data), pid) {
		s.fail("adopted %d, not one of %s", pid, data)
	}
	again, err := s.Adopt("a/.1")
	if s.must(err); again != pid {
		s.fail("adopted %d, and then %d", pid, again)
	}
	if none, err := s.Adopt("c"); none != 0 || err != nil {
		s.fail("adopted of nothing: %d, %v", none, err)
	}
	s.must(s.Signal(syscall.SIGTERM, "a/.1"))
	if e := s.end("a/.1"); e.PID != pid || e.Status != -1 {
		s.fail("told %v, want pid %d and -1", e, pid)
	}
	s.eventually("nothing is left", func() bool { return len(s.alive("a/.1")) == 0 })
	if left, err := s.Kill("b"); len(left) > 0 || err != nil {
		s.fail("Kill: %v, %v", left, err)
	}
	if len(s.came) > 0 {
		s.fail("told besides: %v", s.came)
	}
}

// A cgroup is there only while something is in it, and may be used again after a kill.
func (s *scene) tidy() {
	if s.dir == "" {
		return
	}
	s.sh("a.b/c", `echo $$ >>pids; exec sleep 60`)
	s.noted("pids", 1)
	dir := s.cgroup("a.b/c")
	s.must(os.Mkdir(filepath.Join(dir, "below"), 0o755))
	s.must(os.WriteFile(filepath.Join(dir, "below", "cgroup.procs"), []byte(itoa(s.noted("pids", 1)[0])), 0))
	if got := s.alive("a.b/c"); !slices.Equal(got, s.noted("pids", 1)) {
		s.fail("alive: %v", got)
	}
	s.sh("a.b/c", `echo $$ >>pids; exec sleep 60`) // beside what is there
	if got := s.alive("a.b/c"); len(got) != 2 {
		s.fail("alive: %v, want both", got)
	}
	_, err := s.Kill("a.b/c")
	s.must(err)
	s.eventually("the cgroup is gone", func() bool { return !exists(dir) })
	if s.loose {
		s.fail("it was started outside of the cgroup")
	}
}

func TestEldest(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		of   []proc
		want int
	}{
		"nothing":        {nil, 0},
		"parent":         {[]proc{{pid: 7, ppid: 9, start: 5}, {pid: 9, ppid: 1, start: 5}}, 9},
		"older":          {[]proc{{pid: 7, ppid: 1, start: 6}, {pid: 9, ppid: 1, start: 5}}, 9},
		"leader":         {[]proc{{pid: 7, ppid: 1, pgrp: 9, start: 5}, {pid: 9, pgrp: 9, ppid: 1, start: 5}}, 9},
		"the first":      {[]proc{{pid: 7, ppid: 1, start: 5}, {pid: 9, ppid: 1, start: 5}}, 7},
		"a younger root": {[]proc{{pid: 7, ppid: 9, start: 4}, {pid: 9, ppid: 1, start: 5}}, 9},
	} {
		of := make(map[int]proc)
		for _, p := range row.of {
			of[p.pid] = p
		}
		if got, ok := eldest(of); got.pid != row.want || ok != (row.want != 0) {
			t.Errorf("%s: %d, want %d", name, got.pid, row.want)
		}
	}
}
