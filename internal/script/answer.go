package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A script's exit status is an answer only if the script ran. The script may end with 127 by its
// own will; but 127 may also mean that its file was being replaced or written, or that its
// interpreter was missing. The child that was to become the script tells which. A status is no
// answer either if the script could not write its log: with set -e it ends at its first echo with
// 1, which means down.

// judge decides whether the action's exit status is an answer. If not, it sets the status to
// NotRun.
func (a *Action) judge() {
	reason := inPipe(a.told, longestReason)
	a.told.Close()
	var doubt error
	if a.asks && a.status != 0 {
		doubt = a.r.look(func() error {
			if err := a.r.vanished(a.status); err != nil || a.silent {
				return err
			}
			return a.r.logIsFull()
		})
	}
	switch {
	case len(reason) > 0:
		a.err = errors.New(strings.TrimSpace(string(reason)))
	case doubt != nil:
		a.err = doubt
	default:
		a.r.complain(nil)
		return
	}
	a.status = NotRun
	a.r.complain(a.err)
}

const longestReason = 4 << 10

// vanished returns an error if the script's file is not there any more. The interpreter opens that
// file once more after the start; if it is gone, the status is the interpreter's, not the script's.
func (r *Runner) vanished(status int) error {
	if !slices.Contains([]int{syntaxError, notExecutable, notFound}, status) {
		return nil
	}
	path := "packages/" + r.cfg.Name
	if err := runnable(filepath.Join(r.cfg.Home, path)); err != nil {
		return fmt.Errorf("cannot run %s: %w", path, err)
	}
	return nil
}

// complain notes in the log why a script could not be run, once until one can.
func (r *Runner) complain(err error) {
	r.mu.Lock()
	was := r.complaint
	r.complaint = ""
	if err != nil {
		r.complaint = err.Error()
	}
	now := r.complaint
	r.mu.Unlock()
	if now != "" && now != was {
		r.Logf("back-to-work: %s", now)
	}
}

// files returns what the action gets as stdin, stdout and stderr. If the log cannot be written, a
// stop writes nowhere, and so does a status once its answer was not believed. A start has the log
// in any case: what it leaves running keeps it, and there may be room again.
func (r *Runner) files(a *Action, stdout *os.File) []*os.File {
	_ = briefly(&r.following, followLimit, func() error {
		r.logs.Look() // what runs from now on writes where the log is now
		return nil
	})
	log := r.log
	r.mu.Lock()
	doubted := r.doubted
	r.mu.Unlock()
	if a.asks && (doubted || a.stops) && r.look(r.logIsFull) != nil {
		log, a.silent = r.null, true
	}
	if stdout == nil {
		stdout = log
	}
	return []*os.File{r.null, stdout, log}
}

const (
	logRoom   = 64 << 10 // bytes that must be free for what scripts write
	lookLimit = 500 * time.Millisecond
	// followLimit is less: where the log cannot be looked at in time, the script writes to the one that is open.
	followLimit = 100 * time.Millisecond
)

// look returns what f returns, or nil if f takes too long, as on a disk that hangs.
func (r *Runner) look(f func() error) error { return briefly(&r.looking, lookLimit, f) }

// briefly is look, for at most that long. At a time there is only one f that has locked one.
func briefly(one *sync.Mutex, atMost time.Duration, f func() error) error {
	if !one.TryLock() {
		return nil // an earlier look hangs, or another is at it
	}
	found := make(chan error, 1)
	go func() {
		defer one.Unlock()
		found <- f()
	}()
	limit := time.NewTimer(atMost)
	defer limit.Stop()
	select {
	case err := <-found:
		return err
	case <-limit.C:
		return nil
	}
}

// logIsFull returns an error if it is certain that the log cannot be written.
func (r *Runner) logIsFull() error {
	full := isFull(r.log)
	r.mu.Lock()
	r.doubted = full
	r.mu.Unlock()
	if full {
		return fmt.Errorf("cannot write log/%s.log: what a script ends with that could not write is not believed", r.cfg.Name)
	}
	return nil
}
