package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// ErrDeclined is what Run's error wraps when the script does what is not done here as dash does it.
var ErrDeclined = errors.New("cannot be interpreted here")

// A Call is a command that a script runs.
type Call struct {
	Args           []string
	Env            func(string) (string, bool) // of the variables that are exported
	Environ        func() []string
	Dir            string
	Stdin          io.Reader // *os.File, or nil
	Stdout, Stderr io.Writer // *os.File where it is one for the real shell, too
	Umask          int
}

// A Command does what a program would do. With ok false it did nothing: nothing was read or written, and the
// program itself is run.
type Command func(ctx context.Context, c *Call) (status int, ok bool)

// Options say how a script is run.
type Options struct {
	Args                  []string // with $0
	Env                   []string // as in os.Environ
	Dir                   string
	Stdin, Stdout, Stderr *os.File // nil is /dev/null
	Own                   bool     // the process is the script's alone
	Umask                 int      // of the script; where it is not this process's, Exec needs a shell for each program
	// Commands returns what to run instead of a program; nil where there is nothing. What a program would look at of its own
	// process, as /dev/stdin, is for the command to notice.
	Commands func(name string) Command
	// Exec runs a program; nil means Exec of this package.
	Exec func(ctx context.Context, c *Call) (int, error)
	// Source returns a file that is sourced, by the path that the script names, made absolute.
	Source func(path string) (*Script, error)

	Slow bool // without the evaluator of Quick
}

// A run is one execution of a script. Its pipelines are goroutines, so what changes has a lock.
type run struct {
	Options
	script *Script
	stop   context.CancelFunc
	linked map[*Script]string // what the files are called that were declared as functions
	errors *errorStream

	jobs  jobs
	tried map[string]int // how many files could not be opened, by the mark of the statement

	mu     sync.Mutex
	failed error
	facts  facts
	funcs  map[string]bool // all that were declared by what was loaded
	wide   bool            // letters beyond ASCII have come in
	texts  map[string]string
	files  map[*os.File]bool
	ahead  map[*os.File]*lookahead
	calls  int

	caught int      // how much $( ) has taken in
	left   sync.Map // pipes of which the reader has gone: when that was seen

	trapSet, trapRan bool
}

const (
	maxFiles      = 200    // open at a time
	maxFrames     = 12_000 // on the stack: some 800 calls within each other
	maxGoroutines = 2_000  // of the process
	maxCalls      = 1_000_000
	maxCaught     = 64 << 20
)

// Run runs a script to its end and returns its status. An error means that it cannot be told how dash would have ended:
// what was to be done must then be done by the real shell.
func Run(ctx context.Context, s *Script, o Options) (status int, err error) {
	defer func() {
		if p := recover(); p != nil {
			status, err = 0, fmt.Errorf("cannot go on: panic: %v", p)
		}
	}()
	if len(s.decl) > 0 {
		return 0, fmt.Errorf("%w: %s", ErrDeclined, s.decl[0])
	}
	if len(o.Args) == 0 {
		return 0, errors.New("cannot run a script without a name")
	}
	for _, f := range []**os.File{&o.Stdin, &o.Stdout, &o.Stderr} {
		if *f == nil {
			if *f, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return 0, err
			}
			defer (*f).Close()
		}
	}
	outer := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := &run{
		Options: o, script: s, stop: stop, funcs: map[string]bool{}, linked: map[*Script]string{},
		texts: map[string]string{}, tried: map[string]int{}, files: map[*os.File]bool{}, ahead: map[*os.File]*lookahead{},
	}
	defer r.closeFiles()
	if s.c.options == 0 && !o.Slow {
		if q, done := r.quick(ctx); done {
			if err := q.written.to(r.Stdout, r.Stderr); err != nil {
				return 0, fmt.Errorf("%w: cannot write: %w", ErrDeclined, err)
			}
			return q.status & 0xff, nil
		}
	}
	r.errors = &errorStream{r, o.Stderr}
	ir, err := r.runner()
	if err != nil {
		return 0, err
	}
	err = ir.Run(ctx, &syntax.File{Name: o.Args[0], Stmts: callMain})
	return r.ended(outer, err)
}

func (r *run) ended(ctx context.Context, err error) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return 0, r.failed
	}
	if r.trapSet && !r.trapRan {
		return 0, fmt.Errorf("%w: a trap that was set in a subshell", ErrDeclined)
	}
	var status interp.ExitStatus
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &status):
		return int(status), nil
	}
	return 0, err
}

const mainName = hidden + "main"

// The script is a function: so return ends it, as in dash.
var callMain = []*syntax.Stmt{calling(lit(mainName), word(quoted(param("@"))))}

func (r *run) runner() (*interp.Runner, error) {
	env, err := r.environment()
	if err != nil {
		return nil, err
	}
	dir := r.directory()
	if dir == "" {
		return nil, r.decline("the directory cannot be found")
	}
	ir, err := interp.New(
		interp.Env(expand.ListEnviron(env...)), interp.Dir(dir), interp.StdIO(r.Stdin, r.Stdout, r.errors),
		interp.Params(append([]string{"--"}, r.Args[1:]...)...),
		interp.CallHandler(r.call), interp.OpenHandler(r.open), interp.ReadDirHandler2(r.readDir),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return r.exec }),
	)
	if err != nil {
		return nil, err
	}
	ir.Reset()
	ir.Funcs = map[string]*syntax.Stmt{mainName: r.body(r.script)}
	if err := r.load(r.script); err != nil {
		return nil, err
	}
	r.script.links.Range(func(k, _ any) bool {
		s := k.(*Script)
		r.linked[s] = hidden + "file" + strconv.Itoa(len(r.linked))
		ir.Funcs[r.linked[s]] = r.body(s)
		return true
	})
	hasHome := func(kv string) bool { return strings.HasPrefix(kv, "HOME=") }
	if !slices.ContainsFunc(env, hasHome) { // mvdan.cc/sh then makes one up
		if err := ir.Run(context.Background(), calling(lit(hidden+"homeless"))); err != nil {
			return nil, err
		}
	}
	return ir, nil
}

