package applet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/netif"
)

var arpingUsage = `Usage: arping [-DUAfqb] [-c COUNT] [-w SECONDS] [-i SECONDS] [-I DEVICE] [-s SOURCE] ADDRESS

Asks the neighbours who has ADDRESS, every second, and prints the answers. With an
IPv6 address it does the same by neighbour discovery.
  -D  is it in use? exit status 0 when nobody answers, 1 when somebody does
  -U  tell the neighbours that it is here, by a question about itself
  -A  the same, by a reply
  -c  stop after COUNT packets    -w  stop after SECONDS    -i  SECONDS between two
  -I  the device, else the one that packets to ADDRESS leave by
  -s  ask from SOURCE, one of this host's addresses
  -f  stop at the first answer    -q  print nothing    -b  ask everybody, always
Where nobody can be asked or told (loopback, tunnels), -D, -U and -A are done at once with -q, and fail without.
Exit status 0 when COUNT answers came (with -f, or without COUNT: any), 1 when not, 2 on errors.

Example: arping -D -c 2 -w 2 -I eth0 192.168.1.10
`

// arpingOptions is what was asked for.
type arpingOptions struct {
	detect, tell, byReply  bool // -D; -U or -A; -A
	first, quiet, toAll    bool // -f -q -b
	count                  int  // 0: no end
	deadline, interval     time.Duration
	device, source, target string
}

// arping asks and tells who has an address. Every error is status 2, because with -D
// status 1 says that the address is in use.
func arping(ctx context.Context, env *command.Env) error {
	o, err := parseArping(env.Args)
	if err != nil {
		return err
	}
	status, err := o.run(ctx, env)
	if errors.Is(err, syscall.EPERM) {
		err = command.WithHint(err, "run it as root, or with CAP_NET_RAW")
	}
	if err != nil {
		return command.Failed(env, 2, err)
	}
	if status != 0 {
		return command.Status(status)
	}
	return nil
}

func parseArping(args []string) (*arpingOptions, error) {
	opts, operands, err := command.Options(args, "DUAfqbc:w:i:I:s:", nil)
	if err != nil {
		return nil, err
	}
	o := &arpingOptions{interval: time.Second}
	for _, given := range opts {
		if err := o.set(given); err != nil {
			return nil, err
		}
	}
	if len(operands) != 1 || operands[0] == "" {
		return nil, command.UsageError("one address, please")
	}
	o.target = operands[0]
	if o.detect {
		o.tell = false
	}
	return o, nil
}

func (o *arpingOptions) set(given command.Option) (err error) {
	switch given.Letter {
	case 'D':
		o.detect = true
	case 'U':
		o.tell = true
	case 'A':
		o.tell, o.byReply = true, true
	case 'f':
		o.first = true
	case 'q':
		o.quiet = true
	case 'b':
		o.toAll = true
	case 'I':
		o.device = given.Value
	case 's':
		o.source = given.Value
	case 'w':
		o.deadline, err = positiveSeconds(given)
	case 'i':
		o.interval, err = positiveSeconds(given)
	case 'c':
		if o.count, err = strconv.Atoi(given.Value); err != nil || o.count < 1 {
			err = command.Usagef("option -c: not a count: %q", given.Value)
		}
	}
	return err
}

func positiveSeconds(o command.Option) (time.Duration, error) {
	d, err := command.Seconds(o.Value)
	if err != nil || d <= 0 {
		return 0, command.Usagef("option -%c: not a number of seconds: %q", o.Letter, o.Value)
	}
	return d, nil
}

// run returns the exit status.
func (o *arpingOptions) run(ctx context.Context, env *command.Env) (int, error) {
	target, err := resolve(ctx, o.target)
	if err != nil {
		return 0, err
	}
	device, source, err := o.way(ctx, target)
	if err != nil {
		return 0, err
	}
	conn, err := netif.Open(device, target.IP)
	if errors.Is(err, netif.ErrNoNeighbours) && o.quiet && (o.detect || o.tell) {
		return 0, nil // as others' arping; the original's modules count on it
	}
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	r := &arpingRun{arpingOptions: o, conn: conn, target: target.IP, from: source, out: env.Stdout}
	if o.quiet {
		r.out = io.Discard
	}
	if source == nil {
		source = net.IPv4zero
		if target.IP.To4() == nil {
			source = net.IPv6unspecified
		}
	}
	fmt.Fprintf(r.out, "ARPING %v from %v %s\n", target.IP, source, device)
	if err := r.loop(ctx); err != nil {
		return 0, err
	}
	fmt.Fprintf(r.out, "Sent %d probes (%d broadcast(s))\nReceived %d response(s)\n", r.sent, r.broadcasts, r.received)
	return r.status(ctx)
}

