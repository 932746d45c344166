package lockserver

import (
	"runtime"
	"strings"

	"backtowork/internal/lockserver/store"
)

// openStore opens the server's store.
func (s *Server) openStore() (err error) {
	if s.store, err = store.Open(s.storeFile(), s.Fatal); err == nil {
		s.store.Stall = stalled(s.Stall)
	}
	return err
}

// stalled is what each call of the store does first, for [Config.Stall].
func stalled(stall func()) func() {
	if stall == nil {
		return nil
	}
	return func() {
		if !underLock() {
			stall()
		}
	}
}

// underLock says whether the store is called with a mutex held: virtual time does not go on while
// others wait for one, so that call is not made to wait; nor one by Run itself, which has the rest
// to end.
func underLock() bool {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers[:])])
	for {
		frame, more := frames.Next()
		switch strings.TrimPrefix(frame.Function, "backtowork/internal/lockserver.(*Server).") {
		case "remember", "born", "identify", "outrun", "settle", "Run":
			return true
		}
		if !more {
			return false
		}
	}
}
