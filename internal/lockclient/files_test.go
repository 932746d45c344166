package lockclient

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A stand-by asks for its lock again and again. What it says of itself in that was read before, so a disk that
// hangs now does not stop it.
func TestFilesOnADiskThatHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"p_term": "7\n", "cluster": "c1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := NewFiles(dir)
	see := func() {
		t.Helper()
		if term, free, cluster := f.Term("p"), f.Term("free"), f.Cluster(); term != 7 || free != 0 || cluster != "c1" {
			t.Errorf("terms %d and %d, cluster %q; want 7, 0 and c1", term, free, cluster)
		}
	}
	see()
	for _, name := range []string{"p_term", "free_term", "cluster"} { // whoever opens a pipe waits
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() { see(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for the disk")
	}
}

// What this process has written counts at once, be it on the disk or not.
func TestFilesKnowWhatTheyWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := NewFiles(dir)
	if term, cluster := f.Term("p"), f.Cluster(); term != 0 || cluster != "" {
		t.Errorf("term %d, cluster %q of a node that knows nothing", term, cluster)
	}
	f.Had("p", 3, "session3")
	if err := f.SetCluster("c2"); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Files{f, NewFiles(dir)} {
		if term, was, cluster := f.Term("p"), f.Was("p"), f.Cluster(); term != 3 || was != "session3" || cluster != "c2" {
			t.Errorf("term %d, session %q, cluster %q; want 3, session3 and c2", term, was, cluster)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "q_term"), []byte("99999999999999999999\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if term := f.Term("q"); term != 0 {
		t.Errorf("term %d of a file that says none", term)
	}
	if err := os.WriteFile(filepath.Join(dir, "r_term"), []byte("7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if term, was := f.Term("r"), f.Was("r"); term != 7 || was != "" {
		t.Errorf("term %d, session %q of an older version's file, want 7 and none", term, was)
	}
}
