//go:build linux

package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A rotated is a log, and a second open file of it, as stderr is beside stdout.
type rotated struct {
	*File
	t    *testing.T
	path string
	also *os.File
}

func newRotated(t *testing.T) rotated {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.log")
	one := appendTo(t, path)
	also := appendTo(t, path)
	return rotated{At(path, one, also), t, path, also}
}

func appendTo(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func (r rotated) line(text string) {
	r.t.Helper()
	if _, err := r.Write([]byte(text + "\n")); err != nil {
		r.t.Fatal(err)
	}
}

func (r rotated) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// has fails unless the file beside the log is this.
func (r rotated) has(suffix, want string) {
	r.t.Helper()
	if got, err := os.ReadFile(r.path + suffix); err != nil || string(got) != want {
		r.t.Errorf("%s: %q, %v; want %q", filepath.Base(r.path)+suffix, got, err, want)
	}
}

// Whoever rotates a log, and how: the next line is in the log that is there then.
func TestRotation(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		rotate func(r rotated) error
		old    string // what the earlier file has in the end
	}{
		"renamed": {func(r rotated) error { return os.Rename(r.path, r.path+".1") }, "one\n"},
		"renamed, and made": {func(r rotated) error {
			if err := os.Rename(r.path, r.path+".1"); err != nil {
				return err
			}
			return os.WriteFile(r.path, nil, 0o600)
		}, "one\n"},
		"removed": {func(r rotated) error { return os.Remove(r.path) }, ""},
		"copied and truncated": {func(r rotated) error {
			if err := os.WriteFile(r.path+".1", []byte("one\n"), 0o600); err != nil {
				return err
			}
			return os.Truncate(r.path, 0)
		}, "one\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotated(t)
			r.line("one")
			number := r.open[0].Fd()
			r.must(row.rotate(r))
			r.line("two")
			_, err := r.also.WriteString("from the other\n") // without a look
			r.must(err)
			r.has("", "two\nfrom the other\n")
			if row.old != "" {
				r.has(".1", row.old)
			}
			if r.open[0].Fd() != number {
				t.Errorf("the number was %d, and is %d", number, r.open[0].Fd())
			}
			if flags, err := unix.FcntlInt(number, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("children inherit it: %d, %v", flags, err)
			}
		})
	}
}

// A log in a directory that is away for a moment goes on where it was.
func TestRotationWithoutDirectory(t *testing.T) {
	t.Parallel()
	r := newRotated(t)
	dir := filepath.Dir(r.path)
	r.must(os.Rename(dir, dir+".away"))
	r.line("one")
	r.must(os.Rename(dir+".away", dir))
	r.line("two")
	r.has("", "one\ntwo\n")
}

// A log is bounded, and so is what a daemon writes that has the file since long ago.
func TestShorten(t *testing.T) {
	t.Parallel()
	r := newRotated(t)
	r.most = 20
	daemon := appendTo(t, r.path)
	r.line("0123456789")
	r.line("0123456789")
	_, err := daemon.WriteString("from a daemon\n")
	r.must(err)
	r.line("new")
	r.has(".1", "0123456789\n0123456789\nfrom a daemon\n")
	_, err = daemon.WriteString("from a daemon\n")
	r.must(err)
	r.has("", "new\nfrom a daemon\n")
	r.line("0123456789")
	r.line("last")
	r.has(".1", "new\nfrom a daemon\n0123456789\n")
	r.has("", "last\n")
}

// What is far too long, from before there was a limit, is kept as a whole.
func TestShortenVeryLong(t *testing.T) {
	t.Parallel()
	r := newRotated(t)
	r.most = 20
	long := strings.Repeat("long ", 10) + "\n"
	_, err := r.also.WriteString(long)
	r.must(err)
	r.line("new")
	r.has(".1", long)
	r.has("", "new\n")
}

// A copy that fails costs nothing: neither the log nor what is in NAME.1, which may be logrotate's.
func TestShortenFails(t *testing.T) {
	t.Parallel()
	r := newRotated(t)
	r.most = 20
	r.must(os.WriteFile(r.path+".1", []byte("of yesterday\n"), 0o600))
	r.must(os.MkdirAll(r.path+".1.new/in the way", 0o755))
	long := strings.Repeat("long ", 5) + "\n"
	r.line(long[:len(long)-1])
	r.line("new")
	r.has("", long+"new\n")
	r.has(".1", "of yesterday\n")
	r.must(os.RemoveAll(r.path + ".1.new"))
	r.spare = time.Time{}
	r.line("last")
	r.has(".1", long+"new\n")
	r.has("", "last\n")
}

// Where there is no room for a copy, the last one is written over; what another has made stays.
func TestShortenWithoutRoom(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		old, want string
		ok        bool
	}{
		{strings.Repeat("o", 30), "0123456789 0123456789 new\n", true},
		{strings.Repeat("o", 22), "456789 0123456789 new\n", true}, // no longer than it was
		{"of yesterday\n", "of yesterday\n", false},
	} {
		r := newRotated(t)
		r.most = 20
		r.must(os.WriteFile(r.path+".1", []byte(row.old), 0o600))
		log := "0123456789 0123456789 new\n"
		err := r.copyOver(r.path+".1", strings.NewReader(log), int64(len(log)))
		if (err == nil) != row.ok {
			t.Errorf("over %d bytes: %v", len(row.old), err)
		}
		r.has(".1", row.want)
	}
}

// Several processes shorten a log at once: it is moved once, and no line is doubled.
func TestShortenTogether(t *testing.T) {
	t.Parallel()
	r := newRotated(t)
	const writers, lines = 4, 100
	var all sync.WaitGroup
	for w := range writers {
		other := At(r.path, appendTo(t, r.path))
		other.most = 1000
		all.Go(func() {
			for i := range lines {
				fmt.Fprintf(other, "%d %d\n", w, i)
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	for _, suffix := range []string{"", ".1"} {
		b, err := os.ReadFile(r.path + suffix)
		r.must(err)
		if len(b) > 2000 {
			t.Errorf("p.log%s has %d bytes", suffix, len(b))
		}
		for line := range strings.Lines(string(b)) {
			if seen[line]++; seen[line] > 1 {
				t.Errorf("%q is there %d times", line, seen[line])
			}
		}
	}
}

// A log that cannot be looked at, as on a disk that hangs, makes nobody wait: here it is a pipe that nobody opens.
func TestLookHangs(t *testing.T) {
	t.Parallel()
	r := newRotated(t)
	r.must(os.Remove(r.path))
	r.must(unix.Mkfifo(r.path, 0o600))
	out := NewAsync(r.File)
	To(out).Info("a line")
	began := time.Now()
	out.Flush(10 * time.Millisecond)
	if took := time.Since(began); took < 10*time.Millisecond || took > 5*time.Second {
		t.Errorf("Flush took %v", took)
	}
	reader, err := os.OpenFile(r.path, os.O_RDWR, 0) // the disk is back
	r.must(err)
	defer reader.Close()
	out.Close()
	b := make([]byte, 100)
	if n, err := reader.Read(b); err != nil || !strings.HasSuffix(string(b[:n]), "a line\n") {
		t.Errorf("read %q, %v", b[:n], err)
	}
}
