package manager

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/deadman"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// grantor is a lock server that grants everything, in term 7, and counts what is asked.
type grantor struct {
	mu    sync.Mutex
	asked []string
}

// ServeHTTP answers yes.
func (g *grantor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.asked = append(g.asked, r.URL.Path)
	g.mu.Unlock()
	switch r.URL.Path {
	case "/v1/acquire":
		var q api.AcquireRequest
		_ = json.NewDecoder(r.Body).Decode(&q)
		k := lock.Lock{Owner: q.Owner, Term: 7, Seq: 1, Last: q.Owner.Node, Previous: "h2", Times: q.Times}
		_ = json.NewEncoder(w).Encode(api.AcquireAnswer{Granted: true, State: api.State{Lock: k}})
	default:
		_, _ = io.WriteString(w, "{}")
	}
}

// sessionOf is a session at a server that is g.
func sessionOf(t *testing.T, g *grantor) *lockclient.Session {
	t.Helper()
	key, err := clusterkey.Create(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	served, err1 := key.Server("http/1.1")
	asks, err2 := key.Client("h1", "http/1.1")
	l, err3 := net.Listen("tcp", "127.0.0.1:0")
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	server := &http.Server{Handler: g, TLSConfig: served}
	go func() { _ = server.ServeTLS(l, "", "") }()
	c := lockclient.NewClient(lockclient.Config{
		Servers: []lockclient.Server{{Entry: "h1", Addr: l.Addr().String()}}, TLS: asks, ServerName: key.ServerName,
		Clock: lease.System(), Log: slog.New(slog.DiscardHandler), Host: "h1",
	})
	t.Cleanup(func() {
		c.Close()
		_ = server.Close()
	})
	return lockclient.NewSession(c, "h1", lockclient.NewFiles(t.TempDir()))
}

// linkTo is a link to a deadman that answers each message once it is let; what it heard comes first.
func linkTo(t *testing.T) (link *deadman.Link, heard chan string, let chan struct{}) {
	t.Helper()
	heard, let = make(chan string, 10), make(chan struct{})
	spawn := func() (io.ReadWriteCloser, func(), error) {
		ours, theirs := net.Pipe()
		go func() {
			in := bufio.NewScanner(theirs)
			for in.Scan() {
				heard <- in.Text()
				<-let
				fmt.Fprintln(theirs, "{}")
			}
		}()
		return ours, func() { _ = theirs.Close() }, nil
	}
	hello := deadman.Hello{PID: 1, Version: "test", Packages: []deadman.Origin{{Package: "p", Mark: "m"}}}
	link = deadman.NewLink(hello, spawn, func(line journal.Line) { t.Log(line.Words()) }, func() {})
	opened := make(chan error, 1)
	go func() { opened <- link.Open() }()
	<-heard
	let <- struct{}{}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		link.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return link, heard, let
}

// A lock is had only once the deadman has said that it knows of it (rule 17): until then nothing of the
// package may be begun. What the deadman is told is the lock that was had.
func TestAcquireWaitsForTheDeadman(t *testing.T) {
	t.Parallel()
	session := sessionOf(t, new(grantor))
	link, heard, let := linkTo(t)
	<-heard // free, said after the hello
	let <- struct{}{}
	l := &Locker{Session: session, Link: link}
	had := make(chan error, 1)
	go func() {
		got, err := l.Acquire(t.Context(), "p", lock.Times{Timeout: time.Minute, Stop: time.Second}, time.Second, 0)
		if err == nil {
			if term, previous := got.Terms(); term != 7 || previous != "h2" {
				err = fmt.Errorf("it is of term %d, after %q", term, previous)
			}
		}
		had <- err
	}()
	var text string
	select {
	case text = <-heard:
	case err := <-had:
		t.Fatalf("the lock is had, and the deadman was told nothing: %v", err)
	}
	var said struct{ Words []deadman.Word }
	if err := json.Unmarshal([]byte(text), &said); err != nil || len(said.Words) != 1 {
		t.Fatalf("the deadman was told %+v, %v", said, err)
	}
	if w := said.Words[0]; w.Phase != deadman.Held || w.Term != 7 || w.Session != session.Owner.Session || w.Stop != time.Second {
		t.Errorf("the deadman was told %+v", w)
	}
	select {
	case err := <-had:
		t.Fatalf("the lock is had before the deadman has answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	let <- struct{}{}
	if err := <-had; err != nil {
		t.Error(err)
	}
}
