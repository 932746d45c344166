package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// unknown is a parameter that no package has. Who says something of it, or fails, may do so for any name.
const unknown = "no_such_parameter"

const (
	askLimit  = 30 * time.Second // how long one run of a script may take to answer; a busy host runs many at once
	askAtOnce = 4                // runs of one script at a time
)

// An answer is what came of `echo NAME`.
type answer struct {
	text   string // without blanks around it
	status int
}

// lost says that a script may have ended so because it cannot be read, or the host was short of something.
func (a answer) lost() bool { return a == answer{"", syntaxError} }

// answers keeps what the script said to `echo NAME`, as long as its files are the same.
type answers struct {
	mu     sync.Mutex
	files  string
	values map[string]answer
	sheet  trust
}

// A trust is what is known of a sheet's answers, for the files as they are.
type trust int

const (
	untried  trust = iota
	believed       // it said something, and not of every name: so it is not kept from answering
	doubted        // not for certain what separate runs would say: it is not used again
)

func (c *answers) get(files, name string) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.values[name]
	return value, ok && c.files == files
}

// put keeps what was said of the files.
func (c *answers) put(files, name string, value answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew(files)
	if !value.lost() {
		c.values[name] = value
	}
}

// spoke says whether the files have said something of any name.
func (c *answers) spoke(files string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew(files)
	for _, a := range c.values {
		if a.text != "" {
			return true
		}
	}
	return false
}

func (c *answers) trust(files string) trust {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew(files)
	return c.sheet
}

// judge keeps what is known of the files' sheets; it returns whether they are believed.
func (c *answers) judge(files string, t trust) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew(files)
	c.sheet = t
	return t == believed
}

func (c *answers) renew(files string) {
	if c.files != files || c.values == nil {
		c.files, c.values, c.sheet = files, make(map[string]answer), untried
	}
}

// Echo is what the script answers to `echo NAME`, without blanks around it, for each of names; and for each of
// more, unless it is odd, and odd says why: it says something of a name that no package has, and would be asked without
// end; or it fails there and has never said anything, so that perhaps it cannot. It is asked again only when it or a module was
// changed (path, inode, size, times). The exit status does not matter otherwise, as in the original (a name at which it fails without
// a word is not set), unless the script was not run or was killed.
func (r *Runner) Echo(ctx context.Context, names, more []string) (said map[string]string, odd string, err error) {
	ask := fmt.Sprintf("cannot ask package %q for its parameters: ", r.cfg.Name)
	for _, name := range slices.Concat(names, more) {
		if !variable(name) {
			return nil, "", fmt.Errorf("%s%q is not a parameter's name", ask, name)
		}
	}
	files, err := r.Version(askLimit)
	if err != nil {
		return nil, "", fmt.Errorf("%s%w", ask, err)
	}
	q := &questions{files: files, names: append([]string{unknown}, names...), more: more, said: map[string]answer{}}
	if err := r.answer(ctx, q); err != nil {
		return nil, "", fmt.Errorf("%s%w", ask, err)
	}
	said, odd = map[string]string{}, q.odd()
	if a := q.said[unknown]; odd == "" && a.status != 0 && !r.answers.spoke(files) {
		odd = fmt.Sprintf("%q ends with exit status %d, and nothing is said of any name", "echo "+unknown, a.status)
	}
	for _, name := range slices.Concat(names, more) {
		if odd == "" || slices.Contains(names, name) {
			said[name] = q.said[name].text
		}
	}
	return said, odd, nil
}

// questions are what a script is asked, and what it said.
type questions struct {
	files string
	names []string // the first is unknown
	more  []string // not believed of a script that is odd
	said  map[string]answer
}

// open is which of names are not answered.
func (q *questions) open(names []string) (open []string) {
	for _, name := range names {
		if _, ok := q.said[name]; !ok {
			open = append(open, name)
		}
	}
	return open
}

// odd is why a script cannot be asked for any name; "" where it can.
func (q *questions) odd() string {
	if a := q.said[unknown]; a.text != "" {
		return fmt.Sprintf("%q says %.60q", "echo "+unknown, a.text)
	}
	return ""
}

// answer finds all answers: those that are known, then by the asker, then by the script's own shell.
func (r *Runner) answer(ctx context.Context, q *questions) error {
	for _, name := range slices.Concat(q.names, q.more) {
		if a, ok := r.answers.get(q.files, name); ok {
			q.said[name] = a
		}
	}
	if err := r.askAsker(ctx, q); err != nil {
		return err
	}
	return r.askShell(ctx, q)
}

// askShell finds what is open by one run of the script where that can be, then by one for each. The first is asked alone:
// a script that cannot be run fails once, and says so once in its log.
func (r *Runner) askShell(ctx context.Context, q *questions) error {
	r.askAtOnce(ctx, q)
	for i, names := range [][]string{{unknown}, q.names, q.more} {
		if i == 2 && q.odd() != "" {
			break
		}
		if err := r.askEach(ctx, q, q.open(names)); err != nil {
			return err
		}
	}
	return nil
}

// askEach asks for names, each by a run of the script, some at a time. One that cannot be asked ends it: the
// others would fail alike.
func (r *Runner) askEach(ctx context.Context, q *questions, names []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said, odd := make([]answer, len(names)), q.said[unknown].lost()
	var next atomic.Int64
	var fault error
	var failed sync.Once
	var askers sync.WaitGroup
	for range min(askAtOnce, len(names)) {
		askers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(names); i = next.Add(1) - 1 {
				a, err := r.ask(ctx, names[i], odd)
				if err != nil {
					failed.Do(func() { fault = err }) // the first: it ends the others
					cancel()
					return
				}
				said[i] = a
			}
		})
	}
	askers.Wait()
	if fault != nil {
		return fault
	}
	for i, name := range names {
		q.said[name] = said[i]
		r.answers.put(q.files, name, said[i])
	}
	return nil
}

// ask runs the script once. One that fails at unknown alike (odd) is readable all the same.
func (r *Runner) ask(ctx context.Context, name string, odd bool) (answer, error) {
	ctx, cancel := r.limit(ctx)
	defer cancel()
	out, status, err := r.output(ctx, 0, func(stdout *os.File) (*Action, error) {
		return r.launch([]string{"echo", name}, stdout)
	})
	a := answer{strings.TrimSpace(string(out)), status}
	switch {
	case err != nil:
		return a, err
	case status >= notExecutable:
		return a, fmt.Errorf("it cannot be run (exit status %d): log/%s.log says why", status, r.cfg.Name)
	case len(out) > longestAnswer:
		return a, fmt.Errorf("the answer to echo %s is longer than %d bytes", name, longestAnswer)
	case status != syntaxError || len(out) > 0 || odd:
		return a, nil
	case name == unknown:
		return a, r.checkSyntax(ctx)
	}
	return a, fmt.Errorf("echo %s: exit status %d, and no answer: log/%s.log may say why", name, status, r.cfg.Name)
}

// errSlow is why a run that took too long was killed.
var errSlow = errors.New("it does not answer within its time")

func (r *Runner) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, r.patience, fmt.Errorf("%w (%v)", errSlow, r.patience))
}

// syntaxError is the status of a shell that cannot read its script. Any other status of an echo is
// accepted: an old script may end with any after it has answered.
const syntaxError = 2

var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// variable says whether name is one that a shell can have: many scripts give it to eval.
func variable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
