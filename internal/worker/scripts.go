package worker

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/manager"
	"backtowork/internal/script"
)

// patience is how long the worker may take for a status before the shell is asked instead. Where all is well it takes
// a thousandth of it; a module that asks the network may take a second.
const patience = 2 * time.Second

// A Shell runs the actions of a package by the script's own shell.
type Shell interface {
	manager.Scripts
	Version() (string, error)                 // changes whenever the script or one of its modules does
	Request(of failover.Token) Request        // a status, as the shell would be given it
	Shadow(of failover.Token) (Shadow, error) // begins a status of which the output is kept
	EndRun(r Request)                         // kills what programs of a run are left
	Print(text []byte)                        // adds what a script has printed to the package's log
}

// A Shadow is a status by the shell. Its output goes to the log as any other, after its end.
type Shadow interface {
	failover.Action
	Flooded() bool  // it was ended for what it printed, and its status says nothing; after Done
	Stdout() []byte // what it has printed, after that
}

// Scripts runs the actions of a package: a status by the worker, where the gate lets it, and all else by the shell.
type Scripts struct {
	Shell
	client *Client
	gate   gate
	say    func(string)
}

// New returns the scripts of a package. say is told a line for its log.
func New(sh Shell, client *Client, say func(string)) *Scripts {
	return &Scripts{Shell: sh, client: client, say: say}
}

// Start begins an action.
func (s *Scripts) Start(action string, of failover.Token) (failover.Action, error) {
	if action != "status" {
		return s.Shell.Start(action, of)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &asked{s: s, of: of, ctx: ctx, cancel: cancel, done: make(chan struct{})}
	go a.run()
	return a, nil
}

// asked is a status that the worker may answer.
type asked struct {
	s      *Scripts
	of     failover.Token
	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex
	real failover.Action // by the shell, once that is asked

	done   chan struct{}
	status int   // valid when done is closed
	err    error // why it is none
}

// Done is closed when the status is known.
func (a *asked) Done() <-chan struct{} { return a.done }

// Status is the exit status, after Done.
func (a *asked) Status() int { return a.status }

// Err is why there is none.
func (a *asked) Err() error { return a.err }

// Kill ends it: a run of the worker is ended by the client, if need be with the worker.
func (a *asked) Kill(grace time.Duration) { a.end(func(real failover.Action) { real.Kill(grace) }) }

// Drop ends it, and leaves alone what else there is of the package.
func (a *asked) Drop() { a.end(failover.Action.Drop) }

func (a *asked) end(kill func(failover.Action)) {
	a.cancel()
	a.mu.Lock()
	real := a.real
	a.mu.Unlock()
	if real != nil {
		kill(real)
		return
	}
	over := time.NewTimer(cancelLimit + patience/2) // run may hang in a look at files on a disk that does
	defer over.Stop()
	select {
	case <-a.done:
	case <-over.C:
	}
}

// run asks the worker, the shell, or both.
func (a *asked) run() {
	defer close(a.done)
	defer a.cancel()
	s := a.s
	files, err := s.Version()
	if err != nil {
		a.byShell()
		return
	}
	open, shadow := s.gate.open(files)
	if !open {
		a.byShell()
		return
	}
	said, ok := s.ask(a.ctx, files, a.of)
	switch {
	case a.ctx.Err() != nil:
		a.status, a.err = script.NotRun, a.ctx.Err()
	case !ok:
		a.byShell()
	case shadow || said.Status != 0: // what is not up is for the shell to say
		a.both(files, said)
	default:
		s.Print(said.Stdout)
		s.Print(said.Stderr)
	}
}

// ask asks the worker. ok is false where it has no answer.
func (s *Scripts) ask(ctx context.Context, files string, of failover.Token) (a Answer, ok bool) {
	r := s.Request(of)
	r.Files, r.Limit = files, patience
	a, ok, why := s.gate.ask(ctx, s.client, r)
	if begun := a.ID != 0 && a.Declined == ""; begun && !ok && (a.Failed == "" || a.Forks > 0) {
		s.Shell.EndRun(r)
	}
	switch {
	case why == "":
	case a.Declined != "" || a.Stuck:
		s.off(files, why, false)
	default:
		s.off(files, fmt.Sprintf("the worker failed %d times in a row: %s", maxFailures, why), true)
	}
	return a, ok
}

// off has the shell answer from now on.
func (s *Scripts) off(files, why string, aloud bool) {
	if s.gate.close(files, why) && aloud {
		s.say("status is answered by the shell alone until the files change: " + why + ".")
	}
}

// both has the shell answer too. Its answer counts. Where the two differ the package may have changed in between: only
// if the worker, asked once more, does not say what the shell said, it is wrong.
func (a *asked) both(files string, said Answer) {
	s := a.s
	shadow, err := s.Shadow(a.of)
	if err != nil {
		a.status, a.err = script.NotRun, err
		return
	}
	if !a.follow(shadow) {
		return
	}
	flooded := shadow.Flooded()
	out := shadow.Stdout()
	if flooded {
		s.off(files, fmt.Sprintf("it prints more than %d MB", floodLimit>>20), true)
		a.byShell()
		return
	}
	agrees := func(w Answer) bool { return w.Status == a.status && bytes.Equal(w.Stdout, out) }
	if a.status < 0 || a.ctx.Err() != nil {
		return // the shell has not run, or was killed
	}
	first := said
	if !agrees(said) {
		var ok bool
		if said, ok = s.ask(a.ctx, files, a.of); !ok {
			return
		}
	}
	s.gate.compared(agrees(said))
	if !agrees(said) {
		s.off(files, fmt.Sprintf("the worker's answer differs: status %d, and %d by the shell; it printed %s, and %s by the shell",
			first.Status, a.status, brief(first.Stdout), brief(out)), true)
	}
}

// brief is text for a line of the log.
func brief(text []byte) string {
	const most = 200
	if len(text) > most {
		return fmt.Sprintf("%.*q...", most, text)
	}
	return fmt.Sprintf("%q", text)
}

// byShell has the shell answer alone.
func (a *asked) byShell() {
	real, err := a.s.Shell.Start("status", a.of)
	if err != nil {
		a.status, a.err = script.NotRun, err
		return
	}
	a.follow(real)
}

// follow waits for an action of the shell, and takes over its status. ok is false where it was killed before it began.
func (a *asked) follow(real failover.Action) (ok bool) {
	a.mu.Lock()
	a.real = real
	a.mu.Unlock()
	if a.ctx.Err() != nil { // who ended it has not seen the action
		real.Drop()
	}
	<-real.Done()
	a.status = real.Status()
	if why, is := real.(interface{ Err() error }); is {
		a.err = why.Err()
	}
	return a.ctx.Err() == nil
}

// HowAsked says how the package's status is answered.
func (s *Scripts) HowAsked() string { return s.gate.now().String() }
