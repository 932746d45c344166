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
// a run prints is not for certain what separate runs would: where there is any doubt, nothing is taken from it.

// sheet is the shell program. Its arguments are a text that no answer holds, the options of the script's first
// line, how many names are asked in any case, and the names; the first is unknown. A status follows each answer.
const sheet = `btw_mark=$1 btw_options=$2 btw_sure=$3 btw_asked=0 btw_odd=
shift 3
for btw_name do
   ( set -- echo "$btw_name"
   [ -z "$btw_options" ] || set "$btw_options"
   . "$0" )
   btw_status=$?
   echo "$btw_mark $btw_status"
   [ "$btw_asked" -gt 0 ] || [ "$btw_status" -eq 0 ] || btw_odd=1
   btw_asked=$((btw_asked + 1))
   [ -z "$btw_odd" ] || [ "$btw_asked" -lt "$btw_sure" ] || break
done`

// sheetShells are interpreters that are known to run the sheet. ksh93 is none: its subshells are no processes.
var sheetShells = []string{"sh", "dash", "ash", "bash", "mksh", "lksh"}

// options are those of a first line that can be set later as well.
var options = regexp.MustCompile(`^-[efu]+$`)

// tells is what shows a script whether it is sourced, or what has started it.
var tells = regexp.MustCompile(`BASH_|FUNCNAME|\bcaller\b|\(\s*return|\.sh\.|\$\{?_\b`)

// askAtOnce asks for all that is not answered by one run of the script, if that can be. ok says that it could.
func (r *Runner) askAtOnce(ctx context.Context, q *questions) (ok bool) {
	names, more := q.open(q.names), q.open(q.more)
	if len(names)+len(more) < 2 || len(names) == 0 && q.odd() != "" {
		return false
	}
	shell, option, ok := r.shell()
	if !ok {
		return false
	}
	ctx, cancel := r.limit(ctx)
	defer cancel()
	mark, sure := rand.Text(), len(names)
	if !slices.Contains(names, unknown) { // it is known not to be odd, and the first is no test
		sure = len(names) + len(more)
	}
	argv := append(shell, "-c", sheet, r.path(), mark, option, strconv.Itoa(sure))
	out, status, err := r.output(ctx, 0, func(stdout *os.File) (*Action, error) {
		return r.launchAs("echo", child{argv: slices.Concat(argv, names, more)}, stdout)
	})
	if err != nil || status != 0 || len(out) > longestAnswer {
		return false
	}
	said := parse(string(out), mark, slices.Concat(names, more))
	if len(said) < sure || !r.believed(ctx, q, said) {
		return false
	}
	for name, a := range said {
		q.said[name] = a
		r.answers.put(q.files, name, a)
	}
	return true
}

// parse returns the answers to names; nil where there is something else in out.
func parse(out, mark string, names []string) map[string]answer {
	said := map[string]answer{}
	for _, name := range names {
		text, rest, ok := strings.Cut(out, mark+" ")
		if !ok {
			break
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

// believed says whether what the sheet printed is what separate runs would. A script that says nothing at all
// may have noticed that it is sourced: then the names that everybody has are asked again.
func (r *Runner) believed(ctx context.Context, q *questions, said map[string]answer) bool {
	quiet := true
	for _, a := range said {
		if a.lost() {
			return false
		}
		quiet = quiet && a.text == ""
	}
	for _, a := range q.said {
		quiet = quiet && a.text == ""
	}
	if !quiet {
		return true
	}
	if r.askEach(ctx, q, q.open(q.names)) != nil {
		return false
	}
	for _, name := range q.names {
		if q.said[name] != said[name] {
			return false
		}
	}
	return true
}

// shell is what the script is run by, and the options that it is given; ok is false where that is no shell that
// is known for certain to run it alike when it sources it.
func (r *Runner) shell() (argv []string, option string, ok bool) {
	file := filepath.Join(r.cfg.Home, r.path())
	if runnable(file) != nil {
		return nil, "", false
	}
	text, err := readWhole(file)
	if err != nil || tells.Match(text) {
		return nil, "", false
	}
	argv, option, ok = parseFirstLine(text[:min(len(text), longestFirst)]).command(r.cfg.Shell)
	if !ok || option != "" && !options.MatchString(option) {
		return nil, "", false
	}
	return argv, option, slices.Contains(sheetShells, path.Base(argv[len(argv)-1]))
}

// errWritten is of a script that somebody is just writing. To run it would fail, to source it would not.
var errWritten = errors.New("it is being written")

// longestScript is how much of a script is looked at.
const longestScript = 1 << 20

// readWhole reads a script that nobody has open for writing.
func readWhole(file string) ([]byte, error) {
	f, err := os.Open(file)
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
