package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// most is how much of a file or of stdin is read: the real program does better with more.
	most = 1 << 20
	// ended is the status when ctx ended the command, as if by TERM; noReader when nobody reads what it
	// writes, as if by PIPE.
	ended    = 128 + 15
	noReader = 128 + 13
)

// An input is a file, or stdin, whole.
type input struct {
	name  string // as given; "-" is stdin
	data  []byte
	err   error // it could not be read
	stdin bool
}

// A result is what a command has to say when it is done. Nothing is written before.
type result struct {
	out, err bytes.Buffer
	status   int
}

// say adds a message to stderr.
func (r *result) say(c *Call, format string, args ...any) {
	fmt.Fprintf(&r.err, "%s: %s\n", c.name(), fmt.Sprintf(format, args...))
}

// finish writes r. A write that fails is told as the usual programs do, with the status given.
func (c *Call) finish(ctx context.Context, r *result, failed int) (int, bool) {
	if r.err.Len() > 0 {
		_, _ = c.Stderr.Write(r.err.Bytes())
	}
	if err := c.write(ctx, r.out.Bytes()); err != nil {
		return c.unwritten(ctx, err, failed), true
	}
	return r.status, true
}

// write writes data to stdout, and ends when ctx does, where stdout can be interrupted.
func (c *Call) write(ctx context.Context, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if w, ok := c.Stdout.(interface{ SetWriteDeadline(time.Time) error }); ok {
		defer context.AfterFunc(ctx, func() { _ = w.SetWriteDeadline(time.Unix(1, 0)) })()
	}
	_, err := c.Stdout.Write(data)
	return err
}

// unwritten is the status after stdout could not be written.
func (c *Call) unwritten(ctx context.Context, err error, failed int) int {
	switch {
	case ctx.Err() != nil:
		return ended
	case errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe):
		return noReader
	}
	fmt.Fprintf(c.Stderr, "%s: write error: %s\n", c.name(), reason(err))
	return failed
}

// reason is an error in the words of strerror.
func reason(err error) string {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err.Error()
	}
	text := number.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// A filter is a command that reads files or stdin, and writes.
type filter struct {
	names  []string // none: stdin
	failed int      // the status after a write that fails
	// enough says after each part of stdin that there is no need to read on; nil reads all. Of a plain
	// file all is read in any case: so do the usual programs leave it.
	enough func(part []byte) bool
	// do does the work with the inputs; false where it cannot do it exactly.
	do func(ins []input, r *result) bool
}

// filter reads what f names, and does it.
func (c *Call) filter(ctx context.Context, f filter) (int, bool) {
	if len(f.names) == 0 {
		f.names = []string{"-"}
	}
	ins := make([]input, len(f.names))
	at := -1
	for i, name := range f.names {
		ins[i].name = name
		if name != "-" {
			if !ins[i].readFile(c) {
				return 0, false
			}
		} else if at < 0 {
			at = i
		} else {
			return 0, false
		}
	}
	r := &result{}
	if at < 0 || c.Stdin == nil {
		if at >= 0 {
			ins[at].stdin = true
		}
		if !f.do(ins, r) {
			return 0, false
		}
		return c.finish(ctx, r, f.failed)
	}
	in := &ins[at]
	in.stdin = true
	enough := f.enough
	if file, plain := plainFile(c.Stdin); plain {
		if enough = nil; left(file) > most {
			return 0, false
		}
	}
	all := in.read(ctx, c.Stdin, enough)
	switch {
	case ctx.Err() != nil:
		return ended, true
	case !all || in.err != nil || !f.do(ins, r):
		return c.handOver(ctx, in.data)
	}
	return c.finish(ctx, r, f.failed)
}

// readFile reads a plain file. It is false for anything else, which may hang or have no end, for one that is
// large, and for what stdout goes to.
func (in *input) readFile(c *Call) bool {
	path := c.path(in.name)
	info, err := os.Stat(path)
	if err != nil {
		in.err = err
		return true
	}
	if !info.Mode().IsRegular() && !isNull(info) || info.Size() > most {
		return false
	}
	if out, ok := c.Stdout.(*os.File); ok {
		if to, err := out.Stat(); err != nil || to.Mode().IsRegular() && os.SameFile(to, info) {
			return false
		}
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		in.err = err
		return true
	}
	defer file.Close()
	in.data, err = io.ReadAll(io.LimitReader(file, most+1))
	return err == nil && len(in.data) <= most
}

