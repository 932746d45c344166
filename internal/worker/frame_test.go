//go:build linux

package worker

import (
	"bytes"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What is written is what is read, also where it comes in pieces.
func TestFrames(t *testing.T) {
	q := Request{
		ID: 1 << 40, Path: "packages/p", Files: "\x00\xff", Args: []string{"echo", ""}, Dir: "/home", Env: []string{"A=b", "C=" + strings.Repeat("d", 1<<17)},
		Cgroup: "/sys/fs/cgroup/p", Limit: patience,
	}
	a := Answer{ID: 7, Declined: "no", Failed: "so", Stuck: true, Status: 255, Stdout: []byte("out\n"), Stderr: []byte{0}, Forks: 3}
	ours, theirs := net.Pipe()
	go func() {
		for _, f := range [][]byte{q.frame(), (&Request{ID: 2, Cancel: true}).frame(), a.frame()} {
			for half := len(f) / 2; len(f) > 0; f, half = f[half:], len(f)-half {
				_, _ = theirs.Write(f[:half])
			}
		}
		_ = theirs.Close()
	}()
	r := newReader(ours)
	if got, err := r.request(); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := r.request(); err != nil || got.ID != 2 || !got.Cancel {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := r.answer(); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := r.answer(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// No bytes are more than an error.
func FuzzFrame(f *testing.F) {
	f.Add((&Request{Args: []string{"a"}}).frame())
	f.Add((&Answer{Stdout: []byte("a")}).frame())
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Add([]byte{2, 0, 0, 0, 255, 255})
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = newReader(bytes.NewReader(b)).request()
		_, _ = newReader(bytes.NewReader(b)).answer()
	})
}

// Who sends is not kept waiting by a worker that does not read, and nothing is lost, or comes in another order.
func TestSendDoesNotWait(t *testing.T) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := newSender(ours)
	if s.raw == nil {
		t.Fatal("it cannot send without waiting")
	}
	const n = 1000 // more than the pipe holds
	for id := range uint64(n) {
		s.send((&Request{ID: id, Dir: strings.Repeat("d", 4000)}).frame())
	}
	r := newReader(theirs)
	for id := range uint64(n) {
		if q, err := r.request(); err != nil || q.ID != id {
			t.Fatalf("%d: %d, %v", id, q.ID, err)
		}
	}
	for range n { // nobody reads these
		s.send((&Request{Dir: strings.Repeat("d", 4000)}).frame())
	}
	done := make(chan struct{})
	go func() {
		_ = ours.Close()
		s.close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
	s.send((&Request{}).frame())
}
