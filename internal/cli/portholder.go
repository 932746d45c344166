package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A portHolder is a lock server of another home on this host, which listens where this home's would.
type portHolder struct {
	pid  int
	home string
}

func (h portHolder) Error() string {
	return fmt.Sprintf("it is held by the lock server of %s (process %d)", h.home, h.pid)
}

// command is the dex-server of its home.
func (h portHolder) command() string {
	if file := filepath.Join(h.home, "bin/dex-server"); canExecute(file) == nil {
		return file
	}
	return filepath.Join(h.home, "dex-lock/dex-server")
}

// portHolderOf is the lock server that listens on a TCP port of this host; ok is false if another program does, or one
// of another user, whom only root may ask.
func portHolderOf(port string) (h portHolder, ok bool) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return h, false
	}
	sockets := listening(fmt.Sprintf(":%04X", n))
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err != nil || !sockets[target] {
			continue
		}
		process := filepath.Dir(filepath.Dir(fd))
		line, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		if name, _, _ := bytes.Cut(line, []byte{0}); filepath.Base(string(name)) != "dex-server" {
			continue
		}
		h.pid, _ = strconv.Atoi(filepath.Base(process))
		h.home = homeOf(process)
		return h, h.home != ""
	}
	return h, false
}

// listening are the sockets that listen on a port, as they are called in /proc/PID/fd.
func listening(port string) map[string]bool {
	const listens = "0A"
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], port) && f[3] == listens {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	return sockets
}

// homeOf is the home of one of our processes.
func homeOf(process string) string {
	env, _ := os.ReadFile(filepath.Join(process, "environ"))
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if home, ok := bytes.CutPrefix(v, []byte("BTW_HOME=")); ok {
			return string(home)
		}
	}
	exe, _ := os.Readlink(filepath.Join(process, "exe")) // it was started by hand
	if home, ok := homeAround(filepath.Dir(exe)); ok {
		return home
	}
	home, _ := os.Readlink(filepath.Join(process, "cwd"))
	return home
}
