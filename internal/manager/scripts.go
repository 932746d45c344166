package manager

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/journal"
	"backtowork/internal/netif"
	"backtowork/internal/script"
)

// Scripts runs the actions of a package, and reaches what else there is of it on this host.
type Scripts interface {
	failover.Scripts
	SetUnits(names []string)                       // units of systemd that belong to the package too
	Fence(ctx context.Context, node string) error  // has another node powered off
	TakeAway(s failover.Standing, say journal.Log) // addresses and mounts that a stop has left, natively
	Cgroup() string                                // that the processes are in; "" for none
	Close() error                                  // processes are left alone
	Leave() error                                  // is Close, but that all stays that another process needs
	Abandon() error                                // is Close for a package that was not begun: an empty log goes too
}

// OnHost is the scripts of this host that r runs.
func OnHost(r *script.Runner) Scripts { return onHost{r} }

type onHost struct{ *script.Runner }

// Start starts an action.
func (h onHost) Start(action string, of failover.Token) (failover.Action, error) {
	a, err := h.Runner.Start(action, of.Term, of.Previous, of.Unfenced...)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// KillAll kills what there is of the package.
func (h onHost) KillAll(grace time.Duration) (string, error) {
	left, err := h.Runner.KillAll(grace)
	return script.InWords(left), err
}

// Alive is what there is of the package.
func (h onHost) Alive() (string, error) {
	left, err := h.Runner.Alive()
	return script.InWords(left), err
}

// TakeAway takes away the addresses and the mounts of s.
func (h onHost) TakeAway(s failover.Standing, say journal.Log) {
	for _, vip := range s.VIPs {
		devices, err := netif.Remove(net.ParseIP(vip))
		if len(devices) > 0 {
			say.Info(fmt.Sprintf("took the address %s off %s: stop had left it.", vip, strings.Join(devices, ", ")))
		}
		if err != nil {
			say.Error(err.Error())
		}
	}
	script.DetachMounts(s.Mounts, s.Sources)
}

// hands are the scripts of a package as the failover machine wants them: who kills all processes takes away
// what the package has set up too.
type hands struct {
	Scripts
	standing func() failover.Standing
	say      journal.Log
}

// KillAll kills what there is of the package, and takes away the addresses, and the mounts where that was asked
// for, that its stop has left. It does so when grace is over, which may be at the kill end, even if what was
// killed is not gone yet; and once more when it is gone.
func (h hands) KillAll(grace time.Duration) (string, error) {
	taken := make(chan struct{})
	early := time.AfterFunc(grace, func() {
		defer close(taken)
		h.takeAway()
	})
	left, err := h.Scripts.KillAll(grace)
	if !early.Stop() {
		<-taken
	}
	h.takeAway()
	return left, err
}

func (h hands) takeAway() { h.TakeAway(h.standing(), h.say) }
