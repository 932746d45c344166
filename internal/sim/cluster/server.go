package cluster

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/lockserver"
	"backtowork/internal/lockserver/store"
)

// A server is a lock server, on a node or on a host of its own.
type server struct {
	s     *Simulation
	entry string
	clock lease.Clock
	on    *node // nil: a host of its own

	mu     sync.Mutex
	list   []string // lock_servers, as its host has it
	now    *lockserver.Server
	cancel context.CancelFunc
	ended  chan struct{} // nil before the first start
	stall  func()        // called before each call of its store; nil for nothing
	doomed bool          // its disk hangs: it may end by itself
	dying  bool          // it does
}

// up says whether its process runs.
func (v *server) up() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended != nil && !isClosed(v.ended)
}

// boot starts it if it does not run.
func (v *server) boot() {
	v.mu.Lock()
	if ended := v.ended; ended != nil && !isClosed(ended) {
		if v.dying { // nobody else would start it
			v.dying = false
			v.s.wg.Go(func() { <-ended; v.bootAgain() })
		}
		v.mu.Unlock()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	v.cancel, v.ended, v.stall, v.doomed, v.dying = cancel, ended, nil, false, false
	v.mu.Unlock()
	v.s.net.Power(v.entry)
	v.s.note(nil, "lock server %s starts", v.entry)
	go func() {
		defer close(ended)
		err := lockserver.ErrAgain
		for errors.Is(err, lockserver.ErrAgain) && ctx.Err() == nil {
			err = v.once(ctx)
		}
		switch {
		case errors.Is(err, lockserver.ErrLeft):
			v.s.note(nil, "lock server %s is none any more", v.entry)
		case err != nil && ctx.Err() == nil:
			v.s.violate(nil, "lock server %s ended: %v", v.entry, err)
		}
	}()
}

// bootAgain is boot, unless its host is down.
func (v *server) bootAgain() {
	if v.on == nil || v.s.isUp(v.on) {
		v.boot()
	}
}

// state is where its state is.
func (v *server) state() string { return filepath.Join(v.s.dir, v.entry, "state") }

// once opens the server and runs it.
func (v *server) once(ctx context.Context) error {
	v.mu.Lock()
	list := v.list
	v.mu.Unlock()
	server, err := lockserver.Open(lockserver.Config{
		Entry: v.entry, List: list, Dir: v.state(), Mark: filepath.Join(v.s.dir, v.entry, "mark"), Version: version,
		Key: v.s.key, Network: v.s.net.On(v.entry), Clock: v.clock, Log: slog.New(slog.DiscardHandler), Fatal: v.fatal,
		Trial: lockserver.Trial{Off: v.s.Off.Servers, Stall: v.pause},
	})
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.now = server
	changed := v.list
	v.mu.Unlock()
	if !slices.Equal(list, changed) {
		server.Reload(changed)
	}
	return server.Run(ctx)
}

// reload puts list into lock_servers on the server's host, and makes the server read it.
func (v *server) reload(list []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = list
	if v.now != nil {
		v.now.Reload(list)
	}
}

// pause is called before each call of the store, and waits if it is to stall.
func (v *server) pause() {
	v.mu.Lock()
	stall := v.stall
	v.mu.Unlock()
	if stall != nil {
		stall()
	}
}

// stallBy makes each call of the store wait, or none if stall is nil. A doomed server may die of it.
func (v *server) stallBy(stall func(), doomed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stall, v.doomed = stall, v.doomed || doomed
}

// fatal ends the process. Only a disk that hangs may be a reason for that here.
func (v *server) fatal(err error) {
	v.mu.Lock()
	doomed := v.doomed
	v.dying = true
	v.mu.Unlock()
	v.s.note(nil, "lock server %s ends by itself: %v", v.entry, err)
	if !doomed || !errors.Is(err, store.ErrHangs) {
		v.s.violate(nil, "lock server %s died: %v", v.entry, err)
	}
	go v.crash(false)
	runtime.Goexit()
}

// crash ends it without a word; silent is that its host does.
func (v *server) crash(silent bool) {
	v.s.net.PowerOff(v.entry, silent)
	v.end()
}

// end ends it in good order, and waits for that.
func (v *server) end() {
	v.mu.Lock()
	cancel, ended := v.cancel, v.ended
	v.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// clients is the servers as clients know them.
func (s *Simulation) clients() (all []lockclient.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range s.entries() {
		all = append(all, lockclient.Server{Entry: entry, Addr: entry})
	}
	return all
}

// leader is the server that leads, or nil.
func (s *Simulation) leader() *server {
	for _, v := range s.servers {
		var health api.Health
		if !v.up() || !s.ask(v, "/v1/health", &health) {
			continue
		}
		for _, w := range s.servers {
			if w.entry == health.Leader {
				return w
			}
		}
	}
	return nil
}

// ask asks a lock server.
func (s *Simulation) ask(v *server, path string, answer any) (ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.admin.Get(ctx, v.entry, path, answer) == nil
}

// locks is the locks as some server sees them.
func (s *Simulation) locks() map[string]api.State {
	for _, v := range s.servers {
		var all api.Locks
		if v.up() && s.ask(v, "/v1/locks", &all) {
			return all.Locks
		}
	}
	return nil
}
