package script

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// belongings is what is alive, by key and pid.
type belongings map[string]map[int]proc

func (b belongings) add(key string, p proc) {
	if b[key] == nil {
		b[key] = make(map[int]proc)
	}
	b[key][p.pid] = p
}

func (b belongings) list() map[string][]Process {
	lists := make(map[string][]Process, len(b))
	for key, procs := range b {
		lists[key] = list(procs)
	}
	return lists
}

// Alive is what is alive of each key; a key of which nothing is has no entry. One look serves for all keys; but without
// cgroups it is looked three times before it is believed that nothing is left of one.
func (c *Commands) Alive(keys ...string) (map[string][]Process, error) {
	found, err := c.lookSurely(keys)
	if err != nil {
		return nil, err
	}
	return found.list(), nil
}

// Found is what is alive of every key: what this daemon has left if it died.
func (c *Commands) Found() (map[string][]Process, error) {
	pids, err := c.inCgroups(nil)
	if err != nil {
		return nil, err
	}
	c.looking.Lock()
	defer c.looking.Unlock()
	found, err := c.pass(pids)
	if err != nil {
		return nil, err
	}
	for _, procs := range found {
		for pid := range procs {
			if _, inside := pids[pid]; c.dir != "" && !inside { // it was started before there was a cgroup for it
				c.mu.Lock()
				c.loose = true
				c.mu.Unlock()
			}
		}
	}
	return found.list(), nil
}

// Signal signals everything of the keys once: process groups whose number is surely theirs at once, others one by one. A
// SIGCONT follows so that the stopped hear it too, unless the signal is one that stops or continues.
func (c *Commands) Signal(sig unix.Signal, keys ...string) error {
	sigs := []unix.Signal{sig, unix.SIGCONT}
	if slices.Contains([]unix.Signal{unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT}, sig) {
		sigs = sigs[:1]
	}
	told := c.signalGroups(keys, sigs...)
	found, err := c.look(keys)
	for _, procs := range found {
		for _, p := range procs {
			if !told[p.pgrp] {
				p.signal(sigs...)
			}
		}
	}
	return err
}

// signalGroups signals the groups of commands that were not reaped: nobody else can have their numbers.
func (c *Commands) signalGroups(keys []string, sigs ...unix.Signal) (told map[int]bool) {
	wanted := setOf(keys)
	told = make(map[int]bool)
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid, r := range c.running {
		if r.adopted || !wanted[r.key] {
			continue
		}
		told[pid] = true
		for _, sig := range sigs {
			_ = unix.Kill(-pid, sig)
		}
	}
	return told
}

// Kill sends SIGKILL to everything of the keys until nothing is left. It returns what is alive even 1 s after that:
// processes that hang in the kernel.
func (c *Commands) Kill(keys ...string) (map[string][]Process, error) {
	var found belongings
	look := func() (left map[int]proc, err error) {
		found, err = c.lookSurely(keys)
		left = make(map[int]proc)
		for _, procs := range found {
			maps.Copy(left, procs)
		}
		return left, err
	}
	_, err := sweep(nil, 0, look, func() {
		if c.dir != "" {
			for _, key := range keys {
				killCgroup(c.cgroup(key))
			}
		}
		c.signalGroups(keys, unix.SIGKILL)
	})
	return found.list(), err
}

// lookSurely looks until something of each key was seen, or three times: see sure.
func (c *Commands) lookSurely(keys []string) (belongings, error) {
	found := make(belongings)
	missing := slices.Clone(keys)
	for _, wait := range looks {
		pause(wait)
		more, err := c.look(missing)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, more)
		missing = slices.DeleteFunc(missing, func(key string) bool { return len(found[key]) > 0 })
		if len(missing) == 0 || !c.byEnvironment() {
			break
		}
	}
	if c.dir != "" && len(missing) > 0 {
		c.mu.Lock()
		c.empty = append(c.empty, missing...)
		c.mu.Unlock()
		c.rouse()
	}
	return found, nil
}

// byEnvironment says whether something of us may be in no cgroup.
func (c *Commands) byEnvironment() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dir == "" || c.loose
}