// read reads stdin; it is false if there is more than we take.
func (in *input) read(ctx context.Context, from io.Reader, enough func([]byte) bool) (all bool) {
	r, stop := interruptible(ctx, from)
	defer stop()
	for {
		if cap(in.data)-len(in.data) < 4096 {
			in.data = append(make([]byte, 0, 2*cap(in.data)+8192), in.data...)
		}
		part := in.data[len(in.data):min(cap(in.data), len(in.data)+32768)]
		n, err := r.Read(part)
		in.data = in.data[:len(in.data)+n]
		switch {
		case err == io.EOF:
			return true
		case err != nil:
			in.err = err
			return true
		case enough != nil && enough(part[:n]):
			return true
		case len(in.data) > most:
			return false
		}
	}
}

// interruptible is r, such that a Read ends when ctx does. What has no deadlines is read by a goroutine, which
// then may be left waiting. The function that it returns leaves r as it was.
func interruptible(ctx context.Context, r io.Reader) (io.Reader, func()) {
	switch r.(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return r, func() {}
	}
	d, ok := r.(interface{ SetReadDeadline(time.Time) error })
	if !ok || d.SetReadDeadline(time.Time{}) != nil {
		return &waiting{ctx, r}, func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = d.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file, which ends the read as well
		close(done)
	})
	return r, func() {
		if !stop() {
			<-done
		}
		_ = d.SetReadDeadline(time.Time{})
	}
}

// waiting reads by a goroutine.
type waiting struct {
	ctx context.Context
	r   io.Reader
}

func (w *waiting) Read(p []byte) (int, error) {
	if isPlain(w.r) {
		return w.r.Read(p)
	}
	type got struct {
		data []byte
		err  error
	}
	c := make(chan got, 1)
	go func() {
		own := make([]byte, len(p))
		n, err := w.r.Read(own)
		c <- got{own[:n], err}
	}()
	select {
	case g := <-c:
		return copy(p, g.data), g.err
	case <-w.ctx.Done():
		return 0, w.ctx.Err()
	}
}

// plainFile is v if that is a plain file, whose place others may share.
func plainFile(v any) (*os.File, bool) {
	f, ok := v.(*os.File)
	if !ok {
		return nil, false
	}
	info, err := f.Stat()
	return f, err == nil && info.Mode().IsRegular()
}

func isPlain(v any) bool {
	_, is := plainFile(v)
	return is
}

// left is how much of a plain file is still to be read.
func left(f *os.File) int64 {
	info, err := f.Stat()
	at, failed := f.Seek(0, io.SeekCurrent)
	if err != nil || failed != nil {
		return math.MaxInt64
	}
	return info.Size() - at
}

// handOver runs the real program with what was read of stdin, and then the rest of it.
func (c *Call) handOver(ctx context.Context, read []byte) (int, bool) {
	this := turnOf(ctx)
	this.handed = true
	running, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, this.file.path, c.Args[1:]...)
	cmd.Args[0] = c.Args[0]
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = c.Environ(), c.Dir, c.Stdout, c.Stderr
	cmd.WaitDelay = time.Second
	if err := c.startOver(running, cmd, read); err != nil {
		fmt.Fprintf(c.Stderr, "%s: %s\n", c.name(), reason(err))
		return 126, true
	}
	err := cmd.Wait()
	switch status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); {
	case ctx.Err() != nil:
		return ended, true
	case status.Signaled():
		return 128 + int(status.Signal()), true
	case err != nil && status.ExitStatus() == 0: // stdout could not be written
		return c.unwritten(ctx, err, 1), true
	default:
		return status.ExitStatus(), true
	}
}

// startOver starts the program. It has a plain file as it was before; else what was read comes by a pipe, and
// then the rest for as long as the program runs: it may end before its input does.
func (c *Call) startOver(ctx context.Context, cmd *exec.Cmd, read []byte) error {
	if file, plain := plainFile(c.Stdin); plain {
		if _, err := file.Seek(int64(-len(read)), io.SeekCurrent); err != nil {
			return err
		}
		cmd.Stdin = file
		return cmd.Start()
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer stdin.Close()
		r, leave := interruptible(ctx, c.Stdin)
		defer leave()
		_, _ = io.Copy(stdin, io.MultiReader(bytes.NewReader(read), r))
	}()
	return nil
}
