package lockserver

import (
	"testing"

	"github.com/hashicorp/raft"
)

// A call of the store waits in a simulation once raft runs, but not with the server's mutex held: others that wait for
// it would hold up virtual time.
func TestStall(t *testing.T) {
	t.Parallel()
	stalls := 0
	cfg := Config{Dir: t.TempDir(), Fatal: func(err error) { t.Error(err) }, Trial: Trial{Stall: func() { stalls++ }}}
	s := &Server{over: make(chan error, 1), Config: cfg, self: newSelf(cfg)}
	s.self.stall = s.stall
	if err := s.self.open(); err != nil {
		t.Fatal(err)
	}
	defer s.self.store.Close()
	after := func(what string, err error, want int) {
		t.Helper()
		if err != nil || stalls != want {
			t.Errorf("%s: %v, %d calls have waited, want %d", what, err, stalls, want)
		}
	}
	after("before raft runs", s.self.store.Set([]byte("x"), []byte("1")), 0)
	s.raft = new(raft.Raft)
	after("raft runs", s.self.store.Set([]byte("x"), []byte("2")), 1)
	s.outrun()
	after("with the mutex held", nil, 1)
	after("then", s.self.store.Set([]byte("x"), []byte("3")), 2)
}
