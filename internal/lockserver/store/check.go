package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// checkLimit is how long the check of a store may take.
const checkLimit = 10 * time.Second

// checkMemory is how much a check may use on top of twice the file: damage can make bbolt count
// pages without end.
const checkMemory = 256 << 20

// ErrDamaged means that a store is damaged, and not only that it cannot be read at the moment.
var ErrDamaged = errors.New("the store is damaged")

// DamagedStatus is the exit status of store-check for [ErrDamaged].
const DamagedStatus = 3

// A damage is an ErrDamaged in the words of whoever found it.
type damage string

func (d damage) Error() string { return string(d) }
func (d damage) Unwrap() error { return ErrDamaged }

// CheckInChild checks the store at path as [Check] does, in a child process that runs the
// binary exe as the command store-check: some kinds of damage crash any process that reads the file.
// Its error is one line.
func CheckInChild(ctx context.Context, exe, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, exe, path)
	cmd.Args[0] = "store-check"
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot check %s: %w", path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // stays behind if the disk hangs: then the child cannot be killed
	select {
	case err := <-ended:
		if err != nil && ctx.Err() == nil {
			return verdict(path, cmd.ProcessState, said.String())
		}
		if err == nil {
			return nil
		}
	case <-ctx.Done():
		_ = cmd.Process.Kill() // now: this process may end before Wait's own kill
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("cannot use %s: its check has not ended in %v", path, checkLimit)
	}
	return fmt.Errorf("cannot check %s: %w", path, ctx.Err())
}

// verdict puts in one line how the child ended. said is what the child wrote to stderr.
func verdict(path string, end *os.ProcessState, said string) error {
	last := "it says nothing"
	bad := func(format string, args ...any) error { return damaged(path, fmt.Errorf(format, args...)) }
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		for _, crash := range []string{"panic: ", "fatal error: ", "unexpected fault address", "runtime: ", "SIG"} {
			if strings.HasPrefix(line, crash) {
				return bad("%s", line)
			}
		}
		if line != "" {
			last = line
		}
	}
	if status, ok := end.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return bad("signal: %v", status.Signal())
	}
	message, ok := strings.CutPrefix(last, "store-check: ")
	switch {
	case ok && end.ExitCode() == 1:
		return errors.New(message)
	case ok && end.ExitCode() == DamagedStatus:
		return damage(message)
	}
	return bad("exit status %d: %s", end.ExitCode(), last)
}

// Check says whether the store at path can be used: every page and every entry of it is
// read. It is for a process of its own, whose memory it limits, since some kinds of damage
// cannot be survived. See [CheckInChild].
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot check %s: %s", path, reason(err))
	}
	if err := limitMemory(checkMemory + 2*info.Size()); err != nil {
		return fmt.Errorf("cannot limit the memory of a check: %w", err)
	}
	return checkFile(path)
}

func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot check %s: %s", path, reason(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot check %s: %s", path, reason(err))
	}
	if info.Size() == 0 {
		return damaged(path, errors.New("it is empty"))
	}
	options := boltOptions()
	options.ReadOnly = true
	db, err := bbolt.Open(path, 0, options) // from here on nobody writes
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("cannot use %s: %s", path, reason(err))
	case err != nil:
		return damaged(path, err)
	}
	defer db.Close()
	err = checkHeaders(f, info.Size())
	if err == nil {
		err = db.View(checkPages)
	}
	var version versionError
	switch {
	case errors.As(err, &version):
		return fmt.Errorf("cannot use %s: %w", path, version)
	case err != nil:
		return damaged(path, err)
	}
	return nil
}

// checkPages checks the pages, and then what is on them.
func checkPages(tx *bbolt.Tx) error {
	var first error
	for err := range tx.Check() { // all of them are read, or the goroutine of Check never ends
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return first
	}
	return checkLog(tx)
}

func damaged(path string, err error) error {
	return damage(fmt.Sprintf("cannot use %s: it is damaged (%v)", path, err))
}

// checkLog checks that the log is what the state says: no gap, and no term that goes back.
func checkLog(tx *bbolt.Tx) error {
	log, b := tx.Bucket(logBucket), tx.Bucket(stateBucket)
	if log == nil || b == nil {
		return errNotStore
	}
	s, err := decodeState(b.Get(stateKey))
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if _, _, err := readSnapshot(tx); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	next, last := s.first, raft.Log{}
	err = log.ForEach(func(k, v []byte) error {
		term := last.Term
		if err := decodeEntry(v, &last); err != nil {
			return fmt.Errorf("entry %x: %w", k, err)
		}
		if !bytes.Equal(k, indexKey(next)) || last.Index != next {
			return fmt.Errorf("entry %d is at %x, where %d should be", last.Index, k, next)
		}
		if last.Term < term {
			return fmt.Errorf("entry %d is of term %d, the one before of %d", next, last.Term, term)
		}
		next++
		return nil
	})
	if err != nil {
		return err
	}
	if last.Index != s.last || last.Term != s.lastTerm {
		return fmt.Errorf("the last entry is %d of term %d, not %d of term %d", last.Index, last.Term, s.last, s.lastTerm)
	}
	return nil
}

// The header of a bbolt file, of which it has two, at the begin of its first two pages. The
// numbers are in the order of this machine.
const (
	headerStart = 16               // after what every page begins with
	headerPages = headerStart + 40 // how many pages the file has
	headerSum   = headerStart + 56 // FNV-1a of what stands from headerStart to here
	headerSize  = headerSum + 8    // up to the end of the sum
	headerPage  = headerStart + 8  // size of a page
)

// checkHeaders checks the two headers of the file f of that size. bbolt is content with one of
// them, but if that is the older one the last change is lost, and it may have been a vote. (A
// crash does not damage a header, since it fits into one sector.)
func checkHeaders(f *os.File, size int64) error {
	var header [headerSize]byte
	page := int64(0)
	for n := range int64(2) {
		if _, err := f.ReadAt(header[:], n*page); err != nil {
			return fmt.Errorf("header %d: %s", n, reason(err))
		}
		sum := fnv.New64a()
		sum.Write(header[headerStart:headerSum])
		if sum.Sum64() != binary.NativeEndian.Uint64(header[headerSum:]) {
			return fmt.Errorf("header %d has a wrong sum", n)
		}
		page = max(1, int64(binary.NativeEndian.Uint32(header[headerPage:])))
		if pages := binary.NativeEndian.Uint64(header[headerPages:]); uint64(size/page) < pages {
			return fmt.Errorf("it ends after %d bytes, and should have %d pages of %d", size, pages, page)
		}
	}
	return nil
}
