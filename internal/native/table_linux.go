package native

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	coreutils = kind{ask: "--version", says: []string{"(GNU coreutils)"}}
	gnuGrep   = kind{ask: "--version", says: []string{"(GNU grep) 3."}}
	gnuSed    = kind{ask: "--version", says: []string{"(GNU sed) 4."}}
	procps    = kind{ask: "--version", says: []string{"from procps-ng 4.0."}}
	// Before, mountpoint ended with another status.
	utilLinux = kind{ask: "--version", says: []string{"from util-linux 2.38", "from util-linux 2.39", "from util-linux 2.4"}}
	iproute   = kind{ask: "-V", says: []string{"iproute2-"}} // ipstyle_linux.go looks closer
)

// table is all commands.
var table map[string]entry

func init() {
	dfEnv := []string{"DF_BLOCK_SIZE", "BLOCK_SIZE", "BLOCKSIZE"}
	lsEnv := []string{"LS_BLOCK_SIZE", "BLOCK_SIZE", "BLOCKSIZE", "QUOTING_STYLE", "COLUMNS", "TABSIZE"}
	psEnv := []string{"PS_FORMAT", "PS_PERSONALITY", "CMD_ENV", "I_WANT_A_BROKEN_PS", "COLUMNS", "LINES", "UNIX95", "_XPG"}
	hosts := []string{"RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES", "RESOLV_HOST_CONF", "RESOLV_MULTI", "RESOLV_REORDER"}
	table = map[string]entry{
		"arping":     {run: arping, is: kind{ask: "-V", says: []string{"iputils"}}, anyLocale: true},
		"basename":   {run: basename, is: coreutils, anyLocale: true},
		"cat":        {run: cat, is: coreutils, anyLocale: true},
		"cut":        {run: cut, is: coreutils},
		"date":       {run: date, is: coreutils},
		"df":         {run: diskFree, is: coreutils, env: dfEnv},
		"dirname":    {run: dirname, is: coreutils, anyLocale: true},
		"false":      {run: no, is: coreutils, anyLocale: true},
		"fuser":      {run: fuser, is: kind{ask: "-V", says: []string{"(PSmisc)"}}, anyLocale: true},
		"getent":     {run: getent, is: kind{ask: "--version", says: []string{"GLIBC", "GNU libc"}}, env: hosts},
		"grep":       {run: grep, is: gnuGrep, env: []string{"GREP_OPTIONS", "GREP_COLOR"}},
		"head":       {run: head, is: coreutils, anyLocale: true},
		"hostname":   {run: hostname, is: kind{ask: "--version", says: []string{"hostname 3.", "net-tools"}}, anyLocale: true},
		"id":         {run: id, is: coreutils},
		"ip":         {run: ip, is: iproute, anyLocale: true},
		"kill":       {run: kill, is: kind{ask: "--version", says: procps.says}, anyLocale: true},
		"ls":         {run: ls, is: coreutils, env: lsEnv},
		"mountpoint": {run: mountpoint, is: utilLinux, env: []string{"LIBMOUNT_FSTAB", "LIBMOUNT_FORCE_MOUNT2"}},
		"pgrep":      {run: pgrep, is: procps},
		"pidof":      {run: pidof, is: kind{says: []string{"killall5"}}, anyLocale: true},
		"pkill":      {run: pkill, is: procps},
		"ps":         {run: ps, is: procps, env: psEnv},
		"rm":         {run: rm, is: coreutils, anyLocale: true},
		"sed":        {run: sed, is: gnuSed},
		"sleep":      {run: sleep, is: coreutils, anyLocale: true},
		"stat":       {run: stat, is: coreutils, env: []string{"QUOTING_STYLE", "TZ"}},
		"tail":       {run: tail, is: coreutils, anyLocale: true},
		"test":       {run: test, is: kind{ask: "--version", says: coreutils.says, of: "["}, anyLocale: true},
		"[":          {run: test, is: coreutils, anyLocale: true},
		"touch":      {run: touch, is: coreutils, anyLocale: true},
		"tr":         {run: tr, is: coreutils},
		"true":       {run: yes, is: coreutils, anyLocale: true},
		"uname":      {run: uname, is: coreutils, anyLocale: true},
		"wc":         {run: wc, is: coreutils},
	}
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

func executable(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
}

// isNull reports whether it is /dev/null.
func isNull(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&os.ModeCharDevice != 0 && st.Rdev == unix.Mkdev(1, 3)
}

func isNullFile(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && isNull(info)
}

// uname prints what -s, -n, -r, -v, -m and -o ask for.
func uname(ctx context.Context, c *Call) (int, bool) {
	asked := ""
	for _, arg := range c.Args[1:] {
		if len(arg) < 2 || arg[0] != '-' || strings.Trim(arg[1:], "snrvmo") != "" {
			return 0, false
		}
		asked += arg[1:]
	}
	if asked == "" {
		asked = "s"
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return 0, false
	}
	var words []string
	for _, part := range []struct{ letter, text string }{
		{"s", unix.ByteSliceToString(u.Sysname[:])},
		{"n", unix.ByteSliceToString(u.Nodename[:])},
		{"r", unix.ByteSliceToString(u.Release[:])},
		{"v", unix.ByteSliceToString(u.Version[:])},
		{"m", unix.ByteSliceToString(u.Machine[:])},
		{"o", "GNU/Linux"},
	} {
		if strings.Contains(asked, part.letter) {
			words = append(words, part.text)
		}
	}
	return c.say(ctx, strings.Join(words, " ")+"\n")
}

// hostname prints this host's name; with -s up to its first dot.
func hostname(ctx context.Context, c *Call) (int, bool) {
	short := len(c.Args) == 2 && (c.Args[1] == "-s" || c.Args[1] == "--short")
	var u unix.Utsname
	if len(c.Args) > 1 && !short || unix.Uname(&u) != nil {
		return 0, false
	}
	name := unix.ByteSliceToString(u.Nodename[:])
	if short {
		name, _, _ = strings.Cut(name, ".")
	}
	if name == "" || name == "(none)" {
		return 0, false
	}
	return c.say(ctx, name+"\n")
}

// kill sends a signal to processes.
func kill(_ context.Context, c *Call) (int, bool) {
	args := c.Args[1:]
	signal := syscall.SIGTERM
	if len(args) > 1 && (args[0] == "-s" || args[0] == "-n") {
		args = append([]string{"-" + args[1]}, args[2:]...)
	}
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		n, ok := signalNumber(args[0][1:])
		if !ok {
			return 0, false
		}
		signal, args = n, args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	pids, ok := pidList(args)
	if !ok || len(pids) == 0 {
		return 0, false
	}
	for _, pid := range pids {
		if pid <= 0 || pid == os.Getpid() {
			return 0, false
		}
	}
	status := 0
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil {
			fmt.Fprintf(c.Stderr, "%s: (%d): %s\n", c.name(), pid, reason(err))
			status = 1
		}
	}
	return status, true
}

// signalNumber is the signal called TERM, SIGTERM, or 15.
func signalNumber(name string) (syscall.Signal, bool) {
	if digits(name) && len(name) <= 2 {
		n := 0
		_, err := fmt.Sscan(name, &n)
		return syscall.Signal(n), err == nil && n <= 31 && (n != 0 || name == "0")
	}
	n := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG"))
	return n, n != 0
}

// onTerminal reports whether v is a terminal.
func onTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	err = raw.Control(func(fd uintptr) {
		_, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		is = err == nil
	})
	return err == nil && is
}
