package testscripts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ender is the name by which this program ends what is left of a killed test run: packages and lock servers live on
// without their parent, as they are made to.
const ender = "end-orphans"

// endOrphans reads the directories of scripts, until the test run is gone; then it ends the processes of these.
func endOrphans() {
	var dirs []string
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		dirs = append(dirs, in.Text())
	}
	for _, dir := range dirs {
		endAll(dir)
	}
	os.Exit(0)
}

// startEnder starts the process that outlives this one by a moment. What is written to it are directories of scripts.
var startEnder = sync.OnceValues(func() (io.Writer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Args = []string{ender}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // else a Ctrl-C would end it too
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return in, cmd.Start()
})

// endsWithUs has the processes of a script that works in dir end with this test run, however that ends.
func endsWithUs(dir string) error {
	to, err := startEnder()
	if err == nil {
		_, err = fmt.Fprintln(to, dir)
	}
	return err
}

// TestEndOrphans: a process of a script whose test run is gone ends.
func TestEndOrphans(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := exec.Command("sleep", "60")
	left.Env = append(os.Environ(), "WORK="+dir)
	must(t, left.Start())
	ended := make(chan error, 1)
	go func() { ended <- left.Wait() }()
	self, err := os.Executable()
	must(t, err)
	run := exec.Command(self)
	run.Args = []string{ender}
	in, err := run.StdinPipe()
	must(t, err)
	must(t, run.Start())
	_, err = fmt.Fprintln(in, dir)
	must(t, err)
	must(t, in.Close())
	must(t, run.Wait())
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = left.Process.Kill()
		t.Error("a process of a script outlives its test run")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
