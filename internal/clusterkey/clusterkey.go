// Package clusterkey turns the cluster's one secret file into mutual TLS.
//
// The file (conf/cluster_key, mode 0600, the same on every host) has one line of 64 hex
// digits, or two while the key is being changed; "#" begins a comment. The first line
// signs, both are trusted. Each secret gives, always in the same way, a certificate
// authority: so every host with the file has the same one, and nothing but the file is
// ever copied. Each process issues itself a certificate for its own fresh key.
//
// Certificates are valid from 1970 to 9999 and no clock is asked: a host whose clock is
// wrong still talks to the others.
//
// # Changing the key without stopping
//
// [Add] a second secret, and copy the file to every host; [Switch], which makes the new one
// sign, and copy; [Drop] the old one, and copy. Hosts that are one step apart trust each
// other. Processes that run take up a changed file by themselves: see [Key.Follow].
package clusterkey

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
)

// secretSize is the length of a secret in bytes.
const secretSize = 32

// maxFile is more than any key file needs, and keeps a wrong file from being read whole.
const maxFile = 64 << 10

const header = `# The cluster's key. The same file, with mode 0600, belongs on every host, in conf/.
# Who can read it can take every lock.
`

// A Key is the secret of a cluster; while it is being changed, the new and the old one. A TLS
// configuration that was made from a Key goes by the secrets that the Key has now: see [Key.Follow].
type Key struct{ now atomic.Pointer[trust] }

// A trust is what a key file says.
type trust struct {
	secrets [][]byte       // one or two; the first signs
	cas     []authority    // of each secret
	roots   *x509.CertPool // the authorities
}

// Load reads the key file at path. An error is [fs.ErrNotExist] if there is none. A file that
// others may read is refused.
func Load(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the cluster's key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the cluster's key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot use %s as the cluster's key: it is not a plain file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("cannot use %s: its mode %04o lets others at the secret (chmod 600 %s)", path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the cluster's key: %w", err)
	}
	secrets, err := parse(path, data)
	if err != nil {
		return nil, err
	}
	return newKey(secrets)
}

// Create makes a new secret and the file at path for it, and the file's directory if need be.
// It never overwrites a file: then the error is [fs.ErrExist].
func Create(path string) (*Key, error) {
	k, err := newKey([][]byte{newSecret()})
	if err != nil {
		return nil, err
	}
	if err := writeFile(path, k.file(), createOnly); err != nil {
		return nil, fmt.Errorf("cannot create the cluster's key: %w", err)
	}
	return k, nil
}

// Fingerprint is the short name of the key that signs. It tells keys apart, and reveals nothing
// of the secret: it is taken from the authority's public key.
func (k *Key) Fingerprint() string { return k.now.Load().cas[0].fingerprint }

// Fingerprints is the short name of every key that is trusted; that of the signing one is first.
func (k *Key) Fingerprints() []string { return k.now.Load().fingerprints() }

func (t *trust) fingerprints() []string {
	var all []string
	for _, ca := range t.cas {
		all = append(all, ca.fingerprint)
	}
	return all
}

func newKey(secrets [][]byte) (*Key, error) {
	t := &trust{secrets: secrets, roots: x509.NewCertPool()}
	for _, secret := range secrets {
		ca, err := newAuthority(secret)
		if err != nil {
			return nil, err
		}
		t.cas = append(t.cas, ca)
		t.roots.AddCert(ca.cert)
	}
	k := &Key{}
	k.now.Store(t)
	return k, nil
}

// file is what the key file says.
func (k *Key) file() []byte {
	t := k.now.Load()
	var b bytes.Buffer
	b.WriteString(header)
	for i, secret := range t.secrets {
		word := "signs"
		if i > 0 {
			word = "is trusted too"
		}
		fmt.Fprintf(&b, "# %s %s\n%x\n", t.cas[i].fingerprint, word, secret)
	}
	return b.Bytes()
}

// parse reads a key file. Its errors never show what a line says: it may be a secret, mistyped.
func parse(path string, data []byte) ([][]byte, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("cannot use %s as the cluster's key: it is too long", path)
	}
	var secrets [][]byte
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxFile+1)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		secret, err := hex.DecodeString(text)
		switch {
		case err != nil || len(secret) != secretSize:
			return nil, fmt.Errorf("%s:%d: not a secret of %d hex digits", path, n, 2*secretSize)
		case len(secrets) == 2:
			return nil, fmt.Errorf("%s:%d: a third secret; at most two can be trusted", path, n)
		case len(secrets) == 1 && bytes.Equal(secret, secrets[0]):
			return nil, fmt.Errorf("%s:%d: the same secret a second time", path, n)
		}
		secrets = append(secrets, secret)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s: there is no secret in it", path)
	}
	return secrets, nil
}

func newSecret() []byte {
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails: it ends the process instead
	return secret
}

// Errors of the steps of a change of key.
var (
	ErrTwoKeys = errors.New("two keys are trusted already")
	ErrOneKey  = errors.New("only one key is trusted")
)

// Add adds a new secret to the file at path. It is trusted; the old one still signs.
func Add(path string) (*Key, error) {
	return change(path, func(secrets [][]byte) ([][]byte, error) {
		if len(secrets) == 2 {
			return nil, ErrTwoKeys
		}
		return [][]byte{secrets[0], newSecret()}, nil
	})
}

// Switch makes the other secret of the file at path the one that signs. Both are trusted.
func Switch(path string) (*Key, error) {
	return change(path, func(secrets [][]byte) ([][]byte, error) {
		if len(secrets) == 1 {
			return nil, ErrOneKey
		}
		return [][]byte{secrets[1], secrets[0]}, nil
	})
}

// Drop takes the secret that does not sign out of the file at path.
func Drop(path string) (*Key, error) {
	return change(path, func(secrets [][]byte) ([][]byte, error) {
		if len(secrets) == 1 {
			return nil, ErrOneKey
		}
		return secrets[:1], nil
	})
}

func change(path string, f func([][]byte) ([][]byte, error)) (*Key, error) {
	old, err := Load(path)
	if err != nil {
		return nil, err
	}
	secrets, err := f(old.now.Load().secrets)
	if err != nil {
		return nil, fmt.Errorf("cannot change the cluster's key: %w", err)
	}
	k, err := newKey(secrets)
	if err != nil {
		return nil, err
	}
	if err := writeFile(path, k.file(), replace); err != nil {
		return nil, fmt.Errorf("cannot change the cluster's key: %w", err)
	}
	return k, nil
}
