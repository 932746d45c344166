package clinit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/script"
)

func TestArgv(t *testing.T) {
	for line, want := range map[string]string{
		"sleep  10 ":       "sleep|10",
		"a=1 sleep 10":     "/bin/sh|-c|a=1 sleep 10",
		"sleep 10 > /x":    "/bin/sh|-c|sleep 10 > /x",
		"exec sleep 10":    "/bin/sh|-c|exec sleep 10",
		". /etc/x":         "/bin/sh|-c|. /etc/x",
		"execute this":     "execute|this",
		"/x --name=y ":     "/x|--name=y",
		"printf %s # hash": "printf|%s|#|hash",
		"a;b":              "/bin/sh|-c|a;b",
	} {
		if got := strings.Join(argv(line), "|"); got != want {
			t.Errorf("argv(%q) = %s, want %s", line, got, want)
		}
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"one/run": 0o755, "one/plain": 0o644, "two/plain": 0o755, "two/run": 0o755, "one/only": 0o600} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(dir, "two"))
	env := []string{"A=b", "PATH=" + dir + "/one:" + dir + "/two"}
	for _, c := range []struct{ name, want string }{
		{"run", dir + "/one/run"}, {"plain", dir + "/two/plain"}, {"./no/such", "./no/such"}, {"../x", "../x"},
	} {
		if got, err := lookPath(c.name, env); got != c.want || err != nil {
			t.Errorf("lookPath(%q) = %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	if got, err := lookPath("run", []string{"PATH="}); err == nil {
		t.Errorf("with an empty PATH there is %q", got)
	}
	if got, err := lookPath("run", []string{"PATH=:/no"}); got != "./run" {
		t.Errorf("in this directory, which PATH has as an empty word: %q, %v", got, err)
	}
	if _, err := lookPath("only", env); !errors.Is(err, syscall.EACCES) {
		t.Errorf("what nobody may run: %v", err)
	}
	if _, err := lookPath("none", env); err == nil || !strings.Contains(err.Error(), `no program "none" is in its PATH`) {
		t.Errorf("what is not there: %v", err)
	}
}

func TestLastOfEach(t *testing.T) {
	got := lastOfEach([]string{"A=1", "B=2", "A=3", "C"})
	if want := []string{"A=3", "B=2", "C"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What an entry says of its environment is stronger than all else.
func TestLaunch(t *testing.T) {
	l := &Launcher{Environ: []string{"HOME=/daemon", "TAG=other", "PATH=/bin:/usr/bin", "X=1"}}
	o := Options{User: "root", Env: []string{"HOME=/mine", "TAG=own"}}
	launch, err := l.launch(Entry{Options: o}, "sh", []string{"TAG=t", "LEVEL=1"})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(launch.Env)
	want := []string{"HOME=/mine", "LEVEL=1", "LOGNAME=root", "PATH=/bin:/usr/bin", "TAG=own", "USER=root", "X=1"}
	if !slices.Equal(launch.Env, want) {
		t.Errorf("its environment is %q, want %q", launch.Env, want)
	}
	if _, err := l.launch(Entry{Options: Options{User: "no-such-user"}}, "sh", nil); err == nil || err.Error() != `there is no user "no-such-user"` {
		t.Errorf("an unknown user: %v", err)
	}
}

// A log that is a pipe without a reader holds nobody up.
func TestOpenLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		_, err := OpenLog(path)
		opened <- err
	}()
	select {
	case err := <-opened:
		if err == nil || !strings.HasSuffix(err.Error(), "is a pipe that nobody reads") {
			t.Errorf("a pipe without a reader: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a reader")
	}
	f, err := OpenLog(path + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	if flags&syscall.O_NONBLOCK != 0 {
		t.Error("an entry has a log that does not block")
	}
}

// A script that names no program to run it is the shell's, as execvp has it.
func TestNoFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(path, []byte("exit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var begun []string
	l := &Launcher{Hands: starter(func(launch script.Launch) error {
		begun = append(begun, strings.Join(launch.Argv, " "))
		if launch.Argv[0] == path {
			return syscall.ENOEXEC
		}
		return nil
	})}
	if _, err := l.Start("t", Entry{}, path+" arg"); err != nil {
		t.Fatal(err)
	}
	if want := []string{path + " arg", "/bin/sh " + path + " arg"}; !slices.Equal(begun, want) {
		t.Errorf("begun %q, want %q", begun, want)
	}
}

// A starter is hands that start, and do nothing else.
type starter func(script.Launch) error

func (s starter) Start(_ string, l script.Launch) (int, error) { return 1, s(l) }
func (starter) Adopt(string) (int, error)                      { return 0, nil }
func (starter) Ended() <-chan script.Ended                     { return nil }
func (starter) Signal(syscall.Signal, ...string) error         { return nil }
func (starter) Kill(...string) (map[string][]script.Process, error) {
	return nil, nil
}
func (starter) Alive(...string) (map[string][]script.Process, error) { return nil, nil }
func (starter) Found() (map[string][]script.Process, error)          { return nil, nil }
