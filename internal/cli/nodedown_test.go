//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
)

// Who says at a terminal that a node is off types its name; elsewhere the option is enough.
func TestCertain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		typed string
		ok    bool
	}{{"h1\n", true}, {" h1 \n", true}, {"\n", false}, {"y\n", false}, {"h2\n", false}} {
		keys, tty := openTerminal(t)
		if _, err := keys.WriteString(row.typed); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		s := &site{env: &command.Env{Stdin: tty, Stdout: &out}}
		if err := s.certain("p", "h1"); (err == nil) != row.ok || !strings.Contains(out.String(), `Type "h1" to go on: `) {
			t.Errorf("%q typed: %v; said %q", row.typed, err, out.String())
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var out bytes.Buffer
	if err := (&site{env: &command.Env{Stdin: null, Stdout: &out}}).certain("p", "h1"); err != nil || out.Len() > 0 {
		t.Errorf("without a terminal: %v, %q", err, out.String())
	}
}

// openTerminal is a terminal, and its keyboard.
func openTerminal(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(keys.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keys.Close(), tty.Close() })
	return keys, tty
}
