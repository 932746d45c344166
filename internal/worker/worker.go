// Package worker answers the status of packages without starting a shell for each.
//
// A worker is a process of its own, one for each manager: it interprets scripts, and a script can
// drive its interpreter into a panic, out of memory, or onto a disk that hangs. The manager's end of
// it is a [Client], which starts the process when it is first needed, kills one that does not answer,
// and starts another. The worker's end is [Serve].
//
// Nothing depends on it. What it cannot do, and what came out of no run of it, is done by the
// script's own shell; and [Scripts] believes it only where it says that the package is up, and only
// as long as the shell says the same whenever that is asked too.
package worker

import (
	"context"
	"errors"
	"time"
)

// A Request is one run of a package's script.
type Request struct {
	ID     uint64
	Path   string        // $0: of the script, from Dir
	Files  string        // changes whenever the script or a module does
	Args   []string      // $1 and so on
	Dir    string        // the directory that it is run in, absolute
	Env    []string      // its environment, whole
	Cgroup string        // directory of the cgroup that real programs start in; "": the worker's
	Limit  time.Duration // how long it may take
	Cancel bool          // the run with this ID is to end: nothing else counts then
}

// An Answer is what came of it.
type Answer struct {
	ID       uint64
	Declined string // why the script is for its own shell: nothing of it was run
	Failed   string // why the interpreter could not go on: what it has done until then counts for nothing
	Stuck    bool   // it failed for what the script does, which is not done here: all is well with the worker
	Status   int    // its exit status
	Stdout   []byte
	Stderr   []byte
	Forks    int // how many real programs it started
}

// An Interpreter runs scripts.
type Interpreter interface {
	// Load reads the script of a request and all that it can source. declined says why it is not for this
	// interpreter. It is asked before each run, and remembers what it has read until the files change.
	Load(r Request) (program Program, declined string, err error)
}

// A Program is a script that was read. Several runs of it may go on at a time.
type Program interface {
	// Run runs it, and puts into a how it has ended, what it has printed, and how many programs it has started. The error says
	// that the interpreter could not go on, or that ctx has ended.
	Run(ctx context.Context, r Request, a *Answer) error
}

// longestOutput is how many bytes a run may print. One that prints more has failed.
const longestOutput = 64 << 10

var (
	errEnded   = errors.New("the worker has ended")
	errNotYet  = errors.New("the worker has ended, and is not started again yet")
	errNoReply = errors.New("the worker does not answer")
)
