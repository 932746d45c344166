// Package crew works off many jobs that need a processor each, such as simulations in virtual time:
// by processes of one processor, which is much cheaper than goroutines that wake each other on many.
//
// A worker reads jobs from stdin and says results on stdout, each as JSON on a line of its own:
//
//	{"Seed":17, ...}                  RESULT {"result":{...}}
//	{"Seed":18, ...}                  RESULT {"error":"..."}
//
// What else it prints is told with the error, if one comes of the job.
package crew

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Crew is what works off jobs.
type Crew struct {
	Processes int
	Worker    func() *exec.Cmd // a new worker process, not started
	Limit     time.Duration    // for one job; a worker that takes longer is ended, and prints where its goroutines are
}

// environ makes a Go program cheap on one processor, and the same seed do the same again.
var environ = []string{"GOMAXPROCS=1", "GOGC=1000", "GODEBUG=randseednop=0"}

// longestLine is what a result may have.
const longestLine = 64 << 20 // bytes

// Run does all jobs, and calls took with each result, one at a time and in no order. Once took
// returns false no further job is begun. A process that ends too early is not replaced: took gets
// an error for its last job, with all that the process printed.
func Run[J, R any](c Crew, jobs iter.Seq[J], took func(J, R, error) (more bool)) {
	var mu sync.Mutex
	next, stop := iter.Pull(jobs)
	defer stop()
	over := false
	draw := func() (j J, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return j, false
		}
		return next()
	}
	done := func(j J, r R, err error) {
		mu.Lock()
		defer mu.Unlock()
		if !took(j, r, err) {
			over = true
		}
	}
	var wg sync.WaitGroup
	for range c.Processes {
		wg.Go(func() { employ(c, draw, done) })
	}
	wg.Wait()
}

// employ has one process work.
func employ[J, R any](c Crew, draw func() (J, bool), done func(J, R, error)) {
	j, ok := draw()
	if !ok {
		return
	}
	w, err := hire(c)
	if err != nil {
		var none R
		done(j, none, err)
		return
	}
	defer w.dismiss()
	for ; ok; j, ok = draw() {
		var r R
		broken, err := w.do(j, &r)
		done(j, r, err)
		if broken {
			return
		}
	}
}

// A worker is one process.
type worker struct {
	cmd   *exec.Cmd
	limit time.Duration
	in    io.WriteCloser
	out   *bufio.Scanner
	errs  strings.Builder
}

func hire(c Crew) (*worker, error) {
	w := &worker{cmd: c.Worker(), limit: c.Limit}
	if w.cmd.Env == nil {
		w.cmd.Env = os.Environ()
	}
	w.cmd.Env = append(w.cmd.Env, environ...)
	w.cmd.Stderr = &w.errs
	in, err1 := w.cmd.StdinPipe()
	out, err2 := w.cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start a process to work: %w", err)
	}
	w.in, w.out = in, bufio.NewScanner(out)
	w.out.Buffer(nil, longestLine)
	return w, nil
}

func (w *worker) dismiss() {
	_ = w.in.Close()
	_ = w.cmd.Wait()
}

// do gives the worker a job. broken says that it can do no other.
func (w *worker) do(j any, r any) (broken bool, err error) {
	line, err := json.Marshal(j)
	if err != nil {
		return false, err
	}
	hangs := time.AfterFunc(w.limit, func() { _ = w.cmd.Process.Signal(syscall.SIGQUIT) }) // it prints where its goroutines are
	defer hangs.Stop()
	_, err = w.in.Write(append(line, '\n'))
	said, answer, ok := w.answer()
	if err != nil || !ok {
		late := !hangs.Stop()
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait() // and with it all that it said
		why := "the process ended"
		if late {
			why = fmt.Sprintf("it took longer than %v", w.limit)
		}
		return true, fmt.Errorf("%s: %s%s", why, last(said), last(stands(w.errs.String())))
	}
	var a reply[json.RawMessage]
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		return true, fmt.Errorf("cannot understand the worker: %w", err)
	}
	if a.Error != "" {
		return false, fmt.Errorf("%s: %s", a.Error, last(said))
	}
	return false, json.Unmarshal(a.Result, r)
}

// mark begins the line of a result.
const mark = "RESULT "

type reply[R any] struct {
	Result R      `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// answer is the next line of a result, and what was said before it.
func (w *worker) answer() (said, line string, ok bool) {
	var before strings.Builder
	for w.out.Scan() {
		if text, ok := strings.CutPrefix(w.out.Text(), mark); ok {
			return before.String(), text, true
		}
		before.WriteString(w.out.Text() + "\n")
	}
	return before.String(), "", false
}

// stands shortens a dump of goroutines to those that may be the reason why a process hangs: it
// leaves out those that wait as usual in virtual time. Any other text stays whole.
func stands(text string) string {
	if !strings.Contains(text, "durable") {
		return text
	}
	var some []string
	for part := range strings.SplitSeq(text, "\n\n") {
		first, _, _ := strings.Cut(part, "\n")
		if !strings.Contains(first, "durable") {
			some = append(some, part)
		}
	}
	return strings.Join(some, "\n\n")
}

// last is the end of a text.
func last(text string) string {
	const most = 30000
	return text[max(0, len(text)-most):]
}

// ErrEnd ends the worker, if a job returns it. What the worker prints until its end is then the
// reason.
var ErrEnd = errors.New("the worker itself has failed")

// Serve is the worker's part: it does the jobs that it reads from in, until in ends, and writes
// their results to out.
func Serve[J, R any](in io.Reader, out io.Writer, do func(J) (R, error)) error {
	jobs := json.NewDecoder(in)
	for {
		var j J
		if err := jobs.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("cannot read a job: %w", err)
		}
		var a reply[R]
		r, err := do(j)
		if errors.Is(err, ErrEnd) {
			return err
		}
		a.Result = r
		if err != nil {
			a.Error = err.Error()
		}
		line, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "\n%s%s\n", mark, line); err != nil {
			return err
		}
	}
}
