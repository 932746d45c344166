package lockserver

import "backtowork/internal/lockserver/store"

// openStore opens the server's store.
func (s *Server) openStore() (err error) {
	if s.store, err = store.Open(s.storeFile(), s.Fatal); err == nil && s.Stall != nil {
		s.store.Stall = s.stall
	}
	return err
}

// stall makes a call of the store wait as [Trial.Stall] wants it. Not one that may hold the server's mutex: virtual
// time stands still while others wait for a mutex. Nor one before raft runs: it may be by Run itself, which has the
// rest to end.
func (s *Server) stall() {
	if !s.mu.TryLock() {
		return
	}
	runs := s.raft != nil
	s.mu.Unlock()
	if runs {
		s.Stall()
	}
}
