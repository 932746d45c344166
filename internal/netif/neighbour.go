package netif

import (
	"context"
	"errors"
	"net"
	"time"
)

// pace is the time between two announcements.
const pace = time.Second

// Announce tells the neighbours on device, count times, a second apart, that ip is here.
func Announce(ctx context.Context, device string, ip net.IP, count int) error {
	c, err := Open(device, ip)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range count {
		if i > 0 {
			select {
			case <-time.After(pace):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := announceAllWays(c, ip); err != nil {
			return err
		}
	}
	return nil
}

func announceAllWays(c *Conn, ip net.IP) error {
	if ip.To4() == nil {
		return c.Announce(false)
	}
	return errors.Join(c.Announce(false), c.Announce(true))
}

// probes is how often Probe asks: one lost packet must not make an address look free.
const probes = 3

// Probe asks who has ip, without a trace in the neighbours' caches. It returns the MAC of
// the first other host that answers within wait, or nil. (The kernel of a host that has the
// address answers at once; wait is for the network.)
func Probe(ctx context.Context, device string, ip net.IP, wait time.Duration) (net.HardwareAddr, error) {
	c, err := Open(device, ip)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for range probes {
		if err := c.Ask(nil, nil); err != nil {
			return nil, err
		}
		turn, cancel := context.WithTimeout(ctx, wait/probes)
		a, err := c.Answer(turn)
		cancel()
		switch {
		case err == nil:
			return a.MAC, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, err
		}
	}
	return nil, nil
}
