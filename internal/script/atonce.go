package script

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Each run of a script costs its shell, and a child of ours; a package is asked for some twenty names. So where its
// interpreter is a shell, that runs the script once for each name within one process: in a subshell, which
// has the arguments, the directory and the variables that a shell of its own would begin with. What such
// a run prints is not for certain what separate runs would: where there is any doubt, nothing is taken from it, and it is
// not done again for these files.

// sheet is the program that asks a shell's script ($0) for names; a line with mark and a status follows each answer.
// The script's text is run by eval, and neither sourced nor in a loop or a function: so return, break and what looks whether it is
// sourced do what they do in a script.
func sheet(mark, option string, names []string) string {
	if option != "" {
		option = "set " + option + "\n"
	}
	var b strings.Builder
	b.WriteString("btw_text=$(cat \"$0\") || exit\n")
	for _, name := range names {
		fmt.Fprintf(&b, "( eval \"set -- echo %s\n%s$btw_text\" )\necho \"%s $?\"\n", name, option, mark)
	}
	return b.String()
}

// sheetShells are interpreters that are known to run the sheet. ksh93 is none: its subshells are no processes.
var sheetShells = []string{"sh", "dash", "ash", "bash", "mksh", "lksh"}

// options are those of a first line that can be set later as well.
var options = regexp.MustCompile(`^-[efu]+$`)

// tells is what shows a script, or a module, what has started it, or which process it is in.
var tells = regexp.MustCompile(`BASH_|BASHPID|PPID|FUNCNAME|LINENO|\bcaller\b|\.sh\.|\$\{?_\b|(?:^|[^\\$])\$(?:\$|\{\$\})(?:\W|$)`)

// askAtOnce asks for all that is not answered by one run of the script, if that can be.
func (r *Runner) askAtOnce(ctx context.Context, q *questions) {
	names := slices.Concat(q.open(q.names), q.open(q.more))
	if len(names) < 2 || q.odd() != "" || r.answers.trust(q.files) == doubted {
		return
	}
	shell, option, ok := r.shell()
	if !ok {
		return
	}
	ctx, cancel := r.limit(ctx)
	defer cancel()
	mark := rand.Text()
	argv := append(shell, "-c", sheet(mark, option, names), r.path())
	out, status, err := r.output(ctx, 0, func(stdout *os.File) (*Action, error) {
		return r.launchAs("echo", child{argv: argv}, stdout)
	})
	if err != nil || status != 0 || len(out) > longestAnswer {
		return
	}
	said := parse(string(out), mark, names)
	if !r.answers.judge(q.files, r.answers.trust(q.files).after(said)) {
		return
	}
	for name, a := range said {
		q.said[name] = a
		r.answers.put(q.files, name, a)
	}
}

// after is what is known of sheets once one has printed said. One that says nothing at all, or something of any name, may
// have noticed that it is a sheet; not so where an earlier one was believed.
func (t trust) after(said map[string]answer) trust {
	if said == nil || said[unknown].text != "" {
		return doubted
	}
	for _, a := range said {
		switch {
		case a.lost():
			return doubted
		case a.text != "":
			t = believed
		}
	}
	if t == untried {
		return doubted
	}
	return t
}

// parse returns the answers to names; nil where they are not all there, or something else is in out.
func parse(out, mark string, names []string) map[string]answer {
	said := map[string]answer{}
	for _, name := range names {
		text, rest, ok := strings.Cut(out, mark+" ")
		if !ok {
			return nil
		}
		line, after, _ := strings.Cut(rest, "\n")
		status, err := strconv.Atoi(line)
		if err != nil || status >= notExecutable {
			return nil
		}
		said[name], out = answer{strings.TrimSpace(text), status}, after
	}
	if strings.TrimSpace(out) != "" {
		return nil
	}
	return said
}

// shell is what the script is run by, and the options that it is given; ok is false where that is no shell that
// is known for certain to run it alike within another process.
func (r *Runner) shell() (argv []string, option string, ok bool) {
	file := filepath.Join(r.cfg.Home, r.path())
	if runnable(file) != nil {
		return nil, "", false
	}
	text, err := readWhole(file)
	paths, fault := Texts(r.cfg.Home, r.cfg.Name)
	if err != nil || fault != nil || slices.ContainsFunc(paths, r.tells) {
		return nil, "", false
	}
	argv, option, ok = parseFirstLine(text[:min(len(text), longestFirst)]).command(r.cfg.Shell)
	if !ok || option != "" && !options.MatchString(option) {
		return nil, "", false
	}
	return argv, option, slices.Contains(sheetShells, path.Base(argv[len(argv)-1]))
}

// tells says whether the file below the home holds what may not be the same in a sheet.
func (r *Runner) tells(path string) bool {
	text := readText(filepath.Join(r.cfg.Home, path))
	return text == nil || tells.Match(text)
}

// errWritten is of a script that somebody is just writing. To run it would fail, to read it would not.
var errWritten = errors.New("it is being written")

// longestScript is how much of a script is looked at.
const longestScript = 1 << 20

// readWhole reads a script that nobody has open for writing.
func readWhole(file string) ([]byte, error) {
	f, err := openText(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if beingWritten(f) {
		return nil, errWritten
	}
	return io.ReadAll(io.LimitReader(f, longestScript))
}

// checkSyntax has the script's shell read it, and the modules that it names, without running anything. A script
// that ends with the status of a syntax error, without a word, may have none.
func (r *Runner) checkSyntax(ctx context.Context) error {
	checks, err := SyntaxChecks(r.cfg.Home, r.cfg.Name, r.cfg.Shell)
	if err != nil {
		return err
	}
	for _, argv := range checks {
		_, status, err := r.output(ctx, 0, func(stdout *os.File) (*Action, error) {
			return r.launchAs("echo", child{argv: argv}, stdout)
		})
		if err != nil || status != 0 {
			return errors.Join(err, fmt.Errorf("its shell cannot read %s: log/%s.log says why", argv[len(argv)-1], r.cfg.Name))
		}
	}
	return nil
}