// look looks once.
func (c *Commands) look(keys []string) (belongings, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pids, err := c.inCgroups(keys)
	if err != nil {
		return nil, err
	}
	c.looking.Lock()
	defer c.looking.Unlock()
	if c.byEnvironment() {
		found, err := c.pass(pids)
		wanted := setOf(keys)
		maps.DeleteFunc(found, func(key string, _ map[int]proc) bool { return !wanted[key] })
		return found, err
	}
	if len(c.seen) > 2*len(pids)+1000 { // mostly of the dead
		clear(c.seen)
	}
	found := make(belongings, len(keys))
	for range looks {
		ended, err := c.lookAt(pids, found)
		if err != nil || len(ended) == 0 {
			return found, err
		}
		// All that was listed has ended meanwhile; so what it forked before is not in the list.
		if pids, err = c.inCgroups(ended); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// lookAt adds to found what of pids is alive. Those of whose processes none is, any more, have ended; c.looking is held.
func (c *Commands) lookAt(pids map[int]string, found belongings) (ended []string, err error) {
	gone := make(map[string]bool)
	beside := make(map[string]bool)
	for pid, key := range pids {
		p, err := readProc(pid)
		if exhausted(err) {
			return nil, fmt.Errorf("cannot read process %d: %w", pid, err)
		}
		if err != nil || p.zombie {
			gone[key] = true
			continue
		}
		s, err := c.sight(p)
		if err != nil {
			return nil, err
		}
		if beside[key] = beside[key] || s.aside; !s.aside {
			found.add(key, p)
		}
	}
	for key := range gone {
		if len(found[key]) == 0 && !beside[key] {
			ended = append(ended, key)
		}
	}
	return ended, nil
}

// inCgroups is the processes in the cgroups of keys, of all if there are none, with their keys.
func (c *Commands) inCgroups(keys []string) (map[int]string, error) {
	found := make(map[int]string)
	if c.dir == "" {
		return found, nil
	}
	if keys == nil {
		entries, err := os.ReadDir(c.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot list the cgroups: %w", err)
		}
		for _, e := range entries {
			if key, err := url.PathUnescape(e.Name()); err == nil && e.IsDir() {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		pids, err := pidsAt(c.cgroup(key))
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			found[pid] = key
		}
	}
	return found, nil
}

// cgroup is the directory of a key's.
func (c *Commands) cgroup(key string) string { return filepath.Join(c.dir, cgroupName(key)) }

// cgroupName has no dot: the files of the cgroup above have one.
func cgroupName(key string) string { return strings.ReplaceAll(url.PathEscape(key), ".", "%2E") }

// sighting is what was seen of a process. Its environment is read once for each program that it becomes; where that is
// shows which program it is.
type sighting struct {
	start, env uint64
	key        string // it belonged to this when it was seen
	aside      bool   // it runs beside: it is nobody's, nor are its descendants
}

// sight looks at p by itself; c.looking is held.
func (c *Commands) sight(p proc) (sighting, error) {
	s := c.seen[p.pid]
	if s.start != p.start {
		s = sighting{start: p.start}
	}
	if p.zombie || p.env != 0 && s.env == p.env {
		return s, nil
	}
	env, err := environ(p.pid)
	if err != nil || len(env) == 0 {
		return s, err
	}
	own := bytes.Contains(env, c.owner)
	if _, key, found := bytes.Cut(env, []byte("\x00"+keyMark+"=")); own && found {
		key, _, _ = bytes.Cut(key, []byte{0})
		s.key = string(key)
	}
	s.env, s.aside = p.env, !own && bytes.Contains(env, []byte("\x00"+AsideMark+"="))
	c.seen[p.pid] = s
	return s, nil
}

// pass finds what is alive of all keys, by one look at /proc; c.looking is held. The pids are known to belong.
func (c *Commands) pass(pids map[int]string) (belongings, error) {
	c.passes++
	procs, err := processes()
	if err != nil {
		return nil, err
	}
	for pid := range pids {
		if _, ok := procs[pid]; !ok {
			if p, err := readProc(pid); err == nil {
				procs[pid] = p // it began after the list was read
			}
		}
	}
	maps.DeleteFunc(c.seen, func(pid int, s sighting) bool { return procs[pid].start != s.start })
	k := kinship{procs: procs, owner: map[int]string{os.Getpid(): "", 1: ""}, direct: make(map[int]string)}
	for pid, p := range procs {
		s, err := c.sight(p)
		switch {
		case err != nil:
			return nil, err
		case s.aside:
			k.owner[pid] = ""
		case s.key != "":
			k.direct[pid] = s.key
		}
	}
	k.groups = c.knownGroups(procs, k.direct)
	c.mu.Lock()
	for pid, r := range c.running {
		k.direct[pid] = r.key
	}
	c.mu.Unlock()
	maps.Copy(k.direct, pids)
	found := make(belongings)
	for pid, p := range procs {
		key := k.of(pid)
		if key == "" || p.zombie {
			continue
		}
		found.add(key, p)
		s := c.seen[pid]
		s.start, s.key = p.start, key
		c.seen[pid] = s
	}
	return found, nil
}

// knownGroups are the groups whose number is surely a key's: of a leader that was reaped, if one that was seen before is
// still in it. Those that are so no more are forgotten.
func (c *Commands) knownGroups(procs map[int]proc, before map[int]string) map[int]string {
	alive := make(map[int]string)
	for pid, key := range before {
		if p := procs[pid]; !p.zombie {
			alive[p.pgrp] = key
		}
	}
	known := make(map[int]string)
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.groups, func(pgrp int, g *group) bool {
		if g.reaped && g.noted && alive[pgrp] != g.key {
			return true
		}
		known[pgrp], g.noted = g.key, g.reaped
		return false
	})
	return known
}

// kinship tells whose a process is: by itself, by its parent, by the leader of its group, or by the group's number.
type kinship struct {
	procs          map[int]proc
	direct, groups map[int]string
	owner          map[int]string // the answers; "" for nobody's
}

func (k kinship) of(pid int) string {
	if key, ok := k.owner[pid]; ok {
		return key
	}
	p, ok := k.procs[pid]
	if !ok {
		return ""
	}
	k.owner[pid] = "" // a parent cannot descend from it
	key := k.direct[pid]
	for _, near := range []int{p.ppid, p.pgrp} {
		if key == "" {
			key = k.of(near)
		}
	}
	if key == "" {
		key = k.groups[p.pgrp]
	}
	k.owner[pid] = key
	return key
}

func setOf(keys []string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return set
}
