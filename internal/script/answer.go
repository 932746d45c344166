package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What a script ends with is an answer only if the script ran. A status of 127 may be its own word;
// or its file was being replaced, was open for writing, or its interpreter was missing. The child
// that was to become the script tells the one from the other. Nor is it an answer if the script
// could not write its log: with set -e it ends with 1, which means down, at its first echo.

// judge finds out whether what the action ended with is an answer; if not it makes it NotRun.
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

// vanished says why the script is not there any more for its interpreter, which opens it once
// more: what that ends with then is its own word, not the script's.
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

// files is what the action is to have open. Where the log cannot be written a stop writes nowhere,
// and a status does so after its first answer was not believed. A start has the log in any case:
// what it leaves running keeps it, and there may be room again.
func (r *Runner) files(a *Action, stdout *os.File) []*os.File {
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
	logRoom   = 64 << 10 // there must be for what scripts write
	lookLimit = 500 * time.Millisecond
)

// look is what f finds on the disk; nil where that takes long, as on a disk that hangs.
func (r *Runner) look(f func() error) error {
	if !r.looking.TryLock() {
		return nil // an earlier look hangs, or another is at it
	}
	found := make(chan error, 1)
	go func() {
		defer r.looking.Unlock()
		found <- f()
	}()
	limit := time.NewTimer(lookLimit)
	defer limit.Stop()
	select {
	case err := <-found:
		return err
	case <-limit.C:
		return nil
	}
}

// logIsFull is an error where it is certain that the log cannot be written.
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
