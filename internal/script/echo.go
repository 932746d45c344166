package script

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const longestAnswer = 64 << 10 // to echo NAME

// answers keeps what the script said to `echo NAME`, as long as its files are the same.
type answers struct {
	mu     sync.Mutex
	files  string
	values map[string]string
}

func (c *answers) get(files, name string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok := c.values[name]
	return value, ok && c.files == files
}

func (c *answers) put(files, name, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files != files || c.values == nil {
		c.files, c.values = files, make(map[string]string)
	}
	c.values[name] = value
}

// Echo is what the script answers to `echo name`, without blanks around it. It is asked again only when
// it or a module was changed (path, size, time). The exit status does not matter, as in the
// original, unless the script was not run or was killed.
func (r *Runner) Echo(ctx context.Context, name string) (string, error) {
	if !variable(name) {
		return "", fmt.Errorf("cannot ask package %q for %q: not a parameter's name", r.cfg.Name, name)
	}
	files, err := r.version()
	if err != nil {
		return "", fmt.Errorf("cannot ask package %q for %q: %w", r.cfg.Name, name, err)
	}
	if value, ok := r.answers.get(files, name); ok {
		return value, nil
	}
	value, err := r.ask(ctx, name)
	if err != nil {
		return "", fmt.Errorf("cannot ask package %q for %q: %w", r.cfg.Name, name, err)
	}
	r.answers.put(files, name, value)
	return value, nil
}

// ask runs the script once.
func (r *Runner) ask(ctx context.Context, name string) (string, error) {
	out, status, err := r.output(ctx, 0, "echo", name)
	switch {
	case err != nil:
		return "", err
	case status >= notExecutable:
		return "", fmt.Errorf("it cannot be run (exit status %d): log/%s.log says why", status, r.cfg.Name)
	case status == syntaxError && len(out) == 0:
		return "", fmt.Errorf("exit status %d, and no answer: log/%s.log may say why", status, r.cfg.Name)
	case len(out) > longestAnswer:
		return "", fmt.Errorf("the answer is longer than %d bytes", longestAnswer)
	}
	return strings.TrimSpace(string(out)), nil
}

// fenced begins the line that a fence prints when the node is off.
const fenced = "fenced "

// Fence has the package's modules power off node (`packages/NAME fence NODE`), and returns nil if
// that is off for certain: exit status 0, and the line "fenced NODE" last of all. A script whose
// modules know nothing of fencing may well end with 0, and must not pass for one that fenced.
func (r *Runner) Fence(ctx context.Context, node string) error {
	out, status, err := r.output(ctx, fenceGrace, "fence", node)
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

// output runs the script with args once. It is killed, after grace, when ctx ends.
func (r *Runner) output(ctx context.Context, grace time.Duration, args ...string) (out []byte, status int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer pr.Close()
	a, err := r.launch(args, pw)
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

// syntaxError is the status of a shell that cannot read its script. Any other status of an echo is
// accepted: an old script may end with any after it has answered.
const syntaxError = 2

// version returns a text that changes whenever the script or one of its modules does.
func (r *Runner) version() (string, error) {
	packages := filepath.Join(r.cfg.Home, "packages")
	modules, _ := filepath.Glob(filepath.Join(escape.Replace(packages), "modules", "*"))
	var sum strings.Builder
	for i, path := range append([]string{filepath.Join(packages, r.cfg.Name)}, modules...) {
		info, err := os.Stat(path)
		if err == nil {
			fmt.Fprintf(&sum, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		} else if i == 0 {
			return "", err
		}
	}
	return sum.String(), nil
}

var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// variable says whether name is one that a shell can have: many scripts give it to eval.
func variable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
