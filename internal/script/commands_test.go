//go:build linux

package script

import (
	"bytes"
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
