package clusterkey

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lookEvery is how often the key file is looked at for a change.
const lookEvery = time.Second

// Follow makes k what the file at path says, whenever that changes, until ctx ends. Connections
// that are open live on; new ones go by the new file. A file that cannot be used changes nothing,
// and is told of once.
//
// It returns only when the disk answers, so nobody who has a lock to renew should wait for it.
func (k *Key) Follow(ctx context.Context, path string, log *slog.Logger) {
	var taken, told, last stamp // nothing is taken yet: the file may have changed since k was loaded
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := stampOf(path)
		settled := now == last // else it may be only half copied
		last = now
		if !settled || now == taken {
			continue
		}
		switch err := k.takeUp(path, log); {
		case err == nil:
			taken = now
		case now != told: // it is told once and tried again: maybe only this process cannot read it, and only now
			told = now
			log.Warn("the cluster key goes on as it was: its file cannot be used", "reason", err)
		}
	}
}

// takeUp makes k what the file at path says now.
func (k *Key) takeUp(path string, log *slog.Logger) error {
	changed, err := Load(path)
	if err != nil {
		return err
	}
	old, t := k.now.Load(), changed.now.Load()
	if slices.EqualFunc(old.secrets, t.secrets, slices.Equal) {
		return nil
	}
	k.now.Store(t)
	say := log.Info
	if !slices.ContainsFunc(t.fingerprints(), func(f string) bool { return slices.Contains(old.fingerprints(), f) }) {
		say = log.Warn // right only for a host that missed a step of a change
	}
	say("the cluster key has changed", "was", strings.Join(old.fingerprints(), " "), "is", strings.Join(t.fingerprints(), " "))
	return nil
}

// ServerName is the server's name that a client should ask for now. A configuration by [Key.Client]
// has the one that was right when it was made; the key may have changed since.
func (k *Key) ServerName() string { return k.now.Load().greeting() }

// A stamp tells one state of a file from another.
type stamp struct {
	fault    string // why there is no telling
	dev, ino uint64
	size     int64
	changed  int64 // when, in nanoseconds
}

func stampOf(path string) stamp {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return stamp{fault: err.Error()}
	}
	return stamp{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, changed: st.Ctim.Nano()} // Dev has other types elsewhere
}
