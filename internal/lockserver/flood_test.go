package lockserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A tcpNet is lock servers on ports of this host.
type tcpNet struct {
	key       *clusterkey.Key
	listeners map[string]net.Listener
	servers   map[string]*Server
	dialer    net.Dialer
}

type tcpHost struct {
	*tcpNet
	entry string
}

// Listen is where the host listens already.
func (h tcpHost) Listen() (net.Listener, error) { return h.listeners[h.entry], nil }

// Dial connects to another host.
func (h tcpHost) Dial(ctx context.Context, entry string) (net.Conn, error) {
	return h.dialer.DialContext(ctx, "tcp", h.addr(entry))
}

func (n *tcpNet) addr(entry string) string { return n.listeners[entry].Addr().String() }

func newTCPNet(t testing.TB) *tcpNet {
	t.Helper()
	key, err := clusterkey.Create(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return &tcpNet{key: key, listeners: map[string]net.Listener{}, servers: map[string]*Server{}}
}

// run runs the servers of list, those in absent left out, until the test ends.
func (n *tcpNet) run(t testing.TB, list []string, absent ...string) {
	t.Helper()
	for _, entry := range list {
		var err error
		if n.listeners[entry], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	for _, entry := range list {
		if slices.Contains(absent, entry) {
			_ = n.listeners[entry].Close()
			continue
		}
		dir := memoryDir(t)
		s, err := Open(Config{
			Entry: entry, List: list, Private: len(list) == 1, Dir: filepath.Join(dir, "state"), Mark: filepath.Join(dir, "mark"), Version: "test",
			Key: n.key, Network: tcpHost{n, entry}, Clock: lease.System(), Log: slog.New(slog.DiscardHandler),
			Fatal: func(err error) { t.Error(err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		n.servers[entry] = s
		wg.Go(func() { _ = s.Run(ctx) }) // ends by ctx
	}
}

// leader waits for an open leader.
func (n *tcpNet) leader(t testing.TB) (leader string) {
	t.Helper()
	poll(t, 30*time.Second, "a leader", func() bool {
		for entry, s := range n.servers {
			if s.status().Open {
				leader = entry
			}
		}
		return leader != ""
	})
	return leader
}

// poll looks until ok.
func poll(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// newClient is a client of all servers, with connections of its own.
func (n *tcpNet) newClient(t *testing.T) *http.Client {
	t.Helper()
	config, err := n.key.Client("x", protoHTTP)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		entry, err := api.EntryOf(addr)
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", n.addr(entry))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: requestLimit}
}

// A floodHolder is the holder of one lock, and whom it asks first.
type floodHolder struct {
	*http.Client
	servers []string
}

// ask asks the servers in turn until one answers, as clients of ours do.
func (h *floodHolder) ask(path string, request, answer any) error {
	const patience = floodTimes / 2
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		err := askOne(h.Client, h.servers[0], path, request, answer)
		if err == nil || time.Now().After(end) {
			return err
		}
		h.servers = append(h.servers[1:], h.servers[0])
	}
}

func askOne(client *http.Client, entry, path string, request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	response, err := client.Post(api.URL(entry, path), "application/json", bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err = io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s (%v)", response.Status, b, err)
	}
	return json.Unmarshal(b, answer)
}

// A floodTest is holders that renew while something else goes on.
type floodTest struct {
	*testing.T
	net     *tcpNet
	leader  string
	holders []*floodHolder
}

const (
	floodHolders = 100 / slowdown
	floodPace    = 200 * time.Millisecond // of each holder
	floodTimes   = time.Minute            // the length of each lease
)

func session(i int) string { return fmt.Sprintf("session-%06d", i) }

func newFloodTest(t *testing.T) *floodTest {
	f := &floodTest{T: t, net: newTCPNet(t)}
	f.net.run(t, three)
	f.leader = f.net.leader(t)
	for i := range floodHolders {
		h := &floodHolder{f.net.newClient(t), []string{f.leader}}
		for _, entry := range three {
			if entry != f.leader {
				h.servers = append(h.servers, entry)
			}
		}
		f.holders = append(f.holders, h)
		q := api.AcquireRequest{
			Name: fmt.Sprint("p", i), Owner: lock.Owner{Node: "x", Session: session(i)}, Times: lock.Times{Timeout: floodTimes},
		}
		var a api.AcquireAnswer
		if err := askOne(h.Client, f.leader, "/v1/acquire", q, &a); err != nil || !a.Granted {
			t.Fatalf("acquire: %+v, %v", a, err)
		}
	}
	return f
}

// renew has all holders renew for so long, and returns how long the renewals took, in order.
func (f *floodTest) renew(span time.Duration) (took []time.Duration) {
	f.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.After(span)
	over := make(chan struct{})
	for i, h := range f.holders {
		wg.Go(func() {
			q := api.RenewRequest{Session: session(i), Locks: []api.Renewal{{Name: fmt.Sprint("p", i), Term: 1}}}
			tick := time.NewTicker(floodPace)
			defer tick.Stop()
			for {
				begin := time.Now()
				var a api.RenewAnswer
				err := h.ask("/v1/renew", q, &a)
				if err != nil || !slices.Equal(a.Refused, []string{""}) {
					f.Errorf("a renewal failed: %v, %v", a, err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(begin))
				mu.Unlock()
				select {
				case <-tick.C:
				case <-over:
					return
				}
			}
		})
	}
	<-end
	close(over)
	wg.Wait()
	slices.Sort(took)
	return took
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))]
}

// during has the holders renew for span while noise is begun so often a second. It fails the test if renewals
// take much longer than without noise, and returns how often noise was begun.
func (f *floodTest) during(what string, span time.Duration, aSecond int, noise func(ctx context.Context, from net.IP)) int {
	f.Helper()
	calm := f.renew(3 * time.Second)
	ctx, cancel := context.WithCancel(f.Context())
	var wg sync.WaitGroup
	var made atomic.Int64
	wg.Go(func() {
		tick := time.NewTicker(time.Second * slowdown / time.Duration(aSecond))
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			made.Add(1)
			wg.Go(func() { noise(ctx, net.IPv4(127, 0, 0, 9)) })
		}
	})
	flooded := f.renew(span)
	f.knock()
	cancel()
	wg.Wait()
	was, is := quantile(calm, 0.99), quantile(flooded, 0.99)
	f.Logf("%s, %d a second: p50 %v, p99 %v of %d renewals; without: %v, %v",
		what, int(float64(made.Load())/span.Seconds()), quantile(flooded, 0.5), is, len(flooded), quantile(calm, 0.5), was)
	// A holder with a lease of 10 s renews every 3. A machine with much else to do is slow without
	// a flood, and shows less.
	if sane := max(3*time.Second, 5*was); is > sane {
		f.Errorf("%s: the renewals' p99 is %v, want at most %v (%v without)", what, is, sane, was)
	}
	return int(made.Load())
}

// knock has a new client come in, from the flood's address and from another.
func (f *floodTest) knock() {
	f.Helper()
	for _, last := range []byte{9, 1} {
		config, err := f.net.key.Client("y", protoHTTP)
		if err != nil {
			f.Fatal(err)
		}
		d := tls.Dialer{NetDialer: from(net.IPv4(127, 0, 0, last)), Config: config}
		ctx, cancel := context.WithTimeout(f.Context(), handshakeLimit)
		conn, err := d.DialContext(ctx, "tcp", f.net.addr(f.leader))
		cancel()
		if err != nil {
			f.Errorf("a new client from 127.0.0.%d: %v", last, err)
			continue
		}
		_ = conn.Close()
	}
}

func from(ip net.IP) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}, Timeout: 5 * time.Second}
}