// way returns the device to use, and the address to ask from. With -D that address is nil, because
// none may be shown, unless -s gives one; with -U and -A it is the target itself.
func (o *arpingOptions) way(ctx context.Context, target *net.IPAddr) (device string, source net.IP, err error) {
	if o.source != "" {
		if source, err = o.ownSource(ctx, target.IP); err != nil {
			return "", nil, err
		}
	}
	device = o.device
	if device == "" {
		device = target.Zone
	}
	if o.tell {
		has, err := netif.DeviceWith(target.IP)
		if err == nil && has == "" {
			err = fmt.Errorf("cannot tell that %v is here: it is not an address of this host", target.IP)
		}
		if device == "" {
			device = has
		}
		return device, target.IP, err
	}
	if device != "" && (source != nil || o.detect) {
		return device, source, nil
	}
	device, usual, err := netif.Route(target.IP, device)
	if source == nil && !o.detect {
		source = usual
	}
	return device, source, err
}

// ownSource is the address of -s; nil for 0.0.0.0 and ::.
func (o *arpingOptions) ownSource(ctx context.Context, target net.IP) (net.IP, error) {
	source, err := resolve(ctx, o.source)
	switch {
	case err != nil:
		return nil, err
	case (source.IP.To4() == nil) != (target.To4() == nil):
		return nil, command.Usagef("%v and %v are not of one kind", source, target)
	case source.IP.IsUnspecified():
		return nil, nil
	}
	local, err := netif.LocalAddress(source.IP)
	if err == nil && !local {
		err = fmt.Errorf("cannot ask from %v: it is not an address of this host", source)
	}
	return source.IP, err
}

// An arpingRun is one in progress.
type arpingRun struct {
	*arpingOptions
	conn                       *netif.Conn
	target, from               net.IP
	out                        io.Writer
	peer                       net.HardwareAddr // who answered; nil yet
	sent, broadcasts, received int
	sentAt                     time.Time
}

// loop sends and listens until count, the deadline, or a signal ends it.
func (r *arpingRun) loop(ctx context.Context) error {
	if r.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.deadline)
		defer cancel()
	}
	for ctx.Err() == nil && (r.count == 0 || r.sent < r.count) {
		if err := r.send(); err != nil {
			return err
		}
		if r.tell && r.sent == r.count {
			return nil
		}
		if done, err := r.listen(ctx); done || err != nil {
			return err
		}
	}
	return nil
}

func (r *arpingRun) send() error {
	r.sent, r.sentAt = r.sent+1, time.Now()
	if r.peer == nil {
		r.broadcasts++
	}
	if r.tell {
		return r.conn.Announce(r.byReply)
	}
	return r.conn.Ask(r.from, r.peer)
}

// listen prints the answers that come before it is time to send again, and reports
// whether there is no more to wait for.
func (r *arpingRun) listen(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.interval)
	defer cancel()
	if r.tell {
		<-ctx.Done()
		return false, nil
	}
	for {
		a, err := r.conn.Answer(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return false, nil
		case err != nil:
			return false, err
		}
		r.print(a)
		if !r.toAll && !r.detect {
			r.peer = a.MAC
		}
		if r.received++; r.first || r.detect || r.received == r.count {
			return true, nil
		}
	}
}

func (r *arpingRun) print(a netif.Answer) {
	cast, kind := "Unicast", "reply"
	if a.Broadcast {
		cast = "Broadcast"
	}
	if a.Request {
		kind = "request"
	}
	took := time.Since(r.sentAt).Microseconds()
	fmt.Fprintf(r.out, "%s %s from %v [%s]  %d.%03dms\n", cast, kind, r.target, strings.ToUpper(a.MAC.String()), took/1000, took%1000)
}

// status returns the exit status. An interrupted -D has not shown that the address is free, so its
// status is not 0.
func (r *arpingRun) status(ctx context.Context) (int, error) {
	switch {
	case r.detect && r.received > 0:
		return 1, nil
	case r.detect && ctx.Err() != nil:
		return 0, fmt.Errorf("cannot say whether %v is in use: interrupted", r.target)
	case r.detect, r.tell, r.received > 0 && (r.first || r.received >= r.count):
		return 0, nil
	}
	return 1, nil
}
