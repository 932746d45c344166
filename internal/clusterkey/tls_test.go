package clusterkey

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An end is what one end of a connection saw.
type end struct {
	err   error // of the handshake, or for a client of its first read
	peer  string
	proto string
}

// talk has a client with that configuration say hello to a server of key k.
func talk(t *testing.T, k *Key, client *tls.Config) (c, s end) {
	t.Helper()
	config, err := k.Server("raft", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	return talkTo(t, k, config, client)
}

func talkTo(t *testing.T, k *Key, server, client *tls.Config) (c, s end) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan end, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			done <- end{err: err}
			return
		}
		conn := tls.Server(raw, server)
		err = k.Handshake(t.Context(), conn)
		saw := look(conn, err)
		if err == nil {
			_, saw.err = io.WriteString(conn, "hello")
		}
		conn.Close()
		done <- saw
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	defer conn.Close()
	c = look(conn, conn.HandshakeContext(t.Context()))
	if c.err == nil {
		var text []byte
		if text, c.err = io.ReadAll(conn); c.err == nil && string(text) != "hello" {
			c.err = errors.New("heard no hello")
		}
	}
	conn.Close()
	return c, <-done
}

func look(conn *tls.Conn, err error) end {
	state := conn.ConnectionState()
	saw := end{err: err, proto: state.NegotiatedProtocol}
	if len(state.PeerCertificates) > 0 {
		saw.peer = state.PeerCertificates[0].Subject.CommonName
	}
	return saw
}

