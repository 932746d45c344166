//go:build linux

package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/manager"
	"backtowork/internal/script"
	"backtowork/internal/shell"
)

// A stub interprets what a test says.
type stub struct {
	declined string
	run      func(ctx context.Context, r Request, f Files) (int, error)
}

func (s *stub) Load(Request) (Program, string, error) { return s, s.declined, nil }

func (s *stub) Run(ctx context.Context, r Request, a *Answer) error {
	a.Forks = 1
	return inFiles(a, func(f Files) (int, error) { return s.run(ctx, r, f) })
}

// pipe is a worker process: Serve in a goroutine.
type pipe struct{ net.Conn }

func (p pipe) Kill() { _ = p.Close() }

// spawner starts workers, and counts them.
func spawner(in Interpreter, count *atomic.Int64) func() (Conn, error) {
	return func() (Conn, error) {
		count.Add(1)
		ours, theirs := net.Pipe()
		go func() {
			_ = Serve(theirs, theirs, in)
			_ = theirs.Close()
		}()
		return pipe{ours}, nil
	}
}

// sh is a package as its own shell sees it.
type sh struct {
	manager.Scripts
	mu      sync.Mutex
	status  int
	out     string
	runs    int
	version string
	printed string
	hangs   bool
}

type shellRun struct {
	status int
	out    string
	done   chan struct{}
}

func (r *shellRun) Done() <-chan struct{} { return r.done }
func (r *shellRun) Status() int           { return r.status }
func (r *shellRun) Err() error            { return nil }
func (r *shellRun) Kill(time.Duration)    { r.status = 137; close(r.done) }
func (r *shellRun) Drop()                 { r.Kill(0) }
func (r *shellRun) Flooded() bool         { return false }
func (r *shellRun) Stdout() []byte        { return []byte(r.out) }

func (s *sh) begin() *shellRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	r := &shellRun{status: s.status, out: s.out, done: make(chan struct{})}
	if !s.hangs {
		close(r.done)
	}
	return r
}

func (s *sh) Start(string, failover.Token) (failover.Action, error) { return s.begin(), nil }
func (s *sh) Shadow(failover.Token) (Shadow, error)                 { return s.begin(), nil }
func (s *sh) Request(failover.Token) Request {
	return Request{Path: "packages/p", Args: []string{"status"}}
}
func (s *sh) EndRun(Request)    {}
func (s *sh) Print(text []byte) { s.printed += string(text) }

func (s *sh) Version() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version, nil
}

// A trial is a package with its worker.
type trial struct {
	t       *testing.T
	sh      *sh
	in      *stub
	scripts *Scripts
	workers atomic.Int64
	said    []string
}

func newTrial(t *testing.T, run func(context.Context, Request, Files) (int, error)) *trial {
	tr := &trial{t: t, sh: &sh{version: "1"}, in: &stub{run: run}}
	client := NewClient(spawner(tr.in, &tr.workers))
	tr.scripts = New(tr.sh, client, func(line string) { tr.said = append(tr.said, line) })
	t.Cleanup(client.Close)
	return tr
}

// ask asks for a status, and returns it with the number of runs of the shell for it.
func (tr *trial) ask() (status, shells int) {
	tr.t.Helper()
	before := tr.sh.runs
	a, err := tr.scripts.Start("status", failover.Token{Term: 3})
	if err != nil {
		tr.t.Fatal(err)
	}
	<-a.Done()
	return a.Status(), tr.sh.runs - before
}

func (tr *trial) want(status, shells int) {
	tr.t.Helper()
	if s, n := tr.ask(); s != status || n != shells {
		tr.t.Fatalf("status %d with %d runs of the shell, want %d with %d", s, n, status, shells)
	}
}

func isUp(context.Context, Request, Files) (int, error) { return 0, nil }

// The first runs are done by the shell too, later every two hundredth.
func TestShadows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, func(_ context.Context, _ Request, f Files) (int, error) {
			_, err := fmt.Fprintln(f.Stdout, "well")
			return 0, err
		})
		tr.sh.out = "well\n"
		for range firstShadows {
			tr.want(0, 1)
		}
		for range shadowEvery - firstShadows {
			tr.want(0, 0)
		}
		tr.want(0, 1)
		tr.want(0, 0)
		if r := tr.scripts.gate.now(); r != (Report{Runs: 202, Agreed: 6, Forks: 1}) {
			t.Errorf("the report is %+v", r)
		}
		if n := strings.Count(tr.sh.printed, "well\n"); n != 202-6 {
			t.Errorf("%d answers of the worker are in the log", n)
		}
	})
}

