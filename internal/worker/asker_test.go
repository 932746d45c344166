//go:build linux

package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/script"
)

// Parameters come from the worker; the first are for the shell to check, those that are set and those that are not in turn.
func TestAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var workers atomic.Int64
		in := &stub{run: func(_ context.Context, r Request, f Files) (int, error) {
			if strings.HasPrefix(r.Args[1], "set") {
				fmt.Fprintln(f.Stdout, r.Args[1]+" of "+r.Env[0])
			}
			fmt.Fprintln(f.Stderr, "noted")
			return 4, nil
		}}
		client := NewClient(spawner(in, &workers))
		defer client.Close()
		a := NewAsker(client)
		s := script.Setting{Path: "packages/p", Env: []string{"A=b"}}
		names := []string{"no", "set1", "set2", "no2", "no3", "no4"}

		said, check := a.Ask(t.Context(), s, "v1", names)
		if len(said) != 1 || !slices.Equal(check, []string{"no"}) { // it fails at one that no package has
			t.Errorf("said %v, to check %q", said, check)
		}
		in.run = func(_ context.Context, r Request, f Files) (int, error) {
			if strings.HasPrefix(r.Args[1], "set") {
				fmt.Fprintln(f.Stdout, r.Args[1]+" of "+r.Env[0])
			}
			return 0, nil
		}
		said, check = a.Ask(t.Context(), s, "v2", names)
		if len(said) != 6 || string(said["set2"].Stdout) != "set2 of A=b\n" || len(check) < firstShadows || !slices.Equal(check[:firstShadows], []string{"set1", "no", "set2", "no2", "no3"}) {
			t.Errorf("said %v, to check %q", said, check)
		}
		a.Checked("v2", "")
		said, check = a.Ask(t.Context(), s, "v2", names)
		if len(said) != 6 || len(check) != 0 {
			t.Errorf("said %v, to check %q", said, check)
		}
		a.Checked("v2", "it differs")
		if said, _ := a.Ask(t.Context(), s, "v2", names); len(said) > 0 {
			t.Errorf("said %v", said)
		}

		in.declined = "a trap"
		if said, _ := a.Ask(t.Context(), s, "v3", names); len(said) > 0 || a.gate.now().Off != "a trap" {
			t.Errorf("said %v", said)
		}
		in.declined, in.run = "", func(context.Context, Request, Files) (int, error) { return 0, errors.New("too deep") }
		for range maxFailures {
			if said, _ := a.Ask(t.Context(), s, "v4", names); len(said) > 0 {
				t.Errorf("said %v", said)
			}
		}
		if off := a.gate.now().Off; off != "too deep" {
			t.Errorf("after %d failures: %q", maxFailures, off)
		}
	})
}

// A file that was changed where it lies is another version, even if its length and its time are put back.
func TestVersionOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	write := func(text string) string {
		t.Helper()
		when := time.Unix(1_700_000_000, 0)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
		return versionOf(path)
	}
	before := write("exit 0")
	time.Sleep(20 * time.Millisecond) // longer than a file system's clock stands still
	if after := write("exit 1"); after == before {
		t.Errorf("both are %s", after)
	}
}
