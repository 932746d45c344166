package clusterkey

import (
	"crypto/tls"
	"testing"
)

func TestGreeting(t *testing.T) {
	t.Parallel()
	k, other, rotating := key(t, secretA), key(t, secretB), key(t, secretB, secretA)
	own := k.now.Load().greeting()
	for name, c := range map[string]struct {
		server *Key
		name   string
		alpn   []string
		want   Greeting
	}{
		"our own":                   {k, own, []string{"raft"}, Member},
		"one of several":            {k, own, []string{"h2", "http/1.1"}, Member},
		"the key that goes":         {rotating, own, nil, Member},
		"the key that comes":        {k, rotating.now.Load().greeting(), nil, Unproven},
		"another key":               {other, own, nil, Unproven},
		"only a fingerprint":        {k, k.Fingerprint() + "." + Host, nil, Unproven},
		"a wrong pass":              {k, "00." + k.Fingerprint() + "." + Host, nil, Unproven},
		"curl":                      {k, Host, []string{"h2", "http/1.1"}, Unproven},
		"without ALPN":              {k, Host, nil, Unproven},
		"another protocol":          {k, own, []string{"gopher"}, Foreign},
		"a web server is meant":     {k, "www.example.com", []string{"http/1.1"}, Foreign},
		"no name":                   {k, "", []string{"http/1.1"}, Foreign},
		"something before ." + Host: {k, "x." + Host, nil, Foreign},
	} {
		hello := &tls.ClientHelloInfo{ServerName: c.name, SupportedProtos: c.alpn}
		if got := c.server.Greeting(hello, []string{"raft", "http/1.1"}); got != c.want {
			t.Errorf("%s: Greeting = %d, want %d", name, got, c.want)
		}
	}
}

// A stranger learns no node's name, and a foreign greeting costs no public-key work.
func TestStrangerLearnsNothing(t *testing.T) {
	t.Parallel()
	k := key(t, secretA)
	stranger := &tls.Config{InsecureSkipVerify: true, ServerName: Host, NextProtos: []string{"http/1.1"}}
	c, s := talk(t, k, stranger)
	if s.err == nil || c.err == nil || c.peer != Host {
		t.Errorf("without a certificate: client %+v, server %v; want both to fail, and %q seen", c, s.err, Host)
	}
	stranger.ServerName = "www.example.com"
	c, s = talk(t, k, stranger)
	if s.err == nil || !Refused(c.err) || c.peer != "" {
		t.Errorf("for another host: client %+v, server %v; want to see no certificate", c, s.err)
	}
}
