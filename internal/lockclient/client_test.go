package lockclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
)

func TestReason(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &url.Error{Op: "Post", URL: "https://6831/v1/renew", Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	for _, row := range []struct {
		err  error
		want string
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused: no lock server runs there"},
		{dial(os.ErrDeadlineExceeded), "no answer"},
		{dial(&net.DNSError{Err: "no such host", Name: "h9", IsNotFound: true}), "the name does not resolve"},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no route to it"},
		{fmt.Errorf("wrapped: %w", context.DeadlineExceeded), "no answer"},
		{&url.Error{Op: "Get", URL: "https://6831/v1/server", Err: &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}}, "it has another cluster key"},
		{errors.New("the leader h2 does not answer: remote error: tls: bad certificate"), "the leader h2 does not answer: remote error: tls: bad certificate"},
		{errors.New("it waits for h2 to be reached"), "it waits for h2 to be reached"},
	} {
		if got := Reason(row.err); got != row.want {
			t.Errorf("Reason(%v) = %q, want %q", row.err, got, row.want)
		}
	}
}
