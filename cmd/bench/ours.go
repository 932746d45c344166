package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"backtowork/cmd/bench/drive"
	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// driveCommand is how the bench calls itself to be a program that uses the lock servers.
const driveCommand = "drive"

// quiet is the log of clients that are here only to be measured.
var quiet = slog.New(slog.DiscardHandler)

// beDriver does what the bench orders, as a program of the node at home.
func beDriver(ctx context.Context, home string) error {
	n := &node{name: "driver", home: home}
	return drive.Serve(ctx, os.Stdin, os.Stdout, func(context.Context) (drive.Service, error) { return n.service() })
}

// A service is a session of a node, with a client and files of its own.
type service struct {
	*lockclient.Session
	client *lockclient.Client
	files  *lockclient.Files
	held   []*lockclient.Held
}

// wish is for a lock that outlasts every measurement.
func wish(name string) lockclient.Wish {
	times := lock.Times{Timeout: 10 * time.Minute, Stop: 10 * time.Second}
	return lockclient.Wish{Name: name, Times: times, Pace: 10 * time.Second}
}

// Acquire takes a lock as back-to-work does.
func (s *service) Acquire(ctx context.Context, name string) (func(context.Context) error, error) {
	h, err := s.Session.Acquire(ctx, wish(name))
	if err != nil {
		return nil, err
	}
	return h.Release, nil
}

// Hold takes n locks.
func (s *service) Hold(ctx context.Context, name string, n int) error {
	for i := range n {
		h, err := s.Session.Acquire(ctx, wish(fmt.Sprintf("%s-%d", name, i)))
		if err != nil {
			return err
		}
		s.held = append(s.held, h)
	}
	return nil
}

// Renew renews all locks in one request after the other. The session itself does that when
// they are due, which is too seldom to be measured.
func (s *service) Renew(ctx context.Context, until time.Time, answered func(int)) error {
	if len(s.held) == 1 {
		h := s.held[0]
		for time.Now().Before(until) {
			if _, err := s.client.RenewOnce(ctx, s.Owner.Session, h.Name, h.Term); err != nil {
				return err
			}
			answered(1)
		}
		return nil
	}
	q := api.RenewRequest{Session: s.Owner.Session}
	for _, h := range s.held {
		q.Locks = append(q.Locks, api.Renewal{Name: h.Name, Term: h.Term})
	}
	leader, err := s.Leader(ctx)
	if err != nil {
		return err
	}
	post := s.poster(leader)
	for time.Now().Before(until) {
		var a api.RenewAnswer
		if err := post(ctx, "/v1/renew", q, &a); err != nil {
			return err
		}
		for _, refused := range a.Refused {
			if refused != "" {
				return errors.New(refused)
			}
		}
		answered(len(q.Locks))
	}
	return nil
}

// poster sends requests to the server that lock_servers calls entry, as the client does.
func (s *service) poster(entry string) func(ctx context.Context, path string, request, answer any) error {
	transport := &http.Transport{TLSClientConfig: s.client.TLS}
	return func(ctx context.Context, path string, request, answer any) error {
		body, err := json.Marshal(request)
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+entry+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, text)
		}
		return json.Unmarshal(text, answer)
	}
}

// Drop releases what is held.
func (s *service) Drop(ctx context.Context) error {
	for _, h := range s.held {
		if err := h.Release(ctx); err != nil {
			return err
		}
	}
	s.held = nil
	return nil
}

// Leader is the entry of the server that leads.
func (s *service) Leader(ctx context.Context) (string, error) {
	for _, server := range s.client.Servers {
		var status api.Status
		if s.client.Get(ctx, server.Entry, "/v1/server", &status) == nil && status.Open {
			return server.Entry, nil
		}
	}
	return "", errors.New("no lock server leads")
}

// Close ends the connections.
func (s *service) Close() error {
	s.client.Close()
	return s.files.Sync()
}

// service is a client of the servers as a command of the node would have it.
func (n *node) service() (*service, error) {
	client, err := n.client()
	if err != nil {
		return nil, err
	}
	files := lockclient.NewFiles(n.home + "/dex-lock/temp")
	return &service{Session: lockclient.NewSession(client, n.name, files), client: client, files: files}, nil
}
