package lockserver

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// A simServer is the host of a lock server: it can crash, and lose its disk.
type simServer struct {
	sim   *sim
	entry string
	clock *simClock

	mu     sync.Mutex
	list   []string    // its lock_servers
	now    *testServer // nil while the server is down
	knows  int         // the newest version of log entries, of an older server; else 0
	doomed bool        // its disk hangs for longer than it may
	stall  func()      // in every call of the store
	cancel context.CancelFunc
	ended  chan struct{}
}

// server is the server as it runs, or nil.
func (v *simServer) server() *testServer {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// raft is its raft node, or nil.
func (v *simServer) raft() *raft.Raft {
	s := v.server()
	if s == nil {
		return nil
	}
	return s.node()
}

// up says whether its process runs.
func (v *simServer) up() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended == nil {
		return false
	}
	select {
	case <-v.ended:
		return false
	default:
		return true
	}
}

// boot starts it if it does not run.
func (v *simServer) boot() {
	if v.up() {
		return
	}
	v.sim.c.net.Power(v.entry)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	v.mu.Lock()
	v.cancel, v.ended, v.stall, v.doomed = cancel, ended, nil, false
	v.mu.Unlock()
	v.sim.note("", "%s starts", v.entry)
	go func() {
		defer close(ended)
		err := ErrAgain
		for errors.Is(err, ErrAgain) && ctx.Err() == nil {
			err = v.once(ctx)
			v.sim.note("", "%s ended: %v", v.entry, err)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrLeft) {
			v.sim.violate("", "server %s ended: %v", v.entry, err)
		}
	}()
}

// once opens the server and runs it.
func (v *simServer) once(ctx context.Context) error {
	s := &testServer{}
	cfg := v.sim.c.config(v.entry, s)
	cfg.Clock, cfg.List, cfg.Fatal, cfg.Stall, cfg.Knows = v.clock, v.lockServers(), v.fatal, v.pause, v.version()
	cfg.saw = func(l *raft.Log, e lock.Entry, did outcome) { v.sim.saw(v.entry, v.clock.rate, l, e, did) }
	v.sim.isMixed(true)
	cfg.Log = slog.New(slog.DiscardHandler)
	if *simLog {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stdout, nil)).With("on", v.entry)
	}
	server, err := Open(cfg)
	if err != nil {
		return err
	}
	s.Server = server
	v.mu.Lock()
	v.now = s
	v.mu.Unlock()
	err = server.Run(ctx)
	v.mu.Lock()
	v.now = nil
	v.mu.Unlock()
	return err
}

// version is the newest version of log entries that it knows; 0 for the program's.
func (v *simServer) version() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.knows
}

// upgrade has it go on as a new program.
func (v *simServer) upgrade() {
	v.end()
	v.mu.Lock()
	v.knows = 0
	v.mu.Unlock()
	v.boot()
}

func (v *simServer) lockServers() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.list)
}

// reload makes it go by another list.
func (v *simServer) reload(list []string) {
	v.mu.Lock()
	v.list = slices.Clone(list)
	s := v.now
	v.mu.Unlock()
	if s != nil {
		s.Reload(list)
	}
}

// pause is called by the store.
func (v *simServer) pause() {
	v.mu.Lock()
	stall := v.stall
	v.mu.Unlock()
	if stall != nil {
		stall()
	}
}

// stallBy makes each call of the store wait, or none if stall is nil. A doomed server may die of it.
func (v *simServer) stallBy(stall func(), doomed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stall, v.doomed = stall, v.doomed || doomed
}

// fatal ends the process, which is a fault of its own unless its disk is broken.
func (v *simServer) fatal(err error) {
	v.mu.Lock()
	doomed := v.doomed
	v.mu.Unlock()
	v.sim.note("", "%s dies: %v", v.entry, err)
	if !doomed {
		v.sim.violate("", "server %s died: %v", v.entry, err)
	}
	go v.crash(false)
	runtime.Goexit()
}

// crash ends it without a word; the hosts that it talked with get a reset, or if the whole host
// is gone, nothing.
func (v *simServer) crash(silent bool) {
	v.sim.c.net.PowerOff(v.entry, silent)
	if s := v.server(); s != nil {
		s.crashes.Store(true)
	}
	v.end()
}

// end ends it in good order, and waits for that.
func (v *simServer) end() {
	v.mu.Lock()
	cancel, ended := v.cancel, v.ended
	v.stall = nil
	v.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-ended
}

// wipe removes its state; the mark that it was in a cluster stands elsewhere and stays.
func (v *simServer) wipe() error { return os.RemoveAll(v.sim.c.stateDir(v.entry)) }

// save copies its host's disk, and returns how to put the copy back: whole, or only its state.
func (v *simServer) save() (restore func(whole bool) error, err error) {
	dir := filepath.Dir(v.sim.c.stateDir(v.entry))
	saved, err := os.MkdirTemp(v.sim.c.dir, "saved-")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(filepath.Join(saved, "disk"), os.DirFS(dir)); err != nil {
		return nil, err
	}
	return func(whole bool) error {
		if whole {
			return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(filepath.Join(saved, "disk"))))
		}
		// The copy comes into the file that is there, as rsync --inplace does it.
		b, err := os.ReadFile(filepath.Join(saved, "disk", "state", storeName))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "state", storeName), b, 0o600)
	}, nil
}

// leader is the server that speaks for the others, or nil.
func (s *sim) leader() *simServer {
	for _, v := range s.servers {
		if t := v.server(); t != nil && t.status().Open {
			return v
		}
	}
	return nil
}

// follower is one that runs and does not lead, or nil.
func (s *sim) follower() *simServer {
	for _, i := range s.rng.Perm(len(s.servers)) {
		v := s.servers[i]
		if r := v.raft(); r != nil && r.State() != raft.Leader {
			return v
		}
	}
	return nil
}

// elect makes it stand for election at once, as a leader does that hands over.
func (v *simServer) elect() {
	s := v.server()
	if s == nil || s.node() == nil {
		return
	}
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	for _, o := range v.sim.servers {
		if t := o.server(); o != v && t != nil && t.node() != nil && !v.sim.c.net.IsCut(o.entry, v.entry) {
			id := s.self.ID
			asked := make(chan error, 1)
			go func() {
				defer close(asked) // also where the disk of who asks hangs, which ends this goroutine
				asked <- t.network.TimeoutNow(raft.ServerID(id), raft.ServerAddress(id), request, &raft.TimeoutNowResponse{})
			}()
			if err, said := <-asked; said && err == nil {
				return
			}
		}
	}
}

// handOver makes its leader hand over to to.
func (v *simServer) handOver(to *simServer) {
	from, next := v.server(), to.server()
	if from == nil || next == nil || from.node() == nil {
		return
	}
	_ = from.handTo(next.self.ID)
}

// within waits until ok, or for limit, and says which.
func within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
