package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/sim/lives"
)

// It notes its life into a file that another life has begun.
func TestNote(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes")
	before := noted(1000, 1000, 1001)
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*lives.Every)
	defer cancel()
	if err := note(ctx, path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	runs := lives.Runs("h1", string(text), lives.Forever)
	if len(runs) != 2 || runs[1].Life != runs[1].First || runs[1].Last == runs[1].First {
		t.Errorf("the notes tell of %v", runs)
	}
	if err := note(t.Context(), filepath.Join(path, "no")); err == nil {
		t.Error("notes where there can be none")
	}
}

// TERM ends it, but not while it is deaf. (The signal goes to the test itself.)
func TestBeat(t *testing.T) {
	dir := t.TempDir()
	notes, deaf := filepath.Join(dir, "notes"), filepath.Join(dir, "deaf")
	if err := os.WriteFile(deaf, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- beat(t.Context(), notes, deaf) }()
	for {
		if text, _ := os.ReadFile(notes); len(text) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	term := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) }
	term()
	select {
	case err := <-ended:
		t.Fatalf("it ended by TERM, deaf: %v", err)
	case <-time.After(5 * lives.Every):
	}
	if err := os.Remove(deaf); err != nil {
		t.Fatal(err)
	}
	term()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "h1\nand more\n")
	}))
	defer server.Close()
	if got, err := ask(t.Context(), server.Client(), server.URL); got != "h1" || err != nil {
		t.Errorf("ask = %q, %v, want h1", got, err)
	}
	status = http.StatusNotFound
	if got, err := ask(t.Context(), server.Client(), server.URL); err == nil {
		t.Errorf("ask = %q where there is nothing", got)
	}
}
