package clusterkey

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"backtowork/internal/sim/virtual"
)

// A lines is a slog.Handler that keeps what was said.
type lines struct {
	slog.Handler
	mu  sync.Mutex
	all []slog.Level
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r.Level)
	return nil
}

func (l *lines) levels() []slog.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// following runs test beside a key that follows its file.
func following(t *testing.T, test func(t *testing.T, k *Key, path string, said *lines)) {
	t.Helper()
	path := keyFile(t, secretA)
	virtual.Test(t, func(t *testing.T) {
		k, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		said := &lines{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			k.Follow(ctx, path, slog.New(said))
			close(done)
		}()
		time.Sleep(lookEvery / 2) // what the test does is done between the looks
		test(t, k, path, said)
		cancel()
		<-done
	})
}

// Two ends are made once. The key is changed step by step, first at the one and then at the
// other, and they can always talk; the key of before the change cannot at the end.
func TestFollowRotation(t *testing.T) {
	t.Parallel()
	near, far := keyFile(t, secretA), keyFile(t, secretA)
	server, dialer := key(t, secretA), key(t, secretA)
	config, err := server.Server("raft")
	if err != nil {
		t.Fatal(err)
	}
	mine, before := client(t, dialer), client(t, key(t, secretA))
	steps := []struct {
		name string
		do   func(string) (*Key, error)
	}{{"add", Add}, {"switch", Switch}, {"drop", Drop}}
	talks := func(when string) {
		t.Helper()
		if c, s := talkTo(t, server, config, mine); c.err != nil || s.err != nil {
			t.Errorf("%s: client %v, server %v", when, c.err, s.err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	for _, step := range steps {
		if _, err := step.do(near); err != nil {
			t.Fatal(err)
		}
		server.takeUp(near, log)
		talks("after " + step.name + " at the server")
		data, err := os.ReadFile(near)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(far, data, 0o600); err != nil {
			t.Fatal(err)
		}
		dialer.takeUp(far, log)
		talks("after " + step.name + " at both")
	}
	c, s := talkTo(t, server, config, before)
	wantOther(t, "server", s.err, key(t, secretA), server)
	wantOther(t, "client", c.err, server, key(t, secretA))
}

// A change is taken up by itself, within two looks and not while the file is only half copied.
func TestFollow(t *testing.T) {
	following(t, func(t *testing.T, k *Key, path string, said *lines) {
		time.Sleep(10 * time.Second)
		if got := said.levels(); len(got) != 0 {
			t.Errorf("with nothing changed it said %v", got)
		}
		changed, err := Add(path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1250 * time.Millisecond)
		if len(k.Fingerprints()) != 1 {
			t.Error("a file was taken up that may be only half copied")
		}
		time.Sleep(time.Second)
		if got, want := k.Fingerprints(), changed.Fingerprints(); !slices.Equal(got, want) {
			t.Errorf("Fingerprints = %v, want %v", got, want)
		}
		if got := said.levels(); !slices.Equal(got, []slog.Level{slog.LevelInfo}) {
			t.Errorf("it said %v, want one line that the key has changed", got)
		}
	})
}

// A bad file changes nothing and is told of once; a good one after it is taken up.
func TestFollowBadFile(t *testing.T) {
	following(t, func(t *testing.T, k *Key, path string, said *lines) {
		was := k.Fingerprint()
		put := func(text string, mode os.FileMode) {
			t.Helper()
			if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		faults := []func(){
			func() { put(secretB[1:], 0o600) },
			func() { put(secretB, 0o644) },
			func() { put("", 0o600) },
			func() {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			},
		}
		for i, spoil := range faults {
			spoil()
			time.Sleep(time.Minute)
			if got := said.levels(); len(got) != i+1 || got[i] != slog.LevelWarn {
				t.Errorf("after fault %d it said %v, want %d warnings", i, got, i+1)
			}
		}
		if k.Fingerprint() != was {
			t.Error("a bad file was taken up")
		}
		put(secretA, 0o600)
		time.Sleep(time.Minute)
		put(secretC, 0o600) // a host that missed a step, or a mistake: it is taken up, with a warning
		time.Sleep(time.Minute)
		if got, want := k.Fingerprint(), key(t, secretC).Fingerprint(); got != want {
			t.Errorf("Fingerprint = %s, want %s", got, want)
		}
		if got := said.levels(); len(got) != len(faults)+1 {
			t.Errorf("in all it said %d lines (%v), want %d", len(got), got, len(faults)+1)
		}
	})
}

// While a file is being copied it is looked at in the middle: all of it that is there reads as a
// whole key file, and yet it is not taken up.
func TestFollowHalfCopied(t *testing.T) {
	following(t, func(t *testing.T, k *Key, path string, _ *lines) {
		text := strings.Join([]string{secretB, secretA, ""}, "\n")
		for n := range 8 {
			if err := os.WriteFile(path, []byte(text[:len(secretB)+1]+strings.Repeat("#", n)), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookEvery)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, want := k.Fingerprint(), key(t, secretA).Fingerprint(); got != want {
			t.Fatal("half a file was taken up")
		}
		time.Sleep(3 * lookEvery)
		if got, want := k.Fingerprints(), key(t, secretB, secretA).Fingerprints(); !slices.Equal(got, want) {
			t.Errorf("Fingerprints = %v, want %v", got, want)
		}
	})
}
