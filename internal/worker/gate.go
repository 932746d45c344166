package worker

import (
	"context"
	"fmt"
	"sync"
)

// How the worker is watched over: it is believed as long as the shell says the same.
const (
	firstShadows = 5   // so many runs of a version of the files are done by the shell too
	shadowEvery  = 200 // and later every so many
	maxFailures  = 3   // so often in a row the worker may have ended in a run of it
)

// A Report is how a package's status is answered.
type Report struct {
	Off     string // why by the shell alone; "" where the worker may answer
	Runs    uint64 // of the worker
	Agreed  uint64 // how many of those the shell did too, and said the same
	Differs uint64 // and how many that it did otherwise
	Forks   int    // programs that the last run has started
}

func (r Report) String() string {
	by := "worker"
	if r.Off != "" {
		by = "shell: " + r.Off
	}
	return fmt.Sprintf("%s; %d runs of the worker, the last with %d programs; in %d the shell agreed, in %d not", by, r.Runs, r.Forks, r.Agreed, r.Differs)
}

// A gate decides, for one package, whether the worker may answer. What it has learned is of one version of the
// files: where one was changed, it begins again.
type gate struct {
	mu       sync.Mutex
	files    string
	report   Report
	failures int
}

// open says whether the worker may run these files now, and whether the shell is to run them too.
func (g *gate) open(files string) (ok, shadow bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if files != g.files {
		g.files, g.report, g.failures = files, Report{}, 0
	}
	runs := g.report.Runs
	return g.report.Off == "", runs < firstShadows || runs%shadowEvery == 0
}

// close has the shell run these files from now on. It says whether that is new.
func (g *gate) close(files, why string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.files != files || g.report.Off != "" {
		return false
	}
	g.report.Off = why
	return true
}

// ran takes note of a run of the worker.
func (g *gate) ran(a Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.report.Runs++
	g.report.Forks = a.Forks
	g.failures = 0
}

// ask has the worker do a run, and takes note of what came of it. ok is false where there is no answer; why then says why the
// shell is to answer from now on, "" where that is for this run alone.
func (g *gate) ask(ctx context.Context, c *Client, r Request) (a Answer, ok bool, why string) {
	a, ours, err := c.Run(ctx, r)
	switch {
	case err == nil && a.Declined == "":
		g.ran(a)
		return a, true, ""
	case err == nil:
		return a, false, a.Declined
	case ours && ctx.Err() == nil && g.failed():
		return a, false, err.Error()
	}
	return a, false, ""
}

// compared takes note of what the shell said to the same.
func (g *gate) compared(agrees bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if agrees {
		g.report.Agreed++
	} else {
		g.report.Differs++
	}
}

// failed takes note that the worker has ended in a run, or could not go on with it. It says whether that was once
// too often.
func (g *gate) failed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures++
	return g.failures >= maxFailures
}

func (g *gate) now() Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.report
}
