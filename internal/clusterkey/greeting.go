package clusterkey

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Greeting is what a client's first message says, before a server has done any public-key work
// for it. It proves nothing about who the client is: only its certificate does.
type Greeting int

// The kinds of greetings.
const (
	Foreign  Greeting = iota // meant for another kind of server
	Unproven                 // meant for us, as curl's is: the client may have a certificate or not
	Member                   // by somebody who has the cluster's key, or overheard one who has
)

// errForeign is why a handshake ends at once.
var errForeign = errors.New("the greeting is not meant for a lock server")

// passSize is the length of a pass in bytes.
const passSize = 16

// greeting is the server name that a client asks for: a pass, and the fingerprint of its key. It
// is the only thing that a server hears from a client that then hangs up.
func (t *trust) greeting() string {
	return passOf(t.secrets[0]) + "." + t.cas[0].fingerprint + "." + Host
}

// passOf is what those who have the secret greet with. A stranger cannot learn it by connecting. So a
// server that is flooded by strangers can tell members from them, and set no limits to members.
func passOf(secret []byte) string {
	pass, err := hkdf.Key(sha256.New, secret, nil, "back-to-work greeting 1", passSize)
	if err != nil {
		panic(err) // only for lengths that are none
	}
	return fmt.Sprintf("%x", pass)
}

// readGreeting takes apart the server name that a client asked for; theirs is "" where it names
// no key.
func readGreeting(name string) (pass, theirs string, ok bool) {
	if name == Host {
		return "", "", true
	}
	rest, ok := strings.CutSuffix(name, "."+Host)
	if !ok {
		return "", "", false
	}
	if before, after, found := strings.Cut(rest, "."); found {
		pass, rest = before, after
	}
	return pass, rest, isFingerprint(rest)
}

// Greeting says what kind of greeting hello is to a server that speaks protos.
func (k *Key) Greeting(hello *tls.ClientHelloInfo, protos []string) Greeting {
	pass, _, ok := readGreeting(hello.ServerName)
	spoken := len(hello.SupportedProtos) == 0 ||
		slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(protos, p) })
	if !ok || !spoken {
		return Foreign
	}
	for _, secret := range k.now.Load().secrets {
		if subtle.ConstantTimeCompare([]byte(pass), []byte(passOf(secret))) == 1 {
			return Member
		}
	}
	return Unproven
}
