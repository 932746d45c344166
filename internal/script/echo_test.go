//go:build linux

package script

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEcho(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `echo run >>runs; . packages/modules/m
case $2 in
bad) kill -9 $$;;
left) sleep 60 & echo early;;
long) head -c 70000 /dev/zero | tr '\0' x;;
*) eval "echo \"  \$$2 \"";;
esac
exit 1`)
		module := filepath.Join(s.home, "packages/modules/m")
		if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
			t.Fatal(err)
		}
		set := func(value string, age time.Duration) {
			if err := os.WriteFile(module, []byte("pace="+value+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			when := time.Now().Add(-age)
			if err := os.Chtimes(module, when, when); err != nil {
				t.Fatal(err)
			}
		}
		echo := func(ctx context.Context, name, want string, runs int, wantErr bool) {
			t.Helper()
			got, err := s.Echo(ctx, name)
			if got != want || (err != nil) != wantErr {
				t.Errorf("Echo(%s) = %q, %v; want %q, error %v", name, got, err, want, wantErr)
			}
			data, _ := os.ReadFile(filepath.Join(s.home, "runs"))
			if n := strings.Count(string(data), "run"); n != runs {
				t.Errorf("Echo(%s): %d runs so far, want %d", name, n, runs)
			}
		}
		ctx := t.Context()
		set("4", time.Hour)
		echo(ctx, "pace", "4", 1, false)
		echo(ctx, "pace", "4", 1, false)
		echo(ctx, "none", "", 2, false)
		echo(ctx, "pace", "4", 2, false)
		set("5", time.Minute) // same size, another time
		echo(ctx, "pace", "5", 3, false)
		now := time.Now()
		if err := os.Chtimes(filepath.Join(s.home, "packages/pkg"), now, now); err != nil {
			t.Fatal(err)
		}
		echo(ctx, "pace", "5", 4, false)
		echo(ctx, "bad", "", 5, true)
		echo(ctx, "left", "early", 6, false)
		echo(ctx, "long", "", 7, true)
		echo(ctx, "a;b", "", 7, true)
	})
}

func TestEchoThatHangs(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `echo $$ >>pids; setsid sh -c 'echo $$ >>pids; sleep 60' & sleep 60`)
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan error)
		go func() {
			_, err := s.Echo(ctx, "pace")
			asked <- err
		}()
		pids := s.pids("pids", 2)
		cancel()
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Errorf("Echo: %v, want the context's error", err)
		}
		for _, pid := range pids {
			if lives(pid) {
				t.Errorf("%d is alive", pid)
			}
		}
	})
}

// A script that its shell cannot read is no package without parameters.
func TestEchoOfABrokenScript(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, "case $1 in\nfi\n")
		if got, err := s.Echo(t.Context(), "pace"); err == nil {
			t.Errorf("Echo = %q, want an error", got)
		}
	})
}
