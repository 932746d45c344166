package clusterkey

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	secretA = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	secretB = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	secretC = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

// keyFile writes a key file with these lines.
func keyFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster_key")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// key loads a key file with these lines.
func key(t *testing.T, lines ...string) *Key {
	t.Helper()
	k, err := Load(keyFile(t, lines...))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lines []string
		keys  int
		fault string // what follows the path
	}{
		{"one", []string{secretA}, 1, ""},
		{"one, as an editor leaves it", []string{"# ours", "", "  " + strings.ToUpper(secretA) + " # signs\r", ""}, 1, ""},
		{"two", []string{secretA, secretB}, 2, ""},
		{"empty", nil, 0, ": there is no secret in it"},
		{"only a comment", []string{"# " + secretA}, 0, ": there is no secret in it"},
		{"short", []string{"", secretA[:62]}, 0, ":2: not a secret of 64 hex digits"},
		{"long", []string{secretA + "00"}, 0, ":1: not a secret of 64 hex digits"},
		{"odd", []string{secretA[:63]}, 0, ":1: not a secret of 64 hex digits"},
		{"not hex", []string{"g" + secretA[1:]}, 0, ":1: not a secret of 64 hex digits"},
		{"two on a line", []string{secretA + " " + secretB}, 0, ":1: not a secret of 64 hex digits"},
		{"three", []string{secretA, secretB, secretC}, 0, ":3: a third secret; at most two can be trusted"},
		{"twice the same", []string{secretA, secretA}, 0, ":2: the same secret a second time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := keyFile(t, c.lines...)
			k, err := Load(path)
			if c.fault == "" {
				if err != nil || len(k.Fingerprints()) != c.keys {
					t.Fatalf("Load = %v, %v, want %d keys", k, err, c.keys)
				}
				if got, want := k.Fingerprint(), key(t, secretA).Fingerprint(); got != want {
					t.Fatalf("Fingerprint = %s, want %s", got, want)
				}
				return
			}
			if err == nil || err.Error() != path+c.fault {
				t.Fatalf("Load = %v, want %s%s", err, path, c.fault)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	path := keyFile(t, secretA)
	if _, err := Load(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of no file = %v, want fs.ErrNotExist", err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("Load with mode %o = %v, want a refusal that says chmod 600", mode, err)
		}
	}
	if _, err := Load(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("Load of a directory = %v", err)
	}
	big := keyFile(t, strings.Repeat("#\n", maxFile))
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("Load of a big file = %v", err)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conf", "cluster_key")
	k, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Load(path); err != nil || again.Fingerprint() != k.Fingerprint() {
		t.Fatalf("Load = %v, %v, want key %s", again, err, k.Fingerprint())
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create = %v, want fs.ErrExist", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the second Create changed the file: %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left in the directory: %v, %v", files, err)
	}
	other, err := Create(path + "2")
	if err != nil || other.Fingerprint() == k.Fingerprint() {
		t.Errorf("two new keys are one: %v, %v", other, err)
	}
}

// TestSameEverywhere pins the derivation: a host with another version of the program must get
// the same authority from the same file.
func TestSameEverywhere(t *testing.T) {
	t.Parallel()
	a, b := key(t, secretA), key(t, "#", secretA)
	if !bytes.Equal(a.now.Load().cas[0].cert.Raw, b.now.Load().cas[0].cert.Raw) {
		t.Error("two hosts with one secret have two authorities")
	}
	const want = "420e-39bd-f70a-c397"
	if got := a.Fingerprint(); got != want {
		t.Errorf("Fingerprint = %s, want %s", got, want)
	}
	if fmt.Sprintf("%x", a.now.Load().cas[0].cert.SubjectKeyId[:2]) != want[:4] {
		t.Error("the fingerprint is not of the authority's key")
	}
	if !isFingerprint(want) || isFingerprint(want[1:]+"-") || isFingerprint("g"+want[1:]) || isFingerprint("") {
		t.Error("isFingerprint cannot tell")
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	path := keyFile(t, secretA)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Switch(path); !errors.Is(err, ErrOneKey) {
		t.Errorf("Switch of one = %v", err)
	}
	if _, err := Drop(path); !errors.Is(err, ErrOneKey) {
		t.Errorf("Drop of one = %v", err)
	}
	old := key(t, secretA).Fingerprint()
	added, err := Add(link)
	if err != nil || len(added.Fingerprints()) != 2 || added.Fingerprint() != old {
		t.Fatalf("Add = %v, %v, want two with %s first", added, err, old)
	}
	if _, err := Add(path); !errors.Is(err, ErrTwoKeys) {
		t.Errorf("Add of a third = %v", err)
	}
	young := added.Fingerprints()[1]
	switched, err := Switch(path)
	if got := fmt.Sprint(switched.Fingerprints()); err != nil || got != fmt.Sprint([]string{young, old}) {
		t.Fatalf("Switch = %s, %v, want [%s %s]", got, err, young, old)
	}
	if _, err := Drop(path); err != nil {
		t.Fatal(err)
	}
	k, err := Load(path)
	if err != nil || fmt.Sprint(k.Fingerprints()) != "["+young+"]" {
		t.Fatalf("at the end = %v, %v, want [%s]", k.Fingerprints(), err, young)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is no link any more: %v", err)
	}
	if _, err := Add(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Add to no file = %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(secretA + "\n# x\n" + secretB))
	f.Add([]byte("\r\n#"))
	f.Add([]byte(secretA[1:]))
	f.Fuzz(func(t *testing.T, data []byte) {
		secrets, err := parse("k", data)
		if err != nil {
			if len(secrets) != 0 {
				t.Fatal("secrets and an error")
			}
			return
		}
		if n := len(secrets); n < 1 || n > 2 {
			t.Fatalf("%d secrets", n)
		}
		k, err := newKey(secrets)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse("k", k.file())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(secrets) {
			t.Fatalf("written and read again = %x, %v, want %x", again, err, secrets)
		}
	})
}