func (r *run) body(s *Script) *syntax.Stmt {
	return &syntax.Stmt{Cmd: &syntax.Block{Stmts: s.form(r.script.mode)}}
}

// environment are the variables that dash takes from the environment.
func (r *run) environment() ([]string, error) {
	var env []string
	for _, kv := range r.Env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || !syntax.ValidName(name) {
			continue
		}
		if r.oddName(name) {
			return nil, r.decline(name + " is set in the environment")
		}
		if err := r.saw(value); err != nil {
			return nil, err
		}
		r.facts.exports = append(r.facts.exports, name)
		env = append(env, kv)
	}
	for _, a := range r.Args {
		if err := r.saw(a); err != nil {
			return nil, err
		}
	}
	if r.Own {
		env = append(env, fmt.Sprintf("%s=%d", ownPid, os.Getpid()))
	}
	for _, o := range shellOption {
		if r.script.c.options&o.mode != 0 {
			env = append(env, o.variable+"=1")
		}
	}
	return env, nil
}

// oddName: a variable of the environment that would mean something here, and not in dash, or the other way round.
func (r *run) oddName(name string) bool {
	return strings.HasPrefix(name, hidden) || foreign[name] && name != "_" && name != "ENV" && name != "SECONDS" && !strings.HasPrefix(name, "PS")
}

// directory is $PWD if that is where it is, else the directory without links.
func (r *run) directory() string {
	for _, kv := range r.Env {
		pwd, ok := strings.CutPrefix(kv, "PWD=")
		if !ok || !filepath.IsAbs(pwd) {
			continue
		}
		if pwd == r.Dir {
			return pwd
		}
		a, err := os.Stat(pwd)
		b, err2 := os.Stat(r.Dir)
		if err == nil && err2 == nil && os.SameFile(a, b) {
			return pwd
		}
	}
	dir, err := filepath.EvalSymlinks(r.Dir)
	if err != nil {
		return ""
	}
	return dir
}

// load takes note of what is about to be executed.
func (r *run) load(s *Script) error {
	if len(s.decl) > 0 {
		return r.decline(s.decl[0].String())
	}
	r.mu.Lock()
	for _, f := range s.funcs {
		r.funcs[f] = true
	}
	r.mu.Unlock()
	return r.loadFacts(s.facts)
}

func (r *run) loadFacts(f facts) error {
	r.mu.Lock()
	r.facts.add(f)
	f = r.facts
	wide := r.wide
	r.mu.Unlock()
	if f.mode&^r.script.mode != 0 {
		return r.decline("a file that nobody has looked at turns options of the shell on")
	}
	if f.bytewise && wide {
		return r.decline("letters beyond ASCII, and a pattern with ? or [")
	}
	if len(f.plain) > 0 {
		exported := map[string]bool{}
		for _, e := range f.exports {
			exported[e] = true
		}
		for _, p := range f.plain {
			if exported[p] {
				return r.decline(p + " is exported, and the variable of a loop or of ${" + p + "=...}")
			}
		}
	}
	return nil
}

func (r *run) isFunction(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.funcs[name]
}

// saw takes note of data that comes into the script.
func (r *run) saw(data string) error {
	if ascii(data) {
		return nil
	}
	if !utf8.ValidString(data) {
		return r.decline("data that is no UTF-8")
	}
	r.mu.Lock()
	r.wide = true
	bytewise := r.facts.bytewise
	r.mu.Unlock()
	if bytewise {
		return r.decline("letters beyond ASCII, and a pattern with ? or [")
	}
	return nil
}

// decline ends the run, in all its goroutines.
func (r *run) decline(reason string) error {
	return r.fail(fmt.Errorf("%w: %s", ErrDeclined, reason))
}

func (r *run) fail(err error) error {
	r.mu.Lock()
	if r.failed == nil {
		r.failed = err
	}
	err = r.failed
	r.mu.Unlock()
	r.stop()
	return err
}

func (r *run) hasFailed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed != nil
}

// deeper is called where the script calls a function, evaluates or sources: what could go on without end.
func (r *run) deeper() error {
	r.mu.Lock()
	r.calls++
	n := r.calls
	r.mu.Unlock()
	if n > maxCalls || runtime.NumGoroutine() > maxGoroutines {
		return r.decline("too many calls")
	}
	if n%128 == 0 { // looking is not cheap
		var pc [1]uintptr
		if runtime.Callers(maxFrames, pc[:]) > 0 {
			return r.decline("calls within calls, too deep")
		}
	}
	return nil
}

// An errorStream is the script's stderr, until the run is declined: what mvdan.cc/sh says then is for nobody.
type errorStream struct {
	r *run
	f *os.File
}

func (e *errorStream) Write(p []byte) (int, error) {
	if e.r.hasFailed() {
		return len(p), nil
	}
	return e.f.Write(p)
}
