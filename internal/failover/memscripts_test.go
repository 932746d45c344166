package failover

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"
)

// An act is what an action of the script does. A status of 0 means 0 if the package is up, else 1.
type act struct {
	code  int
	takes time.Duration // hang: for ever
	deaf  bool          // it ends by KILL only
}

const hang = 1000 * time.Hour

// memScripts is a package that starts, runs and stops in memory. Any trace of a start is up.
type memScripts struct {
	*history
	t         *testing.T
	node      string
	elsewhere func() string // where else the package is up; "" for nowhere

	mu      sync.Mutex
	echoes  map[string]string
	odd     string
	acts    map[string]act
	running *memAction
	up      bool
	deaf    bool              // what is up ends by KILL only
	sticky  bool              // status says up though nothing is left to kill
	tough   string            // what cannot be killed
	broken  map[string]string // why an action cannot be run; "late: why" shows only when it was begun
	frozen  chan struct{}     // while it is open no script can be started: the disk hangs
}

// set changes how the package behaves.
func (s *memScripts) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *memScripts) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

func (*memScripts) Sets([]string) (file, name string) { return "", "" }

// Echo answers for parameters.
func (s *memScripts) Echo(context.Context, []string, []string) (map[string]string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.echoes), s.odd, nil
}

// Settle says that the start is over.
func (s *memScripts) Settle() error { s.add("settle"); return nil }

// Start begins an action.
func (s *memScripts) Start(action string, of Token) (Action, error) {
	if action == "start" && len(of.Unfenced) > 0 {
		s.add("start is told of %v before, %v unfenced", of.Previous, of.Unfenced)
	}
	s.mu.Lock()
	frozen := s.frozen
	s.mu.Unlock()
	if frozen != nil {
		s.add("exec %s", action)
		<-frozen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.t.Errorf("%s: %s begins while %s runs", s.node, action, s.running.action)
	}
	why, late := strings.CutPrefix(s.broken[action], "late: ")
	switch {
	case why != "" && late:
		a := &memAction{s: s, action: action, done: make(chan struct{}), err: errors.New(why)}
		a.end(-1)
		return a, nil
	case why != "":
		s.add("no %s", action)
		return nil, errors.New(why)
	}
	s.add("> %s", action)
	a := &memAction{s: s, action: action, act: s.acts[action], done: make(chan struct{})}
	s.running = a
	if action == "start" {
		s.up = true
		if other := s.elsewhere(); other != "" {
			s.t.Errorf("%s starts the package at %v, which is up on %s", s.node, time.Since(s.begin), other)
		}
	}
	if a.takes == 0 {
		a.end(a.result())
		return a, nil
	}
	time.AfterFunc(a.takes, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.end(a.result())
	})
	return a, nil
}

// KillAll ends what runs and what is up.
func (s *memScripts) KillAll(grace time.Duration) (string, error) {
	s.add("kill all")
	s.mu.Lock()
	a, deaf := s.running, s.up && s.deaf
	s.mu.Unlock()
	if deaf || a != nil && a.deaf {
		sleep(context.Background(), grace)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a != nil {
		a.end(137)
	}
	if s.tough == "" && !s.sticky {
		s.up = false
	}
	return s.tough, nil
}

// Alive is what is up.
func (s *memScripts) Alive() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up && s.tough == "" && !s.sticky {
		return "daemon (pid 9)", nil
	}
	return s.tough, nil
}

// KillUnfinished ends what an earlier manager had begun.
func (s *memScripts) KillUnfinished(starting bool) error {
	s.add("kill unfinished, starting: %v", starting)
	if starting {
		_, err := s.KillAll(0)
		return err
	}
	return nil
}

// memAction is one run of the script.
type memAction struct {
	act
	s      *memScripts
	action string
	done   chan struct{}
	ended  bool
	status int
	err    error
}

// result is the exit status at the action's own end. The caller holds s.mu.
func (a *memAction) result() int {
	if a.action == "status" && a.code == 0 && !a.s.up {
		return down
	}
	return a.code
}

// end ends the action. The caller holds s.mu.
func (a *memAction) end(status int) {
	if a.ended {
		return
	}
	a.ended, a.status, a.s.running = true, status, nil
	if a.action == "stop" && status == 0 && !a.s.sticky {
		a.s.up = false
	}
	a.s.add("< %s %d", a.action, status)
	close(a.done)
}

// Drop ends the action at once.
func (a *memAction) Drop() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.end(137)
}

func (a *memAction) Done() <-chan struct{} { return a.done }
func (a *memAction) Status() int           { return a.status }
func (a *memAction) Err() error            { return a.err }

// Kill ends the action: at once, or after grace if it is deaf.
func (a *memAction) Kill(grace time.Duration) {
	status := 143
	if a.deaf {
		status = 137
		select {
		case <-time.After(grace):
		case <-a.done:
		}
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.end(status)
}
