package lockclient

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// byHand is a session with a lock server that says what it is told to: to an acquire yes, and to
// each renewal what renewal says.
func byHand(t *testing.T, renewal string) *Session {
	t.Helper()
	var renewals atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"changed":true}`
		switch r.URL.Path {
		case "/v1/acquire":
			answer = `{"granted":true,"lock":{"node":"x","term":4,"seq":1}}`
		case "/v1/renew":
			if answer = `{"refused":[""]}`; renewals.Add(1) > 2 {
				answer = renewal
			}
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := NewClient(Config{
		Servers: []Server{{"s", server.Listener.Addr().String()}}, TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"},
		Clock: lease.System(), Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(c.Close)
	files := NewFiles(t.TempDir())
	t.Cleanup(func() { _ = files.Sync() })
	return NewSession(c, "x", files)
}

// A renewal that is refused because another holds the lock means "kill now" (rule 3), also when
// the server is of an older version, which tells it by a sentence, or of a later one with other
// sentences. Any other refusal is a loss, with the ordinary kill end.
func TestRefusedByOtherVersions(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		renewal string
		killNow bool
	}{
		"old, another has it":       {`{"refused":["another holds the lock"]}`, true},
		"old, not the holder":       {`{"refused":["not the holder"]}`, false},
		"old, judged":               {`{"refused":["the lease has ended"]}`, false},
		"new, another has it":       {`{"refused":["another holds the lock"],"codes":["other_holder"]}`, true},
		"reworded, another has it":  {`{"refused":["now h2 has the lock"],"codes":["other_holder"]}`, true},
		"reworded, not the holder":  {`{"refused":["who are you?"],"codes":["not_holder"]}`, false},
		"a later one, who knows":    {`{"refused":["it rains"],"codes":["rain"]}`, false},
		"a code without a sentence": {`{"refused":[""],"codes":["other_holder"]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := byHand(t, row.renewal)
			const stop = time.Hour
			h, err := s.Acquire(t.Context(), Wish{Name: "p", Times: lock.Times{Timeout: time.Minute, Stop: stop}, Pace: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(10 * time.Second); !h.isOver() && time.Now().Before(end); {
				h.Turn()
				s.renewDue(t.Context())
			}
			if !h.isOver() {
				t.Fatal("the lock is not lost")
			}
			_, kill := h.Ends()
			if now := kill.Left(lease.System().Now()) <= 0; now != row.killNow {
				t.Errorf("the kill end is in %v", kill.Left(lease.System().Now()))
			}
		})
	}
}

// While a release is on its way the same refusals say that it was made.
func TestRefusedInRelease(t *testing.T) {
	t.Parallel()
	for renewal, given := range map[string]bool{
		`{"refused":["not the holder"]}`:                       true,
		`{"refused":["another holds the lock"]}`:               true,
		`{"refused":["it was yours"],"codes":["not_holder"]}`:  true,
		`{"refused":["not the holder"],"codes":["rain"]}`:      false,
		`{"refused":["the lease has ended"]}`:                  false,
		`{"refused":["h2 has it"],"codes":["other_holder"]}`:   true,
		`{"refused":["it is judged"],"codes":["lease_ended"]}`: false,
	} {
		s := byHand(t, renewal)
		h, err := s.Acquire(t.Context(), Wish{Name: "p", Times: lock.Times{Timeout: time.Minute}, Pace: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		h.giving = true
		h.mu.Unlock()
		for end := time.Now().Add(10 * time.Second); !h.isOver() && time.Now().Before(end); {
			h.Turn()
			s.renewDue(t.Context())
		}
		h.mu.Lock()
		if h.given != given {
			t.Errorf("after %s it is given back: %v", strings.TrimSpace(renewal), h.given)
		}
		h.mu.Unlock()
	}
}
