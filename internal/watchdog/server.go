// Package watchdog is the second line of defence behind the deadman of each manager (SAFETY.md rule
// 17): it feeds this machine's hardware watchdog only as long as nothing can be running here that
// may not.
//
// For each of its packages a deadman says until when something of it may run: that is the kill end
// K. It says so again with each renewal. At last it says that the package is clear: somebody has
// looked, and nothing of it is left.
//
// The device is fed only if the machine is then reset no later than [Late] after K. So a package
// that is neither renewed nor clear makes the machine reset before the lock servers give its lock
// away. If the package's T + S is hardly longer than the device's timeout, this would reset a
// healthy machine too (see [Resets]): such a package stops the feeding only when it is past K by
// [Grace]. Once feeding has stopped it never begins again, and the machine is reset one timeout of
// the device later.
//
// What was said stays valid: a connection that breaks, or a deadman that is killed or hangs,
// changes nothing.
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

	"backtowork/internal/journal"
	"backtowork/internal/lease"
)

// Grace is how far past its kill end a package may be until it is said to be clear.
const Grace = time.Second

// Late is how long after a package's kill end the device resets the machine at the latest, apart
// from the device's own inexactness. The lock servers wait at least half a second.
const Late = 250 * time.Millisecond

// In the last moments before a package starves the device, it is fed at shorter intervals: the
// alarm may come late.
const (
	moments = time.Second
	again   = 100 * time.Millisecond
)

// patience is how long a package may starve the device before the log says so: the word of a
// renewal may come a little late.
const patience = 2 * time.Second

// Resets says whether a device with that timeout can reset the machine by the kill end of a package
// whose T + S is span. The word of a renewal may come up to a third of T, and so up to a third of
// span, after the renewal was asked for.
func Resets(span, timeout time.Duration) bool { return span-span/3 > timeout }

// A hold is a package that is not clear.
type hold struct {
	end    lease.Time // its kill end
	resets bool       // the machine is reset by that time
}

// starves returns the time from which this package forbids to feed the device.
func (h hold) starves(timeout time.Duration) lease.Time { return h.end.Add(Late - timeout) }

// errEnding refuses what a deadman says after the device was disarmed.
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
	repeats journal.Repeats // what is said seldom

	mu      sync.Mutex
	held    map[string]hold
	stopped error         // why the device is not fed any more; it stays
	ending  bool          // nothing is held, and nothing is taken any more
	unset   func()        // the alarm for the earliest of held
	armed   lease.Time    // when it is to come
	changed chan struct{} // full when there is something to feed for

	failing  bool   // the device did not take its food; only the loop in Run uses this, and the next two
	starving string // the package for which it is not fed,
	since    lease.Time
	told     bool // and the log says so
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
	// The ticks only set the pace; at each turn the clocks say what is late.
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

// feed feeds the device, if nothing forbids it. It must need neither a file nor another process: a
// machine whose disks hang is still alive.
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

// look returns an error if the device must never be fed again; else the package, if any, for which
// it must not be fed now.
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

// judge returns an error if the device must never be fed again.
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

// stop ends the feeding for ever.
func (s *Server) stop(pkg string) {
	s.stopped = fmt.Errorf("the watchdog is not fed any more, since package %q is past its kill end and may still run", pkg)
	s.unset()
	s.Log.Error("a package is past its kill end and may still run: the watchdog is not fed any more, the machine will be reset",
		"package", pkg, "node", s.Node, "within", s.Device.Timeout)
	if s.Stopped != nil {
		go s.Stopped(pkg)
	}
}

// take handles a deadman's message. A message that comes too late changes nothing.
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

// wake makes the loop feed the device soon, if it may.
func (s *Server) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// alarm sets the alarm for what is due next: the last food before a package starves the device, or
// the end of its grace. If the alarm does not come, the next turn of the loop does its work.
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
	early := s.armed.Left(s.Clock.Now()) > 0 // without file descriptors an alarm comes at once: then the turns of the loop must do
	if s.judge() == nil && !early {          // if judge found something, it has logged it
		s.wake()
		s.alarm()
	}
}

// quiet cancels the alarm.
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
