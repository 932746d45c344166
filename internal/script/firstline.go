package script

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A firstLine is what the beginning of a file says about who runs it.
type firstLine struct {
	interpreter string // after #!; "" if there is none
	option      string // what follows, as one word
	binary      bool   // it is no text
}

// longestFirst is what Linux reads of a file to know who runs it.
const longestFirst = 256

func readFirstLine(file string) (firstLine, error) {
	f, err := openText(file)
	if err != nil {
		return firstLine{}, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, longestFirst))
	if err != nil {
		return firstLine{}, err
	}
	return parseFirstLine(head), nil
}

// openText opens a file to read it. A pipe, or a device, may keep who reads it for ever, even in the open.
func openText(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = &os.PathError{Op: "read", Path: file, Err: unix.EISDIR}
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no file", file)
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

func parseFirstLine(head []byte) (first firstLine) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	named, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok {
		first.binary = bytes.IndexByte(line, 0) >= 0
		return first
	}
	named = bytes.Trim(named, " \t")
	if i := bytes.IndexAny(named, " \t"); i >= 0 {
		first.option = strings.TrimLeft(string(named[i:]), " \t")
		named = named[:i]
	}
	first.interpreter = string(named)
	return first
}

// forSh says whether sh would run the file: only such scripts are run by the shell of conf/shell. What
// names another interpreter is not in sh's language, perhaps.
func (f firstLine) forSh() bool {
	switch f.interpreter {
	case "":
		return !f.binary
	case "/bin/sh", "/usr/bin/sh":
		return true
	}
	return false
}

// options are those that the first line gives the interpreter.
func (f firstLine) options() []string {
	if f.option == "" {
		return nil
	}
	return []string{f.option}
}

// missing says that the interpreter is not there, and why it seems to be.
func (f firstLine) missing() string {
	if strings.HasSuffix(f.interpreter, "\r") {
		return fmt.Sprintf("the interpreter %q is missing: the file has DOS line ends (CR LF), remove each CR (sed -i 's/\\r$//' FILE)", f.interpreter)
	}
	return fmt.Sprintf("the interpreter %q is missing, which its first line names", f.interpreter)
}

// shells are interpreters that read a script with -n, and do not run it.
var shells = []string{"sh", "ash", "bash", "dash", "ksh", "ksh93", "mksh", "lksh", "oksh", "yash", "zsh"}

// isShell says whether the interpreter is a shell that knows -n.
func (f firstLine) isShell() bool { return slices.Contains(shells, path.Base(f.interpreter)) }

// command is what runs the file, and the option that it is given; shell is that of conf/shell. ok is false where that
// is no shell, or not known.
func (f firstLine) command(shell string) (argv []string, option string, ok bool) {
	switch {
	case f.binary:
		return nil, "", false
	case f.forSh() && shell != "":
		return []string{shell}, f.option, true
	case f.interpreter == "":
		return []string{"/bin/sh"}, "", true
	case path.Base(f.interpreter) == "env":
		words := strings.Fields(f.option)
		if len(words) != 1 {
			return nil, "", false
		}
		return []string{f.interpreter, words[0]}, "", firstLine{interpreter: words[0]}.isShell()
	}
	return []string{f.interpreter}, f.option, f.isShell()
}