// Whatever is not up is for the shell to say, and where that says otherwise the worker is not asked again.
func TestNotUpIsTheShells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 0
		tr := newTrial(t, func(context.Context, Request, Files) (int, error) { return status, nil })
		for range 10 {
			tr.ask()
		}
		for _, status = range []int{1, 2, 3} {
			tr.sh.status = status
			tr.want(status, 1)
		}
		tr.sh.status = 0
		tr.want(0, 1) // the shell: up
		tr.want(0, 1) // alone
		if len(tr.said) != 1 || !strings.Contains(tr.said[0], "status 3, and 0 by the shell") {
			t.Errorf("it says %q", tr.said)
		}
		tr.sh.version, status = "2", 0
		for range firstShadows {
			tr.want(0, 1)
		}
		tr.want(0, 0)
	})
}

// A package that goes down between the two runs is no difference; another output is.
func TestDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		says := []int{0, 1}
		tr := newTrial(t, func(context.Context, Request, Files) (status int, _ error) {
			status, says = says[0], says[1:]
			return status, nil
		})
		tr.sh.status = 1
		tr.want(1, 1)
		if r := tr.scripts.gate.now(); r.Off != "" || r.Agreed != 1 {
			t.Errorf("the report is %+v", r)
		}
		says = []int{1, 1}
		tr.sh.out = "down since noon\n"
		tr.want(1, 1)
		if r := tr.scripts.gate.now(); r.Off == "" || r.Differs != 1 {
			t.Errorf("the report is %+v", r)
		}
		if len(tr.said) != 1 || !strings.Contains(tr.said[0], `printed "", and "down since noon\n" by the shell`) {
			t.Errorf("it says %q", tr.said)
		}
	})
}

// A script that is not for the worker is run by the shell, and nothing is said of it in the log.
func TestDeclined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, isUp)
		tr.in.declined = "p:3: trap with a signal"
		tr.sh.status = 2
		tr.want(2, 1)
		if r := tr.scripts.gate.now(); r.Off != tr.in.declined || len(tr.said) > 0 {
			t.Errorf("the report is %+v, and it says %q", r, tr.said)
		}
	})
}

// A script that does what is not done here is for the shell, and nothing is said of it in the log.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, func(context.Context, Request, Files) (int, error) {
			return 0, fmt.Errorf("%w: cannot open x", shell.ErrDeclined)
		})
		for range maxFailures {
			tr.want(0, 1)
		}
		if r := tr.scripts.gate.now(); !strings.HasSuffix(r.Off, "cannot open x") || len(tr.said) > 0 {
			t.Errorf("the report is %+v, and it says %q", r, tr.said)
		}
	})
}

// A worker that dies, panics, prints without end or hangs is no answer: the shell is asked. After three times it alone.
func TestWorkerFails(t *testing.T) {
	for name, c := range map[string]struct {
		run     func(ctx context.Context, f Files) (int, error)
		workers int64
	}{
		"panics":          {func(context.Context, Files) (int, error) { panic("no such thing") }, 1},
		"cannot go on":    {func(context.Context, Files) (int, error) { return 0, errors.New("too deep") }, 1},
		"prints too much": {func(_ context.Context, f Files) (int, error) { return 0, flood(f) }, 1},
		"takes too long":  {func(ctx context.Context, _ Files) (int, error) { <-ctx.Done(); return 0, nil }, 1},
		"hangs":           {func(context.Context, Files) (int, error) { time.Sleep(time.Hour); return 0, nil }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTrial(t, func(ctx context.Context, _ Request, f Files) (int, error) { return c.run(ctx, f) })
				for range maxFailures {
					begin := time.Now()
					tr.want(0, 1)
					if took := time.Since(begin); took > patience+cancelLimit {
						t.Errorf("it takes %v", took)
					}
					time.Sleep(longPause)
				}
				if r := tr.scripts.gate.now(); !strings.Contains(r.Off, "failed 3 times") {
					t.Errorf("the report is %+v", r)
				}
				tr.want(0, 1)
				if n := tr.workers.Load(); n != c.workers {
					t.Errorf("%d workers were started", n)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

func flood(f Files) error {
	_, err := f.Stdout.Write(make([]byte, longestOutput+1))
	return err
}

// A worker that dies is started again, less and less often while it answers nothing.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		c := NewClient(func() (Conn, error) {
			count.Add(1)
			ours, theirs := net.Pipe()
			_ = theirs.Close()
			return pipe{ours}, nil
		})
		defer c.Close()
		for range 600 {
			if _, _, err := c.Run(t.Context(), Request{Limit: time.Second}); err == nil {
				t.Fatal("an answer of nobody")
			}
			time.Sleep(time.Second)
		}
		if n := count.Load(); n < 10 || n > 20 { // 1, 2, 4 ... 60 s apart
			t.Errorf("%d workers in 10 minutes", n)
		}
	})
}

