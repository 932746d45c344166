package cli

import (
	"fmt"
	"net"
	"strings"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/netif"
	"backtowork/internal/script"
)

// scripts is the runner as the failover machine wants it, with what else belongs to the package.
type scripts struct {
	*script.Runner
	params func() failover.Params
	say    func(string)
}

// Start starts an action.
func (s scripts) Start(action string, term uint64, previous string) (failover.Action, error) {
	a, err := s.Runner.Start(action, term, previous)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// KillAll kills what there is of the package, and takes away the addresses, and the mounts where
// that was asked for, that its stop has left.
func (s scripts) KillAll(grace time.Duration) (string, error) {
	left, err := s.Runner.KillAll(grace)
	p := s.params()
	for _, vip := range p.VIPs {
		devices, err := netif.Remove(net.ParseIP(vip))
		if len(devices) > 0 {
			s.say(fmt.Sprintf("took the address %s off %s: stop had left it.", vip, strings.Join(devices, ", ")))
		}
		if err != nil {
			s.say("error: " + err.Error())
		}
	}
	if p.ForceUmount {
		script.DetachMounts(p.Mounts)
	}
	return inWords(left), err
}

// Alive is what there is of the package.
func (s scripts) Alive() (string, error) {
	left, err := s.Runner.Alive()
	return inWords(left), err
}

func inWords(left []script.Process) string {
	var words []string
	for _, p := range left {
		words = append(words, fmt.Sprintf("%s (pid %d)", p.Command, p.PID))
	}
	return strings.Join(words, ", ")
}
