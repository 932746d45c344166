package lockserver

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/clusterkey"
	"backtowork/internal/sim/memnet"
)

// Whoever opens connections and says nothing has few of them, and keeps nobody else out.
func TestLobby(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		dial := func(host string) net.Conn {
			conn, err := c.net.On(host).Dial(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		comesIn := func(host string) {
			t.Helper()
			if a, err := c.ask(host, "a", "GET", "/v1/server", ""); err != nil || a.status != 200 {
				t.Errorf("%s does not come in: %+v, %v", host, a, err)
			}
		}
		curl := <-c.shake("mad", clusterkey.Host)
		defer curl.Close()
		time.Sleep(2 * memnet.Delay) // now the server has seen curl's certificate
		begun := c.shake("mad", "")
		for range 10 * lobbyEach {
			defer dial("mad").Close()
		}
		time.Sleep(time.Millisecond)
		if got := c.net.Conns("a", "mad"); got != lobbyEach+2 {
			t.Errorf("one host that says nothing has %d connections, want %d", got, lobbyEach)
		}
		if conn := <-begun; conn == nil {
			t.Error("a member whose handshake was under way had to go")
		} else {
			conn.Close()
		}
		comesIn("x")
		comesIn("mad") // its oldest goes for this one
		for i := range 3 * lobbySeats {
			defer dial(fmt.Sprint("many-", i)).Close()
		}
		time.Sleep(time.Millisecond)
		if many, mad := c.net.Conns("a", "many-"), c.net.Conns("a", "mad"); many+mad != lobbySeats+1 || mad > 2 {
			t.Errorf("hosts that say nothing have %d connections and %d, want %d in all, and the more of one host gone first", many, mad, lobbySeats)
		}
		comesIn("x")
		time.Sleep(handshakeLimit)
		if got := c.net.Conns("a", "m"); got != 0 {
			t.Errorf("after the limit %d connections are left that asked nothing", got)
		}
	})
}

// shake begins a handshake with server a, for that name or else the usual one, of which the
// server has heard the greeting. What comes of it is nil if it failed.
func (c *testCluster) shake(host, name string) <-chan *tls.Conn {
	raw, err := c.net.On(host).Dial(c.t.Context(), "a")
	if err != nil {
		c.t.Fatal(err)
	}
	config, err := c.key.Client(host, protoHTTP)
	if err != nil {
		c.t.Fatal(err)
	}
	if name != "" {
		config.ServerName = name
	}
	conn, done := tls.Client(raw, config), make(chan *tls.Conn, 1)
	go func() {
		if conn.Handshake() != nil {
			conn = nil
		}
		done <- conn
	}()
	synctest.Wait()
	time.Sleep(memnet.Delay)
	synctest.Wait()
	return done
}

// Handshakes of those who do not show that they have the key are few a second, and so is the
// public-key work for them; members do not wait for that.
func TestStrangersAreFew(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		// served is how many of ten times fifty handshakes from host came as far as to see the
		// server's certificate.
		served := func(host string) int {
			config := &tls.Config{InsecureSkipVerify: true, ServerName: clusterkey.Host, NextProtos: []string{protoHTTP}}
			var served atomic.Int32
			for range 10 {
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						raw, err := c.net.On(host).Dial(t.Context(), "a")
						if err != nil {
							t.Error(err)
							return
						}
						conn := tls.Client(raw, config)
						if conn.HandshakeContext(t.Context()) == nil {
							served.Add(1)
						}
						conn.Close()
					})
				}
				wg.Wait()
				time.Sleep(memnet.Delay) // so that the server has seen the end of each
			}
			return int(served.Load())
		}
		begin := time.Now()
		within := func(got, aSecond int) bool {
			most := float64(aSecond) * (burstSeconds + time.Since(begin).Seconds())
			return float64(got) > 0.95*most && float64(got) <= most
		}
		total := served("mad")
		if !within(total, strangersEach) {
			t.Errorf("%d handshakes of one stranger within %v", total, time.Since(begin))
		}
		for range 5 {
			if a, err := c.ask("mad", "a", "GET", "/v1/server", ""); err != nil || a.status != 200 {
				t.Errorf("a member on the same host: %+v, %v", a, err)
			}
		}
		for _, host := range []string{"other", "third"} {
			total += served(host)
		}
		if !within(total, strangersAll) {
			t.Errorf("%d handshakes of all strangers within %v", total, time.Since(begin))
		}
	})
}
