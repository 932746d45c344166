package clusterkey

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// FuzzKeyFile loads a key file and goes through a change of key with it. No error shows anything
// of what the file says; what is accepted is the same when it is loaded again.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(secretA + "\n"))
	f.Add([]byte("# x\r\n\r\n  " + strings.ToUpper(secretA) + " # y\r\n" + secretB))
	f.Add([]byte(secretA + secretB))
	f.Add([]byte(secretA[1:] + "g"))
	f.Add([]byte(secretA + "\n" + secretB + "\n" + strings.Repeat("7", 64)))
	f.Add([]byte(secretA + "\n" + secretA))
	f.Add([]byte("\xef\xbb\xbf" + secretA))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "cluster_key")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := Load(path)
		if err != nil {
			wantSilent(t, err, path)
			return
		}
		wantSame(t, path, k.Fingerprints())
		if now, err := os.ReadFile(path); err != nil || string(now) != string(data) {
			t.Fatal("loading a key file changed it")
		}
		rotate(t, path, k)
	})
}

// hexRun is what may be a secret, or part of one.
var hexRun = regexp.MustCompile(`[0-9a-fA-F]{8,}`)

// wantSilent wants an error to name the file in one line, and to show nothing that may be a secret.
func wantSilent(t *testing.T, err error, path string) {
	t.Helper()
	said := err.Error()
	if !strings.Contains(said, path) || strings.Contains(said, "\n") {
		t.Errorf("%q: want one line that names the file", said)
	}
	if shown := hexRun.FindString(strings.ReplaceAll(said, path, "")); shown != "" {
		t.Errorf("%q shows %q", said, shown)
	}
}

// wantSame wants the file to have just these keys.
func wantSame(t *testing.T, path string, fingerprints []string) {
	t.Helper()
	k, err := Load(path)
	if err != nil || fmt.Sprint(k.Fingerprints()) != fmt.Sprint(fingerprints) {
		t.Fatalf("loaded again: %v, %v, want %v", k, err, fingerprints)
	}
}

// rotate changes the key in the file, and wants what each step promises.
func rotate(t *testing.T, path string, k *Key) {
	t.Helper()
	old := k.Fingerprints()
	if len(old) == 1 {
		added, err := Add(path)
		if err != nil || len(added.Fingerprints()) != 2 || added.Fingerprint() != old[0] {
			t.Fatalf("Add to %v = %v, %v", old, added, err)
		}
		old = added.Fingerprints()
		wantSame(t, path, old)
	} else if _, err := Add(path); err == nil {
		t.Fatal("a third key was added")
	}
	if switched, err := Switch(path); err != nil || switched.Fingerprint() != old[1] {
		t.Fatalf("Switch of %v = %v, %v", old, switched, err)
	}
	wantSame(t, path, []string{old[1], old[0]})
	if dropped, err := Drop(path); err != nil || dropped.Fingerprint() != old[1] {
		t.Fatalf("Drop of %v = %v, %v", old[0], dropped, err)
	}
	wantSame(t, path, old[1:])
}
