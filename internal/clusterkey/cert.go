package clusterkey

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Host is the DNS name in every certificate. It names the cluster's servers as a kind, not one
// host: who has the key is a member.
const Host = "btw"

// The three times of all certificates. A certificate is checked as if it were someTime now, so that
// no clock has a say.
var (
	notBefore = time.Unix(0, 0).UTC()
	someTime  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// An authority is the certificate authority that a secret stands for.
type authority struct {
	key         ed25519.PrivateKey
	cert        *x509.Certificate
	fingerprint string
}

// newAuthority derives the authority of secret. The same secret always gives the same certificate, byte
// for byte. How it is made must not change, or hosts with different versions of the program could not
// talk with each other.
func newAuthority(secret []byte) (authority, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, "back-to-work cluster authority 1", ed25519.SeedSize)
	if err != nil {
		return authority{}, fmt.Errorf("cannot derive the cluster's authority: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	public := key.Public().(ed25519.PublicKey)
	id := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "back-to-work cluster"},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          id[:20], // given, since the library's own way has changed before
	}
	der, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		return authority{}, fmt.Errorf("cannot make the cluster's authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return authority{}, fmt.Errorf("cannot make the cluster's authority: %w", err)
	}
	return authority{key, cert, fingerprint(public)}, nil
}

// fingerprint is the short name of the authority with that public key.
func fingerprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return fmt.Sprintf("%x-%x-%x-%x", sum[0:2], sum[2:4], sum[4:6], sum[6:8])
}

// fingerprintSize is the length of a fingerprint.
const fingerprintSize = 19

// isFingerprint says whether s, which comes from a stranger, has the form of a fingerprint.
func isFingerprint(s string) bool {
	if len(s) != fingerprintSize {
		return false
	}
	for i := range len(s) {
		if (i%5 == 4) != (s[i] == '-') || !strings.ContainsRune("0123456789abcdef-", rune(s[i])) {
			return false
		}
	}
	return true
}

// issue makes a certificate for node and a fresh key. Its chain carries the authority too, so
// that a peer with another key can say whose it is.
func (t *trust) issue(node string) (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot make a key for %q: %w", node, err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: node},
		DNSNames:              []string{Host},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	ca := t.cas[0]
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot make a certificate for %q: %w", node, err)
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: private}, nil
}

// WriteClient writes a certificate for a client that is not ours, such as curl, into dir: the
// authorities to trust, the certificate, and its key, as three PEM files for the owner only. They
// are good for as long as the key that signs now is trusted.
func (k *Key) WriteClient(dir, node string) (ca, cert, key string, err error) {
	t := k.now.Load()
	leaf, err := t.issue(node)
	if err != nil {
		return "", "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		return "", "", "", fmt.Errorf("cannot encode the key of %q: %w", node, err)
	}
	var trusted []byte
	for _, a := range t.cas {
		trusted = append(trusted, certPEM(a.cert.Raw)...)
	}
	ca, cert, key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	files := []struct {
		path string
		data []byte
	}{
		{ca, trusted},
		{cert, slices.Concat(certPEM(leaf.Certificate[0]), certPEM(leaf.Certificate[1]))},
		{key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})},
	}
	for _, f := range files {
		if err := writeFile(f.path, f.data, replace); err != nil {
			return "", "", "", err
		}
	}
	return ca, cert, key, nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
