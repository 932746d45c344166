package journal

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"backtowork/internal/sim/virtual"
)

func TestAsyncNeverWaits(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		r, w := io.Pipe() // nobody reads yet
		a := NewAsync(w)
		for range asyncLines + 10 {
			if _, err := a.Write([]byte("line\n")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		read := make(chan string)
		go func() {
			b, _ := io.ReadAll(r)
			read <- string(b)
		}()
		synctest.Wait()
		if _, err := a.Write([]byte("last\n")); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := <-read
		if n := strings.Count(got, "line\n"); n < asyncLines {
			t.Errorf("%d lines were written, want at least %d", n, asyncLines)
		}
		if !strings.Contains(got, "lines could not be written)") || !strings.HasSuffix(got, "last\n") {
			t.Errorf("the end is %q, want the lines that are missing counted", got[max(0, len(got)-100):])
		}
	})
}

func TestAsyncEndsBeforeADeadTerminal(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		a := NewAsync(w)
		if _, err := a.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
		a.Close() // returns, though nobody reads
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