// Connections without a certificate of the cluster, 10,000 a minute, do not disturb renewals:
// neither those that make the server do the public-key work, nor those that say nothing.
func TestFloodOfStrangers(t *testing.T) {
	f := newFloodTest(t)
	greeting := greetingOf(t, &tls.Config{InsecureSkipVerify: true, ServerName: clusterkey.Host, NextProtos: []string{protoHTTP}})
	var answered atomic.Int64
	made := f.during("without a certificate", 10*time.Second, 167, func(ctx context.Context, ip net.IP) {
		conn, err := from(ip).DialContext(ctx, "tcp", f.net.addr(f.leader))
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(handshakeLimit)) // or else what follows fails
		if _, err := conn.Write(greeting); err != nil {
			return
		}
		if _, err := io.ReadFull(conn, make([]byte, 1000)); err == nil { // its certificate and signature
			answered.Add(1)
		}
	})
	if int(answered.Load()) < made/2 {
		t.Errorf("%d of %d had the public-key work done, want most", answered.Load(), made)
	}
}

// greetingOf is the first message of a client of TLS: the server's work for it costs the client
// nothing if it sends the same each time.
func greetingOf(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() { _ = tls.Client(near, config).HandshakeContext(t.Context()) }() // fails when far is closed
	defer far.Close()
	b := make([]byte, 1<<14)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func TestFloodOfSilence(t *testing.T) {
	f := newFloodTest(t)
	var over atomic.Int64
	made := f.during("half-open", 5*time.Second, 500, func(ctx context.Context, ip net.IP) {
		conn, err := from(ip).DialContext(ctx, "tcp", f.net.addr(f.leader))
		if err != nil {
			return
		}
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			over.Add(1)
		}
		_ = conn.Close()
	})
	if int(over.Load()) < made/2 {
		t.Errorf("the server ended %d of %d connections that said nothing, want most", over.Load(), made)
	}
}
