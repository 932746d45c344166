package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"backtowork/internal/command"
)

// readyFD is the environment variable that says where a manager in the background tells
// that it has begun, or why it cannot.
const readyFD = "BTW_READY_FD"

// hintMark stands between the reason and the hint there.
const hintMark = "\x00"

// newReady is how a manager in the background tells who started it how that went.
func newReady(env *command.Env) func(error) {
	var fd uintptr
	if _, err := fmt.Sscan(env.Getenv(readyFD), &fd); err != nil {
		return func(error) {}
	}
	syscall.CloseOnExec(int(fd))
	to := os.NewFile(fd, "ready")
	return func(err error) {
		line := "ok"
		var hint command.HintError
		if err != nil {
			line = err.Error()
		}
		if errors.As(err, &hint) {
			line += hintMark + hint.Hint
		}
		_, _ = io.WriteString(to, line) // who started us may be gone
		_ = to.Close()
	}
}

// A starting process is one in the background that tells on a pipe how its start went.
type starting struct {
	cmd  *exec.Cmd
	told *os.File
	log  string // the path of its output
}

// start starts a command of this binary in the background, with its output at the end of a log.
func (s *site) start(path, name string, args ...string) (*starting, error) {
	log, err := openLog(path)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	told, ready, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd, err := s.background(log, ready, name, args...)
	if err := errors.Join(err, ready.Close()); err != nil {
		_ = told.Close()
		return nil, err
	}
	return &starting{cmd, told, path}, nil
}

// answer waits for what the process, called what, tells: nil once it is there.
func (p *starting) answer(what string) error {
	defer p.told.Close()
	answer, err := io.ReadAll(p.told) // ends when it has told, or has ended
	reason, hint, hinted := strings.Cut(string(answer), hintMark)
	switch {
	case err != nil:
		return fmt.Errorf("%s does not come up: %w; see %s", what, err, p.log)
	case reason == "ok":
		return nil
	case reason == "":
		return fmt.Errorf("%s did not start; see %s", what, p.log)
	case hinted:
		return command.WithHint(errors.New(reason), "%s", hint)
	}
	return errors.New(reason)
}
