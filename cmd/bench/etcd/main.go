// Etcd is the program with which the bench measures etcd. It uses etcd's own Go client. It is a
// module of its own, so that the toolkit's module needs neither etcd nor gRPC.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"backtowork/cmd/bench/drive"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

const usage = `Usage: etcd leader|any one|each ENDPOINT...

Does what the bench orders, on standard input, with the etcd at the endpoints:
through the one that leads, or through any of them; and renews leases over one
stream, or over one for each.
`

const (
	leaseTTL  = 600 // seconds: more than any measurement
	dialLimit = 15 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	args := os.Args[1:]
	if len(args) < 3 || args[0] != "leader" && args[0] != "any" || args[1] != "one" && args[1] != "each" {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	err := drive.Serve(ctx, os.Stdin, os.Stdout, func(ctx context.Context) (drive.Service, error) {
		return open(ctx, args[0] == "leader", args[1] == "each", args[2:])
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

// A service is a client of etcd.
type service struct {
	client  *clientv3.Client
	session *concurrency.Session
	all     []string // endpoints
	each    bool     // a stream for each lease
	leases  []int64
	streams []pb.Lease_LeaseKeepAliveClient
	cancel  context.CancelFunc // ends the streams
}

func connect(endpoints []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: dialLimit, Logger: zap.NewNop()})
}

func open(ctx context.Context, leader, each bool, endpoints []string) (*service, error) {
	s := &service{all: endpoints, each: each}
	var err error
	if s.client, err = connect(endpoints); err != nil {
		return nil, err
	}
	if leader {
		endpoint, err := s.Leader(ctx)
		if err != nil {
			return nil, errors.Join(err, s.client.Close())
		}
		s.client.SetEndpoints(endpoint)
	}
	return s, nil
}

// Acquire takes the lock by etcd's own recipe, with a session that it opens once.
func (s *service) Acquire(ctx context.Context, name string) (func(context.Context) error, error) {
	if s.session == nil {
		session, err := concurrency.NewSession(s.client, concurrency.WithTTL(leaseTTL))
		if err != nil {
			return nil, err
		}
		s.session = session
	}
	m := concurrency.NewMutex(s.session, "/"+name)
	return m.Unlock, m.Lock(ctx)
}

// Hold grants n leases, and opens the streams to renew them.
func (s *service) Hold(ctx context.Context, _ string, n int) error {
	for range n {
		l, err := s.client.Grant(ctx, leaseTTL)
		if err != nil {
			return err
		}
		s.leases = append(s.leases, int64(l.ID))
	}
	streams := 1
	if s.each {
		streams = n
	}
	api := pb.NewLeaseClient(s.client.ActiveConnection())
	ctx, s.cancel = context.WithCancel(ctx)
	for range streams {
		stream, err := api.LeaseKeepAlive(ctx)
		if err != nil {
			return err
		}
		s.streams = append(s.streams, stream)
	}
	return nil
}

// Renew keeps one request for each lease on its way all the time.
func (s *service) Renew(_ context.Context, until time.Time, answered func(int)) error {
	errs := make([]error, len(s.streams))
	var wg sync.WaitGroup
	for i, stream := range s.streams {
		leases := s.leases
		if s.each {
			leases = leases[i : i+1]
		}
		wg.Go(func() { errs[i] = renew(stream, leases, until, answered) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func renew(stream pb.Lease_LeaseKeepAliveClient, leases []int64, until time.Time, answered func(int)) error {
	for _, id := range leases {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			return err
		}
	}
	for due := len(leases); due > 0; {
		a, err := stream.Recv()
		if err != nil {
			return err
		}
		if a.TTL <= 0 {
			return fmt.Errorf("lease %x is lost", a.ID)
		}
		answered(1)
		if !time.Now().Before(until) {
			due--
			continue
		}
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: a.ID}); err != nil {
			return err
		}
	}
	return nil
}

// Drop revokes the leases.
func (s *service) Drop(ctx context.Context) error {
	if s.cancel != nil {
		s.cancel()
	}
	for _, id := range s.leases {
		if _, err := s.client.Revoke(ctx, clientv3.LeaseID(id)); err != nil {
			return err
		}
	}
	s.leases, s.streams = nil, nil
	return nil
}

// Leader is the endpoint of the member that leads.
func (s *service) Leader(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	for {
		for _, endpoint := range s.all {
			status, err := s.client.Status(ctx, endpoint)
			if err == nil && status.Leader == status.Header.MemberId {
				return endpoint, nil
			}
		}
		select {
		case <-time.After(100 * time.Millisecond): // it may just have started
		case <-ctx.Done():
			return "", errors.New("no member of etcd leads")
		}
	}
}

// Close ends the session, and the connections.
func (s *service) Close() error {
	var err error
	if s.session != nil {
		err = s.session.Close()
	}
	return errors.Join(err, s.client.Close())
}
