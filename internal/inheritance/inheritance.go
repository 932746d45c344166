// Package inheritance decides what the processes that this program starts have of who started it:
// manager, deadman, lock server, watchdog and package scripts are the same on all nodes, whoever
// has typed the command, or whatever has run it at boot. The table is in doc/DESIGN.md. What is
// not named there is inherited: user, capabilities, namespaces, the set of processors.
//
// A process takes what it is to have with [Settle], and then becomes, by an exec, what is to have
// it: some of it belongs to threads, and Go has many.
package inheritance

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Umask is that of all files that are made.
const Umask = 0o022

// standardPath is the directories that are in PATH in any case: that of cron lacks some.
const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// dropped are variables that change what a script or a common program does, or that belong to the
// session, or the unit, of who has called. A name that ends in * stands for all that begin so.
var dropped = strings.Fields(`
	LANGUAGE LC_* LOCPATH NLSPATH GCONV_PATH TZ TZDIR
	CDPATH ENV IFS PS1 PS2 PS3 PS4 OPTIND OPTERR MAIL MAILPATH MAILCHECK TMOUT FPATH SHELL SHLVL
	BASHOPTS SHELLOPTS BASH_* GLOBIGNORE EXECIGNORE FIGNORE FUNCNEST INPUTRC HIST* ZDOTDIR NULLCMD READNULLCMD
	GREP_* POSIXLY_CORRECT POSIX_ME_HARDER CMD_ENV UNIX95 PS_FORMAT PS_PERSONALITY I_WANT_A_BROKEN_PS
	COLUMNS LINES BLOCKSIZE BLOCK_SIZE *_BLOCK_SIZE TIME_STYLE QUOTING_STYLE TAR_OPTIONS GZIP XZ_OPT XZ_DEFAULTS
	AWKPATH AWKLIBPATH LD_* GLIBC_TUNABLES MALLOC_* RES_OPTIONS LOCALDOMAIN HOSTALIASES
	PERL5* PERLLIB PERLIO* PYTHON* RUBYLIB RUBYOPT JAVA_TOOL_OPTIONS VIRTUAL_ENV
	TMPDIR TMP TEMP TEMPDIR TERM TERMCAP TERMINFO TERMINFO_DIRS COLORTERM DISPLAY XAUTHORITY WAYLAND_DISPLAY
	SSH_* SUDO_* XDG_* DBUS_SESSION_BUS_ADDRESS TMUX TMUX_PANE STY WINDOW EDITOR VISUAL PAGER LESS* LS_COLORS
	LISTEN_* NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC INVOCATION_ID JOURNAL_STREAM SYSTEMD_* MAINPID
	PWD OLDPWD _`)

// Environ returns what of env the processes have that are started with it: without what is dropped,
// with LANG=C, with the HOME of the user, and with a PATH in which nothing is missing.
func Environ(env []string) []string {
	kept := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "LANG" || isDropped(name)
	})
	path := ""
	kept = slices.DeleteFunc(kept, func(v string) bool {
		value, is := strings.CutPrefix(v, "PATH=")
		if is {
			path = value
		}
		return is
	})
	kept = append(kept, "LANG=C", "PATH="+fullPath(path))
	me, err := Me()
	if err != nil {
		return kept // a user that the system does not know keeps what it has
	}
	for name, value := range map[string]string{"HOME": me.HomeDir, "USER": me.Username, "LOGNAME": me.Username} {
		kept = slices.DeleteFunc(kept, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		kept = append(kept, name+"="+value)
	}
	return kept
}

// Me is the user that this process runs as. The system is asked once: it may read a disk that hangs later.
var Me = sync.OnceValues(func() (*user.User, error) { return user.LookupId(strconv.Itoa(os.Getuid())) })

func isDropped(name string) bool {
	return slices.ContainsFunc(dropped, func(pattern string) bool {
		begin, isBegin := strings.CutSuffix(pattern, "*")
		end, isEnd := strings.CutPrefix(pattern, "*")
		switch {
		case isBegin:
			return strings.HasPrefix(name, begin)
		case isEnd:
			return strings.HasSuffix(name, end)
		}
		return name == pattern
	})
}

// fullPath is the directories of path, but those that depend on the working directory, and then
// the standard ones that are missing.
func fullPath(path string) string {
	var dirs []string
	for _, dir := range append(strings.Split(path, ":"), strings.Split(standardPath, ":")...) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, ":")
}
