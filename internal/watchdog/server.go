// Package watchdog feeds this machine's hardware watchdog for as long as nothing on it can be
// running that it has no right to run: the second line behind the deadman of each manager
// (SAFETY.md rule 17).
//
// A deadman says of each of its packages until when something of it may run, the kill end K, says
// it anew with each renewal, and at last that the package is clear: nothing of it is left, and
// somebody has looked. The device is fed only while that cannot keep the machine alive for longer than
// [Late] past K: so a package that is neither renewed nor clear has the machine reset then, before the
// lock servers give its lock away. Where all that a package has, T + S, is hardly longer than the
// device's timeout, that would starve a healthy one: see [Resets]. Such a package stops the feeding when
// it is past K by [Grace]. Either way nothing is fed any more from then on, and the machine is reset one
// timeout of the device later. What was said once holds: a connection that breaks, a deadman that is
// killed or hangs, change nothing.
//
// The server and its deadmen speak over a unix socket, in JSON, one object per line:
//
//	{"hello":true}                               {"ok":true,"spans":true,"timeout_ms":10000}
//	{"package":"p","end":{"boot":17,"raw":16},"span_ms":60000}   {"ok":true}
//	{"package":"p","clear":true}                 {"ok":true}
//	anything, once it is refused                 {"error":"..."}
//
// where boot and raw are what CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW show at K, in nanoseconds, and the
// span is T + S: only a server that says "spans" knows it.
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

// Late is how long after the kill end of a package that it guards the device resets the machine at the
// latest, but for its own inexactness. The lock servers wait for half a second at the least.
const Late = 250 * time.Millisecond

// The device is fed every again in the last moments before a package starves it: an alarm may come late.
const (
	moments = time.Second
	again   = 100 * time.Millisecond
)

// patience is how long a package may starve the device until that is worth a word: what tells of a renewal
// may come somewhat late.
const patience = 2 * time.Second

// Resets says whether a device of that timeout can reset the machine by the kill end of a package that
// has span, its T + S: it is told of a renewal up to a third of T, and so of span, after it was asked for.
func Resets(span, timeout time.Duration) bool { return span-span/3 > timeout }

// A hold is a package that is not clear.
type hold struct {
	end    lease.Time // its kill end
	resets bool       // by which the machine is reset
}

// starves is when the device must not be fed any more for now.
func (h hold) starves(timeout time.Duration) lease.Time { return h.end.Add(Late - timeout) }

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
	held    map[string]hold
	stopped error         // why the device is not fed any more; it stays
	ending  bool          // nothing is held, and nothing is taken any more
	unset   func()        // the alarm for the earliest of held
	armed   lease.Time    // when it is to come
	changed chan struct{} // full when there is something to feed for

	failing  bool   // the device did not take its food; of the loop in Run, as is:
	starving string // the package for which it is not fed,
	since    lease.Time
	told     bool // and the log has that
}

// New is a server that holds nothing yet.
func New(c Config) *Server {
	return &Server{Config: c, held: map[string]hold{}, unset: func() {}, changed: make(chan struct{}, 1)}
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
		case <-s.changed:
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
	pkg, err := s.look()
	switch {
	case err != nil:
		return
	case pkg != "":
		s.starves(pkg)
		return
	case s.told:
		s.Log.Info("the watchdog is fed again", "package", s.starving, "node", s.Node)
	}
	s.starving, s.told = "", false
	err = s.Device.feed()
	if err != nil && !s.failing {
		s.Log.Error("cannot feed the watchdog: the machine may be reset", "node", s.Node, "reason", err)
	}
	if err == nil && s.failing {
		s.Log.Info("the watchdog takes its food again", "node", s.Node)
	}
	s.failing = err != nil
}

// starves notes that the device is not fed for now because of pkg.
func (s *Server) starves(pkg string) {
	now := s.Clock.Now()
	if s.starving == "" {
		s.since = now
	}
	s.starving = pkg
	if !s.told && now.Longest(s.since) >= patience {
		s.told = true
		s.Log.Warn("a package was not renewed: the watchdog is not fed until it is, or was seen down", "package", pkg, "node", s.Node)
	}
}

// look says why the device must not be fed any more, or for which package not now.
func (s *Server) look() (pkg string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.judge(); err != nil {
		return "", err
	}
	now := s.Clock.Now()
	for pkg, h := range s.held {
		if h.resets && h.starves(s.Device.Timeout).Left(now) <= 0 {
			return pkg, nil
		}
	}
	return "", nil
}

// judge says why the device must not be fed any more, nil if it may be.
func (s *Server) judge() error {
	if s.stopped != nil {
		return s.stopped
	}
	now := s.Clock.Now()
	for pkg, h := range s.held {
		if h.end.Add(Grace).Left(now) <= 0 {
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
	reset := s.held[m.Package].resets
	switch {
	case s.ending:
		return errEnding
	case m.Hello:
		return nil
	case m.Clear:
		delete(s.held, m.Package)
	default:
		span := time.Duration(m.Span) * time.Millisecond
		s.held[m.Package] = hold{m.End.time(), Resets(span, s.Device.Timeout)}
	}
	if reset || s.held[m.Package].resets {
		s.wake()
	}
	s.alarm()
	return s.judge() // what was taken may be late already
}

// wake has the device fed, if it may be.
func (s *Server) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// alarm looks again when the next thing is due: the last food before a package starves the device, or
// the end of its grace. Were it not to come, the next turn of the loop would see it.
func (s *Server) alarm() {
	s.unset()
	s.unset = func() {}
	now := s.Clock.Now()
	var first *lease.Time
	for _, h := range s.held {
		at := h.end.Add(Grace)
		if last := h.starves(s.Device.Timeout); h.resets && last.Left(now) > 0 {
			at = last.Add(-moments)
			if at.Left(now) <= 0 {
				at = lease.Earlier(now.Add(again), last)
			}
		}
		if first != nil {
			at = lease.Earlier(at, *first)
		}
		first = &at
	}
	if first != nil {
		s.armed = *first
		s.unset = lease.At(s.Clock, *first, s.due)
	}
}

// due is called by the alarm.
func (s *Server) due() {
	s.mu.Lock()
	defer s.mu.Unlock()
	early := s.armed.Left(s.Clock.Now()) > 0 // where no alarm is to be had it comes at once: then the turns of the loop must do
	if s.judge() == nil && !early {          // else it said what it found
		s.wake()
		s.alarm()
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
