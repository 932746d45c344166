// Package watchdog feeds this machine's hardware watchdog for as long as nothing on it can be
// running that it has no right to run: the second line behind the deadman of each manager
// (SAFETY.md rule 17).
//
// A deadman says of each of its packages until when something of it may run, the kill end K, says
// it anew with each renewal, and at last that the package is clear: nothing of it is left, and
// somebody has looked. A package that is past K by more than [Grace] and is not clear stops the
// feeding for good, and the hardware resets the machine one timeout of the device later. What was
// said once holds: a connection that breaks, a deadman that is killed or hangs, change nothing.
//
// The server and its deadmen speak over a unix socket, in JSON, one object per line:
//
//	{"hello":true}                               {"ok":true,"timeout_ms":10000}
//	{"package":"p","end":{"boot":17,"raw":16}}   {"ok":true}
//	{"package":"p","clear":true}                 {"ok":true}
//	anything, once it is refused                 {"error":"..."}
//
// where boot and raw are what CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW show at K, in nanoseconds.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"backtowork/internal/lease"
)

// Grace is how far past its kill end a package may be until it is said to be clear.
const Grace = time.Second

// errEnding refuses what comes when the device is not armed any more.
var errEnding = errors.New("the watchdog process ends")

// A Config is what a [Server] needs.
type Config struct {
	Node   string
	Device *Device
	Clock  lease.Clock
	Log    *slog.Logger // must not make its caller wait: the device would not be fed meanwhile
	// Stopped is called once the device is not fed any more, in a goroutine that nobody waits
	// for: a disk may hang. It may be nil.
	Stopped func(pkg string)
}

// A Server feeds the device, and listens to deadmen.
type Server struct {
	Config

	mu      sync.Mutex
	held    map[string]lease.Time // kill ends of the packages that are not clear
	stopped error                 // why the device is not fed any more; it stays
	ending  bool                  // nothing is held, and nothing is taken any more
	unset   func()                // the alarm for the earliest of held
	failing bool                  // the device did not take its food; of the loop in Run
}

// New is a server that holds nothing yet.
func New(c Config) *Server {
	return &Server{Config: c, held: map[string]lease.Time{}, unset: func() {}}
}

// Run feeds the device and listens on l, until one of ends comes while no package is held: then it
// disarms the device. If ctx ends it returns at once and leaves the device armed. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener, ends <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	listening.Go(func() { s.serve(ctx, l) })
	defer s.quiet()
	// This only sets the pace; who is late is told by the clocks, at each turn anew.
	turns := time.NewTicker(s.Device.Timeout / 4)
	defer turns.Stop()
	s.feed()
	for {
		select {
		case <-turns.C:
			s.feed()
		case sig := <-ends:
			if s.mayEnd(sig) {
				return s.Device.disarm()
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// feed feeds the device, if nothing speaks against it. It must need neither a file nor another
// process: a machine whose disks hang is alive.
func (s *Server) feed() {
	if s.look() != nil {
		return
	}
	err := s.Device.feed()
	if err != nil && !s.failing {
		s.Log.Error("cannot feed the watchdog: the machine may be reset", "node", s.Node, "reason", err)
	}
	if err == nil && s.failing {
		s.Log.Info("the watchdog takes its food again", "node", s.Node)
	}
	s.failing = err != nil
}

// look is judge, for those who do not hold the lock.
func (s *Server) look() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.judge()
}

// judge says why the device must not be fed any more, nil if it may be.
func (s *Server) judge() error {
	if s.stopped != nil {
		return s.stopped
	}
	now := s.Clock.Now()
	for pkg, end := range s.held {
		if end.Add(Grace).Left(now) <= 0 {
			s.stop(pkg)
			break
		}
	}
	return s.stopped
}

// stop is the end of the feeding.
func (s *Server) stop(pkg string) {
	s.stopped = fmt.Errorf("the watchdog is not fed any more, since package %q is past its kill end and may still run", pkg)
	s.unset()
	s.Log.Error("a package is past its kill end and may still run: the watchdog is not fed any more, the machine will be reset",
		"package", pkg, "node", s.Node, "within", s.Device.Timeout)
	if s.Stopped != nil {
		go s.Stopped(pkg)
	}
}

// take takes what a deadman says. What comes too late changes nothing.
func (s *Server) take(m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.judge(); err != nil {
		return err
	}
	switch {
	case s.ending:
		return errEnding
	case m.Hello:
		return nil
	case m.Clear:
		delete(s.held, m.Package)
	default:
		s.held[m.Package] = m.End.time()
	}
	s.alarm()
	return s.judge() // what was taken may be late already
}

// alarm looks again when the earliest kill end is over. Were it not to come, the next turn of the
// loop would see it.
func (s *Server) alarm() {
	s.unset()
	s.unset = func() {}
	var first *lease.Time
	for _, end := range s.held {
		if first != nil {
			end = lease.Earlier(end, *first)
		}
		first = &end
	}
	if first != nil {
		s.unset = lease.At(s.Clock, first.Add(Grace), func() { _ = s.look() }) // it says what it finds
	}
}

// quiet takes the alarm away.
func (s *Server) quiet() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unset()
}

// mayEnd says whether the server may end because of sig. Where it may, nothing is held from then on.
func (s *Server) mayEnd(sig os.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.judge(); err != nil {
		s.Log.Warn("not ending: the machine is to be reset", "signal", sig, "node", s.Node, "reason", err)
		return false
	}
	if len(s.held) > 0 {
		s.Log.Warn("not ending: packages run here that the watchdog is there for", "signal", sig, "node", s.Node, "packages", s.names())
		return false
	}
	s.ending = true
	return true
}
