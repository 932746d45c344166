package lockserver

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/sim/memnet"
)

// hungUp is after how long the server closes conn, to which the client goes on sending a byte of
// slowly every second.
func hungUp(conn net.Conn, slowly string) time.Duration {
	defer conn.Close()
	begin, over := time.Now(), make(chan bool)
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, conn)
	}()
	for i := range slowly {
		select {
		case <-over:
			return time.Since(begin)
		case <-time.After(time.Second):
		}
		_, _ = conn.Write([]byte{slowly[i]})
	}
	<-over
	return time.Since(begin)
}

// Who is slow to say what it wants is not waited for.
func TestSlowToAsk(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		dial := func(string) net.Conn {
			raw, err := c.net.On("x").Dial(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		member := func(proto string) net.Conn { // a client with a certificate
			config, err := c.key.Client("x", proto)
			if err != nil {
				t.Fatal(err)
			}
			conn := tls.Client(dial(""), config)
			if err := conn.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			return conn
		}
		long := strings.Repeat("x", 60)
		header := "POST /v1/renew HTTP/1.1\r\nHost: btw\r\nContent-Length: 60\r\n"
		begun := func(text string) net.Conn {
			conn := member(protoHTTP)
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			return conn
		}
		for name, slow := range map[string]struct {
			open func(string) net.Conn
			with string
			text string
			most time.Duration
		}{
			"nothing at all":     {dial, "", "", handshakeLimit},
			"handshake":          {dial, "", "\x16\x03\x01\x02\x00" + long, handshakeLimit},
			"nothing after it":   {member, protoHTTP, "", handshakeLimit},
			"header":             {member, protoHTTP, header, handshakeLimit},
			"body":               {begun, header + "\r\n", long, transmission},
			"no body":            {begun, header + "\r\n", "", transmission},
			"hello of a server":  {member, protoRaft, long, handshakeLimit},
			"no hello":           {member, protoAsk, "", handshakeLimit},
			"after an answer":    {begun, "GET /v1/server HTTP/1.1\r\nHost: btw\r\n\r\n", "", 2 * time.Minute},
			"in the next header": {begun, "GET /v1/server HTTP/1.1\r\nHost: btw\r\n\r\n", header, handshakeLimit + 5*time.Second},
		} {
			if took := hungUp(slow.open(slow.with), slow.text); took > slow.most+time.Second {
				t.Errorf("%s: the server hung up after %v, want at most %v", name, took, slow.most)
			}
		}
	})
}

// Who is slow to read an answer is not waited for; a long watch is no such thing.
func TestSlowToRead(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		s := c.hosts[c.leader()]
		for i := range 1000 {
			s.machine.mu.Lock()
			_, _, err := s.machine.table.Apply(lock.Entry{
				Version: lock.Version, Kind: lock.Acquire, Name: fmt.Sprint(i), Owner: lock.Owner{Node: "x", Session: "0123456789"},
			}, 0)
			s.machine.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
		web, queue := s.newHTTP(t.Context()), newQueue(memnet.Addr("a"))
		served := make(chan error, 1)
		go func() { served <- web.Serve(queue) }()
		for path, want := range map[string]time.Duration{"/v1/locks": transmission, "/v1/watch/p?wait=60": maxWatch + transmission} {
			near, far := net.Pipe() // nothing is written that is not read
			queue.put(far)
			if _, err := io.WriteString(near, "GET "+path+" HTTP/1.1\r\nHost: btw\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(want + time.Second)
			if b, err := io.ReadAll(near); err != nil || len(b) > 0 {
				t.Errorf("%s: after %v there are %d bytes of an answer (%v)", path, want, len(b), err)
			}
			near.Close()
		}
		near, far := net.Pipe()
		queue.put(far)
		if _, err := io.WriteString(near, "GET /v1/watch/p?wait=60 HTTP/1.1\r\nHost: btw\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(near); err != nil || !strings.Contains(string(b), " 200 OK\r\n") {
			t.Errorf("a watch: %q, %v", b, err)
		}
		_ = web.Close()
		<-served
	})
}