// Other requests go on beside one that hangs, until the worker is killed for that.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{}, 1)
		hangs <- struct{}{}
		tr := newTrial(t, func(context.Context, Request, Files) (int, error) {
			select {
			case <-hangs:
				time.Sleep(time.Minute)
			default:
			}
			return 0, nil
		})
		slow, _ := tr.scripts.Start("status", failover.Token{})
		synctest.Wait()
		quick, _ := tr.scripts.Start("status", failover.Token{})
		begin := time.Now()
		<-quick.Done()
		if took := time.Since(begin); took > 0 {
			t.Errorf("one waits %v for the other", took)
		}
		<-slow.Done()
		if n := tr.workers.Load(); n != 1 {
			t.Errorf("%d workers", n)
		}
		time.Sleep(time.Hour)
	})
}

// A kill ends a run of the worker, and one of the shell, and comes back only when they have ended.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		tr := newTrial(t, func(ctx context.Context, _ Request, _ Files) (int, error) {
			<-ctx.Done()
			close(ended)
			return 0, nil
		})
		a, _ := tr.scripts.Start("status", failover.Token{})
		synctest.Wait()
		a.Kill(0)
		<-ended
		<-a.Done()
		if a.Status() != script.NotRun || tr.sh.runs != 0 {
			t.Errorf("status %d, and %d runs of the shell", a.Status(), tr.sh.runs)
		}
		tr.in.declined, tr.sh.hangs = "not this one", true
		a, _ = tr.scripts.Start("status", failover.Token{})
		synctest.Wait()
		a.Kill(0)
		<-a.Done()
		if a.Status() != 137 {
			t.Errorf("status %d", a.Status())
		}
	})
}

// A run that is ended just after it begins: the worker hears first of the run, then of its end, however slowly it reads.
func TestCancelComesAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			ours, theirs := net.Pipe()
			c := NewClient(func() (Conn, error) { return pipe{ours}, nil })
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			heard := make(chan bool, 2)
			go func() {
				for requests := newReader(theirs); ; {
					r, err := requests.request()
					if err != nil {
						close(heard)
						return
					}
					heard <- r.Cancel
				}
			}()
			if _, _, err := c.Run(ctx, Request{Limit: time.Second}); err == nil {
				t.Error("an answer of nobody")
			}
			if first, second := <-heard, <-heard; first || !second {
				t.Fatal("the end came before the run")
			}
			c.Close()
		}
	})
}

// Who runs beside one that hangs is not to blame for what the worker is killed for.
func TestNeighbourOfOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t, func(context.Context, Request, Files) (int, error) {
			time.Sleep(time.Minute)
			return 0, nil
		})
		blame := func(limit time.Duration) chan bool {
			ours := make(chan bool, 1)
			go func() {
				_, is, err := tr.scripts.client.Run(t.Context(), Request{Limit: limit})
				if err == nil {
					t.Error("an answer of one that hangs")
				}
				ours <- is
			}()
			synctest.Wait()
			return ours
		}
		hangs, beside := blame(time.Second), blame(10*time.Second)
		if !<-hangs || <-beside {
			t.Error("the wrong one is to blame")
		}
		time.Sleep(time.Hour)
	})
}
