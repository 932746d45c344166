package notes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestPut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "temp/lockdir_dummy")
	d := In(path)
	if _, err := os.Stat(path); err == nil {
		t.Error("the directory is made before there is a note")
	}
	d.Put("role", "stand-by\n")
	d.Put("pkg_state", "\n")
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	want(t, d, "role", "stand-by")
	want(t, d, "pkg_state", "")
	d.PutToLast("role", "active\n")
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	want(t, d, "role", "active")
	b, err := os.ReadFile(filepath.Join(path, "role"))
	if string(b) != "active\n" || err != nil {
		t.Errorf("the file says %q, %v", b, err)
	}
	if names := names(t, path); names != "pkg_state role" {
		t.Errorf("the directory has %q", names)
	}
}

func want(t *testing.T, d *Dir, name, text string) {
	t.Helper()
	if got, err := d.Read(name); got != text || err != nil {
		t.Errorf("Read(%q) = %q, %v, want %q", name, got, err, text)
	}
}

func names(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// The last of what was put is what stays, and no reader sees half a note.
func TestTheLastStays(t *testing.T) {
	t.Parallel()
	d := In(t.TempDir())
	if err := d.Write("counter", long(0)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			text, err := d.Read("counter")
			var n int
			if _, scanErr := fmt.Sscan(text, &n); err != nil || scanErr != nil || text+"\n" != long(n) {
				t.Errorf("half a note: %d bytes, %v", len(text), err)
				return
			}
		}
	})
	const last = 300
	for i := range last + 1 {
		d.Put("counter", long(i))
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
	close(stop)
	reader.Wait()
	want(t, d, "counter", strings.TrimSpace(long(last)))
}

// long is a note of many bytes that begins and ends with n.
func long(n int) string { return fmt.Sprintf("%d %s %d\n", n, strings.Repeat("x", 20_000), n) }

func TestSyncWithNothingToWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none")
	if err := In(path).Sync(); err != nil {
		t.Errorf("Sync = %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a directory without a note is made")
	}
}

// What goes wrong is told by Sync, and forgotten once a note is written again.
func TestFailure(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := In(path)
	d.Put("role", "active\n")
	if err := d.Sync(); err == nil || !strings.Contains(err.Error(), "cannot write "+filepath.Join(path, "role")) {
		t.Errorf("Sync = %v, want one that names the file", err)
	}
	if err := d.Write("role", "active\n"); err == nil {
		t.Error("Write says nothing")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d.Put("role", "stand-by\n")
	if err := d.Sync(); err != nil {
		t.Errorf("Sync = %v after a good write", err)
	}
	want(t, d, "role", "stand-by")
}

func TestReadOfNothing(t *testing.T) {
	t.Parallel()
	if text, err := In(t.TempDir()).Read("role"); text != "" || !os.IsNotExist(err) {
		t.Errorf("Read = %q, %v, want that it is not there", text, err)
	}
}

// One at a time changes a note that is locked, and who waits for one that hangs gives up.
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "temp")
	synctest.Test(t, func(t *testing.T) {
		unlock, err := In(path).Lock("p_lease")
		if err != nil {
			t.Fatal(err)
		}
		if other, err := In(path).Lock("q_lease"); err != nil {
			t.Error(err)
		} else {
			other()
		}
		begin := time.Now()
		if _, err := In(path).Lock("p_lease"); !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begin) > lockLimit+time.Second {
			t.Errorf("a second lock: %v after %v", err, time.Since(begin))
		}
		time.AfterFunc(time.Second, unlock)
		begin = time.Now()
		again, err := In(path).Lock("p_lease")
		if err != nil || time.Since(begin) < time.Second || time.Since(begin) > time.Second+100*time.Millisecond {
			t.Errorf("after the first: %v after %v", err, time.Since(begin))
		}
		again()
	})
	if _, err := In("/dev/null/x").Lock("p_lease"); err == nil {
		t.Error("a lock where no file can be")
	}
}

// What could not be written is written when it can be: with the next note, or when that is asked for. What was put
// meanwhile counts.
func TestWrittenWhenItCanBe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "temp")
	full := func(text string) {
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte(text), 0o644)); err != nil { // no directory can be there
			t.Fatal(err)
		}
	}
	d := In(path)
	for _, again := range []func(){d.Again, func() { d.Put("other", "x\n") }} {
		full("")
		d.Put("role", "stand-by\n")
		d.Put("pkg_state", "starting\n")
		if err := d.Sync(); err == nil {
			t.Fatal("all was written where no directory can be")
		}
		d.Again()
		d.Put("pkg_state", "running\n")
		if err := d.Sync(); err == nil {
			t.Fatal("all was written where no directory can be")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		again()
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		want(t, d, "role", "stand-by")
		want(t, d, "pkg_state", "running")
	}
}
