package script

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const longestAnswer = 64 << 10 // of a script, to echo or fence

// fenced begins the line that a fence prints when the node is off.
const fenced = "fenced "

// Fence has the package's modules power off node (`packages/NAME fence NODE`), and returns nil if
// that is off for certain: exit status 0, and the line "fenced NODE" last of all. A script whose
// modules know nothing of fencing may well end with 0, and must not pass for one that fenced.
func (r *Runner) Fence(ctx context.Context, node string) error {
	out, status, err := r.output(ctx, fenceGrace, func(stdout *os.File) (*Action, error) {
		return r.launch([]string{"fence", node}, stdout)
	})
	if err != nil {
		return fmt.Errorf("cannot fence %s: %w", node, err)
	}
	r.Logf("%s", strings.TrimSpace(string(out)))
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	switch {
	case status != 0:
		return fmt.Errorf("cannot fence %s: exit status %d; log/%s.log may say why", node, status, r.cfg.Name)
	case lines[len(lines)-1] != fenced+node:
		return fmt.Errorf("cannot fence %s: it did not say %q at its end", node, fenced+node)
	}
	return nil
}

// fenceGrace is how long a fence that takes too long may take to end by itself.
const fenceGrace = time.Second

// output is what an action prints that launch starts. It is killed, after grace, when ctx ends.
func (r *Runner) output(ctx context.Context, grace time.Duration, launch func(stdout *os.File) (*Action, error)) (out []byte, status int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer pr.Close()
	a, err := launch(pw)
	pw.Close()
	if err != nil {
		return nil, 0, err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		out, _ = io.ReadAll(io.LimitReader(pr, longestAnswer+1))
	}()
	select {
	case <-a.Done():
	case <-ctx.Done():
		a.end(grace, false)
		pr.Close()
		<-read
		return nil, 0, fmt.Errorf("it does not answer: %w", context.Cause(ctx))
	}
	_ = pr.SetReadDeadline(time.Unix(1, 0)) // something that it left running may keep the pipe open
	<-read
	_ = pr.SetReadDeadline(time.Time{})
	out = append(out, inPipe(pr, longestAnswer+1-len(out))...)
	if a.Err() != nil {
		return nil, 0, a.Err()
	}
	return out, a.Status(), nil
}

// inPipe returns what is in a pipe now, at most limit bytes. Its writer has ended, so all is there.
// It waits for nothing, because others may have the pipe open, and no waiting time fits both them
// and a slow host.
func inPipe(f *os.File, limit int) (all []byte) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	b := make([]byte, 4<<10)
	for n := 1; n > 0 && limit > 0; limit -= n {
		err := conn.Read(func(fd uintptr) bool {
			n, _ = unix.Read(int(fd), b[:min(len(b), limit)])
			return true
		})
		if err != nil || n <= 0 {
			break
		}
		all = append(all, b[:n]...)
	}
	return all
}
