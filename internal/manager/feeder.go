package manager

import (
	"sync"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/watchdog"
)

// A Watchdog is told until when something of a package may run on this node. Nobody waits for it.
type Watchdog interface {
	Hold(name string, kill lease.Time, span time.Duration) // until the kill end; span is T + S
	Clear(name string)                                     // nothing of it is left
	Flush(limit time.Duration)                             // waits until all was heard, for that long
}

// A feeder tells the watchdog process of this node what the deadman knows, again and again until
// it has heard it.
type feeder struct {
	path string // of its socket
	say  journal.Log

	mu     sync.Mutex
	unsaid map[string]until // what the watchdog process has not heard yet, by package
	held   map[string]until // what it has heard last of each package of which something is left
	wake   chan struct{}
	idle   chan struct{} // closed, and made anew, when nothing is unsaid any more
}

// An until is the kill end of a package, or that nothing of it is left.
type until struct {
	kill  lease.Time
	span  time.Duration // T + S
	clear bool
}

// Feed is a Watchdog that tells the watchdog process that listens at path.
func Feed(path string, say journal.Log) Watchdog {
	f := &feeder{
		path: path, say: say, unsaid: map[string]until{}, held: map[string]until{},
		wake: make(chan struct{}, 1), idle: make(chan struct{}),
	}
	go f.run() // for as long as the process lives
	return f
}

// Hold says until when something of a package may run.
func (f *feeder) Hold(name string, kill lease.Time, span time.Duration) {
	f.put(name, until{kill: kill, span: span})
}

// Clear says that nothing of a package is left.
func (f *feeder) Clear(name string) { f.put(name, until{clear: true}) }

// put has the watchdog process told u soon, and does not wait.
func (f *feeder) put(pkg string, u until) {
	f.mu.Lock()
	f.unsaid[pkg] = u
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Flush waits until the watchdog process has heard all, for limit at the most.
func (f *feeder) Flush(limit time.Duration) {
	f.mu.Lock()
	done, idle := len(f.unsaid) == 0, f.idle
	f.mu.Unlock()
	if done {
		return
	}
	select {
	case <-idle:
	case <-time.After(limit):
	}
}

// run keeps a connection with the watchdog process, and tells it on that what it has not heard.
func (f *feeder) run() {
	var c *watchdog.Client
	told := false
	for {
		var err error
		if c == nil {
			if c, err = watchdog.Dial(f.path); err == nil {
				f.again()
			}
		}
		if err == nil {
			err = f.tell(c)
		}
		switch {
		case err == nil:
			if told {
				f.say.Info("the watchdog process hears again.")
			}
			told = false
			<-f.wake
			continue
		case !told:
			told = true
			f.say.Error("the watchdog process does not hear how packages are, and this host may be reset: log/watchdog.log may say why: " + err.Error())
		}
		if c != nil {
			_ = c.Close()
			c = nil
		}
		time.Sleep(time.Second)
	}
}

// again makes all that is held unsaid: at the other end of a new connection there may be a watchdog process that
// was started anew, and has heard nothing.
func (f *feeder) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for pkg, u := range f.held {
		if _, newer := f.unsaid[pkg]; !newer {
			f.unsaid[pkg] = u
		}
	}
}

// tell tells the watchdog process what is unsaid, until nothing is.
func (f *feeder) tell(c *watchdog.Client) error {
	for {
		pkg, u, ok := f.next()
		if !ok {
			return nil
		}
		var err error
		if u.clear {
			err = c.Clear(pkg)
		} else {
			err = c.Hold(pkg, u.kill, u.span)
		}
		if err != nil {
			return err
		}
		f.said(pkg, u)
	}
}

func (f *feeder) next() (pkg string, u until, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for pkg, u := range f.unsaid {
		return pkg, u, true
	}
	return "", until{}, false
}

// said takes note that the watchdog process has heard u. What was put meanwhile stays unsaid.
func (f *feeder) said(pkg string, u until) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[pkg] = u
	if u.clear {
		delete(f.held, pkg)
	}
	if f.unsaid[pkg] == u {
		delete(f.unsaid, pkg)
	}
	if len(f.unsaid) == 0 {
		close(f.idle)
		f.idle = make(chan struct{})
	}
}
