package clusterkey

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// An OtherKeyError is the reason why a handshake failed with a member of another cluster, or
// with a host that was left out when the key was changed. It names both keys by fingerprint.
//
// A client's Handshake returns it, as itself: [errors.As] finds it there, and behind
// tls.Dialer, net/http and the like. A server's handshake returns it by [Key.Handshake] only:
// in TLS 1.3 a client looks at the server first, and hangs up without having shown anything.
type OtherKeyError struct {
	Theirs string // what the peer's certificate, or only its greeting, says that it is signed by
	Ours   string // what signs here
}

func (e *OtherKeyError) Error() string {
	return fmt.Sprintf("the other end has another cluster key: theirs is %s, ours %s", e.Theirs, e.Ours)
}

// Server is what a server speaks TLS with: TLS 1.3 only, and only with clients that have a
// certificate by a key that is trusted. protos are its ALPN protocols. Its own certificate names
// no node, since strangers see it. Handshakes are best done by [Key.Handshake].
func (k *Key) Server(protos ...string) (*tls.Config, error) {
	c, err := k.config(Host, x509.ExtKeyUsageClientAuth, protos)
	if err != nil {
		return nil, err
	}
	c.ClientAuth = tls.RequireAnyClientCert // verified by VerifyConnection
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if k.Greeting(hello, protos) == Foreign {
			return nil, errForeign
		}
		return nil, nil // the one that it came from
	}
	return c, nil
}

// Client is what a client speaks TLS with, under the name node. It verifies that the server has a
// certificate by a key that is trusted, whatever the server's name.
//
// In TLS 1.3 a client's handshake is over before the server has looked at the client's
// certificate. If the server refuses that, the client learns it from its first read: see
// [Refused].
func (k *Key) Client(node string, protos ...string) (*tls.Config, error) {
	c, err := k.config(node, x509.ExtKeyUsageServerAuth, protos)
	if err != nil {
		return nil, err
	}
	c.InsecureSkipVerify = true // verified by VerifyConnection, which can say whose key it is
	c.ServerName = k.now.Load().greeting()
	return c, nil
}

// config is what the two ends have in common. usage is what the peer's certificate must be for.
func (k *Key) config(node string, usage x509.ExtKeyUsage, protos []string) (*tls.Config, error) {
	leaf := k.leaf(node)
	if _, err := leaf(); err != nil {
		return nil, err
	}
	return &tls.Config{
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return leaf() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return leaf() },
		MinVersion:           tls.VersionTLS13,
		NextProtos:           slices.Clone(protos),
		Time:                 func() time.Time { return someTime },
		// No tickets: connections are kept, and a resumed session would save no more than
		// two signatures.
		SessionTicketsDisabled: true,
		VerifyConnection:       k.verifier(usage), // runs for every connection, resumed ones too
	}, nil
}

// leaf returns a function for the certificate of node by the key that signs at the time.
func (k *Key) leaf(node string) func() (*tls.Certificate, error) {
	var mu sync.Mutex
	var by *trust
	var cert tls.Certificate
	return func() (_ *tls.Certificate, err error) {
		mu.Lock()
		defer mu.Unlock()
		if t := k.now.Load(); by != t {
			if cert, err = t.issue(node); err != nil {
				return nil, err
			}
			by = t
		}
		c := cert
		return &c, nil
	}
}

// verifier checks that the peer's certificate is by a key that is trusted.
func (k *Key) verifier(usage x509.ExtKeyUsage) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the other end shows no certificate")
		}
		t := k.now.Load()
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots:       t.roots,
			CurrentTime: someTime,
			KeyUsages:   []x509.ExtKeyUsage{usage},
		})
		if err == nil {
			return nil
		}
		if theirs := signer(state.PeerCertificates); theirs != "" && !slices.Contains(t.fingerprints(), theirs) {
			return &OtherKeyError{Theirs: theirs, Ours: t.cas[0].fingerprint}
		}
		return fmt.Errorf("cannot verify the certificate of the other end: %w", err)
	}
}

// signer is the fingerprint of the authority in chain that has signed the first certificate of
// chain; "" if there is none.
func signer(chain []*x509.Certificate) string {
	for _, ca := range chain[1:] {
		public, ok := ca.PublicKey.(ed25519.PublicKey)
		if ok && chain[0].CheckSignatureFrom(ca) == nil {
			return fingerprint(public)
		}
	}
	return ""
}

// Handshake does the server's handshake of conn, whose configuration is by [Key.Server]. If it
// fails because the client has another key, the error is an [OtherKeyError], also when it was
// the client that hung up.
func (k *Key) Handshake(ctx context.Context, conn *tls.Conn) error {
	err := conn.HandshakeContext(ctx)
	if !Refused(err) {
		return err
	}
	_, theirs, ok := readGreeting(conn.ConnectionState().ServerName)
	if ok && theirs != "" && theirs != k.Fingerprint() {
		return &OtherKeyError{Theirs: theirs, Ours: k.Fingerprint()}
	}
	return err
}

// Refused says whether err, of a handshake or of the first read after it, means that the other
// end ended the conversation for a reason of TLS: it does not like our certificate, most often
// because it has another key; it says no more.
func Refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
