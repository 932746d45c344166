package cli

import (
	"io"
	"os"
	"strings"
	"syscall"

	"backtowork/internal/command"
	"backtowork/internal/journal"
)

// ownLog is the environment variable that tells a process in the background which log its output is. (By what it has
// open it could not tell: that may have another name by now.)
const ownLog = "BTW_LOG"

// logMark is that variable for a process whose output is the log at path; nothing if path is "".
func logMark(path string) []string {
	if path == "" {
		return nil
	}
	return []string{ownLog + "=" + path}
}

// output is how a process writes to w that waits for no terminal and no disk. If its output is a log of ours, the log
// is opened again when it was rotated.
func output(env *command.Env, w io.Writer) *journal.Async {
	path := env.Getenv(ownLog)
	if _, ok := w.(*os.File); !ok || path == "" {
		return journal.NewAsync(w)
	}
	return follow(journal.At(path, os.Stdout, os.Stderr), nil) // both are the log; it is followed for as long as the process lives
}

// follow follows a log until done is closed, and returns how it is written.
func follow(log *journal.File, done <-chan struct{}) *journal.Async {
	go log.Follow(done)
	return journal.NewAsync(log)
}

// withoutHUP is signals but for HUP, which halts nothing where the process is in the background: there is no terminal
// that could hang up, and who rotates logs sends it by habit, on all nodes at the same hour. The logs are looked at
// before each line, so the line that says so is all that there is to do.
func withoutHUP(signals <-chan os.Signal, say journal.Log) chan os.Signal {
	others := make(chan os.Signal, cap(signals))
	go func() { // for as long as the process lives
		for sig := range signals {
			if sig != syscall.SIGHUP {
				others <- sig
				continue
			}
			say.Info("received signal SIGHUP. logs are opened again, packages run on. TERM, or service stop, halts them.")
		}
	}()
	return others
}

// again tells the admin of what comes again and again: what is what it is known by.
func (s *site) again(what, text string, facts ...any) {
	s.repeats.Tell(s.log, journal.Warning, what, text, facts...)
}

const (
	notTakenUp = "the changed lock_servers is not taken up: the list of before stays; mend the file"
	serverDown = "this host's lock server does not run: the others decide without it, if they are a majority; it is started again every minute"
)

// staysWith says that a process could not leave the cgroup that it was started in.
func staysWith(what string) string {
	return what + " stays in the cgroup of who started it, and ends when all of that is ended (systemd, a container); it needs root, and cgroups that can be written, to leave that"
}

// unprotected says that a process could not be protected, and what follows where it suffers.
func unprotected(what, then string) string {
	return what + " may be slow, or killed, when memory is short, and " + then + "; a trial needs no more, else run it as root (in a container with CAP_SYS_RESOURCE and CAP_IPC_LOCK)"
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
