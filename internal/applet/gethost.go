package applet

import (
	"context"
	"errors"
	"fmt"
	"net"

	"backtowork/internal/command"
)

var getHostIPUsage = `Usage: gethostip [-d] HOST

Prints the IPv4 address of HOST, or its IPv6 address if it has no other. -d is taken, and
changes nothing: in decimal it always is.

Example: gethostip localhost
`

var getHexIPUsage = `Usage: gethexip [-d] HOST

Prints the IPv4 address of HOST as 8 hexadecimal digits, in lower case. -d is taken, and
changes nothing, as in the original.

Example: gethexip 192.168.1.1
`

// getHostIP prints a host's address.
func getHostIP(ctx context.Context, env *command.Env) error {
	addr, err := hostArgument(ctx, env)
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, addr)
	return nil
}

// getHexIP prints a host's address in hexadecimal, in lower case: sites compare reservation keys with it.
func getHexIP(ctx context.Context, env *command.Env) error {
	addr, err := hostArgument(ctx, env)
	if err != nil {
		return err
	}
	v4 := addr.IP.To4()
	if v4 == nil {
		return fmt.Errorf("cannot find an IPv4 address of %q: it has only %v", env.Args[len(env.Args)-1], addr)
	}
	fmt.Fprintf(env.Stdout, "%x\n", []byte(v4))
	return nil
}

// hostArgument is the address of the one argument. Scripts of the original give -d too.
func hostArgument(ctx context.Context, env *command.Env) (*net.IPAddr, error) {
	_, args, err := command.Options(env.Args, "d", nil)
	if err != nil {
		return nil, err
	}
	if len(args) != 1 || args[0] == "" {
		return nil, command.UsageError("one host, please")
	}
	return resolve(ctx, args[0])
}

// resolve is the first IPv4 address of host, or the first IPv6 one where there is no other.
func resolve(ctx context.Context, host string) (*net.IPAddr, error) {
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("it has none")
	}
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) {
			err = errors.New(dns.Err)
		}
		return nil, fmt.Errorf("cannot find the address of %q: %w", host, err)
	}
	for _, a := range addrs {
		if a.IP.To4() != nil {
			return &a, nil
		}
	}
	return &addrs[0], nil
}
