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
	"backtowork/internal/lock"
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

// A name that may be each of two nodes is the word about none.
func TestSaidDown(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ holder, unfenced, down, node, err string }{
		{"", "web.a web.b", "web.b", "web.b", ""},
		{"", "web.a web.b", "web", "", "--node-is-down web may be each of web.a and web.b: give the name in full; nothing was done"},
		{"web.a", "web.b", "web", "", "--node-is-down web may be each of web.a and web.b: give the name in full; nothing was done"},
		{"web.a", "web", "web", "web", ""},
		{"web.a", "web.a", "WEB", "web.a", ""},
		{"web", "Web", "Web", "Web", ""},
		{"web", "Web", "WEB", "", "--node-is-down WEB may be each of web and Web: give the name in full; nothing was done"},
		{"db", "web.a", "web", "web.a", ""},
		{"db", "web.a", "web.b", "", ""},
		{"", "", "web", "", ""},
	} {
		k := lock.Lock{Unfenced: lock.Nodes(row.unfenced)}
		if row.holder != "" {
			k.Node, k.Session = row.holder, "s"
		}
		node, err := saidDown(k, row.down)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if node != row.node || said != row.err {
			t.Errorf("%s, held by %q, of %q: %q, %q", row.down, row.holder, row.unfenced, node, said)
		}
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