func client(t *testing.T, k *Key) *tls.Config {
	t.Helper()
	c, err := k.Client("client", "raft")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSameKey(t *testing.T) {
	t.Parallel()
	c, s := talk(t, key(t, secretA), client(t, key(t, secretA)))
	if want := (end{nil, Host, "raft"}); c != want {
		t.Errorf("client saw %+v, want %+v", c, want)
	}
	if want := (end{nil, "client", "raft"}); s != want {
		t.Errorf("server saw %+v, want %+v", s, want)
	}
}

func TestOtherKey(t *testing.T) {
	t.Parallel()
	a, b := key(t, secretA), key(t, secretB)
	c, s := talk(t, a, client(t, b))
	wantOther(t, "client", c.err, a, b)
	wantOther(t, "server", s.err, b, a)
	text := c.err.Error()
	if !strings.Contains(text, a.Fingerprint()) || !strings.Contains(text, b.Fingerprint()) {
		t.Errorf("error = %q, want both fingerprints in it", text)
	}
}

func wantOther(t *testing.T, who string, err error, theirs, ours *Key) {
	t.Helper()
	var other *OtherKeyError
	if !errors.As(err, &other) || other.Theirs != theirs.Fingerprint() || other.Ours != ours.Fingerprint() {
		t.Errorf("%s: error = %v, want theirs %s, ours %s", who, err, theirs.Fingerprint(), ours.Fingerprint())
	}
}

// TestOtherKeyThroughHTTP: the error is found behind the layers of net/http.
func TestOtherKeyThroughHTTP(t *testing.T) {
	t.Parallel()
	a, b := key(t, secretA), key(t, secretB)
	url, _ := serveHTTP(t, a)
	config, err := b.Client("client", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	resp, err := web.Get(url)
	if err == nil {
		resp.Body.Close()
	}
	wantOther(t, "http", err, a, b)
}

// TestHalfTrust: the client accepts the server, and is refused: it learns it from its first read.
func TestHalfTrust(t *testing.T) {
	t.Parallel()
	server, both := key(t, secretA), key(t, secretB, secretA)
	c, s := talk(t, server, client(t, both))
	wantOther(t, "server", s.err, both, server)
	if c.err == nil || !Refused(c.err) {
		t.Errorf("client: error = %v, want a refusal", c.err)
	}
}

// TestTalkInRotation: hosts that are at most one step apart talk, in both directions.
func TestTalkInRotation(t *testing.T) {
	t.Parallel()
	steps := []*Key{key(t, secretA), key(t, secretA, secretB), key(t, secretB, secretA), key(t, secretB)}
	for i, server := range steps {
		for j, dialer := range steps {
			c, s := talk(t, server, client(t, dialer))
			near := i-j <= 1 && j-i <= 1
			if ok := c.err == nil && s.err == nil; ok != near {
				t.Errorf("server at step %d, client at step %d: client %v, server %v; want ok %v", i, j, c.err, s.err, near)
			}
			if !near {
				wantOther(t, "server", s.err, dialer, server)
			}
		}
	}
}

// shows makes config show that certificate, and not its own.
func shows(config *tls.Config, cert tls.Certificate) {
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	k := key(t, secretA)
	none := client(t, k)
	none.GetClientCertificate = nil
	old := client(t, k)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	swapped := client(t, k) // a leaf of another key, with our authority behind it
	foreign, err := key(t, secretB).now.Load().issue("client")
	if err != nil {
		t.Fatal(err)
	}
	foreign.Certificate[1] = k.now.Load().cas[0].cert.Raw
	shows(swapped, foreign)
	liar := foreign // a leaf of one key, with the authority of another behind it
	liar.Certificate = [][]byte{foreign.Certificate[0], key(t, secretC).now.Load().cas[0].cert.Raw}
	lying := client(t, k)
	shows(lying, liar)
	wrongProto := client(t, k)
	wrongProto.NextProtos = []string{"gopher"}
	for name, config := range map[string]*tls.Config{
		"no certificate": none, "TLS 1.2": old, "a leaf of another key": swapped,
		"a lie": lying, "another protocol": wrongProto,
	} {
		c, s := talk(t, k, config)
		if s.err == nil || c.err == nil {
			t.Errorf("%s: client %v, server %v; want both refused", name, c.err, s.err)
		}
		if errors.As(s.err, new(*OtherKeyError)) {
			t.Errorf("%s: server %v, but no other key is shown", name, s.err)
		}
		if !Refused(c.err) {
			t.Errorf("%s: Refused(%v) = false", name, c.err)
		}
	}
}

// TestClientRefuses: a server whose certificate is not for servers, or that is a stranger.
func TestClientRefuses(t *testing.T) {
	t.Parallel()
	k := key(t, secretA)
	stranger, err := k.Server("raft")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := key(t, secretB).now.Load().issue("server")
	if err != nil {
		t.Fatal(err)
	}
	foreign.Certificate = foreign.Certificate[:1] // it does not say whose it is
	shows(stranger, foreign)
	c, s := talkTo(t, k, stranger, client(t, k))
	if c.err == nil || s.err == nil {
		t.Errorf("client %v, server %v; want both to fail", c.err, s.err)
	}
	var unknown x509.UnknownAuthorityError
	if !errors.As(c.err, &unknown) {
		t.Errorf("client: %v, want an unknown authority", c.err)
	}
}

// TestResumptionVerifies: were tickets ever allowed, a session that a key opened while it was
// trusted must not be resumed after.
func TestResumptionVerifies(t *testing.T) {
	t.Parallel()
	a, b := key(t, secretA), key(t, secretB)
	before, err := a.Server("raft")
	if err != nil {
		t.Fatal(err)
	}
	after, err := b.Server("raft")
	if err != nil {
		t.Fatal(err)
	}
	after.GetCertificate = before.GetCertificate
	var ticket [32]byte
	for _, c := range []*tls.Config{before, after} {
		c.SessionTicketsDisabled = false
		c.SetSessionTicketKeys([][32]byte{ticket})
	}
	dialer := client(t, a)
	dialer.SessionTicketsDisabled = false
	dialer.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if c, s := talkTo(t, a, before, dialer); c.err != nil || s.err != nil {
		t.Fatal(c.err, s.err)
	}
	if _, ok := dialer.ClientSessionCache.Get(dialer.ServerName); !ok {
		t.Fatal("no session to resume")
	}
	_, s := talkTo(t, b, after, dialer)
	wantOther(t, "server", s.err, a, b)
}

// serveHTTP answers "ok" by TLS of key k.
func serveHTTP(t *testing.T, k *Key) (url, port string) {
	t.Helper()
	config, err := k.Server("http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "https://127.0.0.1:" + port + "/", port
}

func TestCurl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	k := key(t, secretA, secretB)
	_, port := serveHTTP(t, k)
	ca, cert, private, err := k.WriteClient(filepath.Join(t.TempDir(), "new"), "curl")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{ca, cert, private} {
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", path, info, err)
		}
	}
	url := "https://" + Host + ":" + port + "/"
	args := []string{"-sS", "--max-time", "10", "--cacert", ca, "--connect-to", Host + ":" + port + ":127.0.0.1:" + port, url}
	if out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput(); err == nil {
		t.Errorf("curl without certificate = %q, want a refusal", out)
	}
	args = append(args, "--cert", cert, "--key", private)
	if out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput(); err != nil || string(out) != "ok" {
		t.Errorf("curl = %q, %v, want ok", out, err)
	}
}

func BenchmarkHandshake(b *testing.B) {
	k, err := newKey([][]byte{newSecret()})
	if err != nil {
		b.Fatal(err)
	}
	server, err := k.Server()
	if err != nil {
		b.Fatal(err)
	}
	client, err := k.Client("client")
	if err != nil {
		b.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "x")
			conn.Close()
		}
	}()
	for b.Loop() {
		conn, err := tls.Dial("tcp", l.Addr().String(), client)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}
