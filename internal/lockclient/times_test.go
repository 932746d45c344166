package lockclient

import (
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// An acquire whose answer was lost had the lock for other times than are wished now. The
// servers go by those: a holder that believed in a longer lease would outlive it.
func TestAcquireOfAnEarlierAcquire(t *testing.T) {
	t.Parallel()
	logged := lock.Times{Timeout: 10 * time.Second, Stop: 20 * time.Second}
	var owner lock.Owner
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := any(lock.AcquireAnswer{State: lock.State{Lock: lock.Lock{Owner: owner, Term: 3, Seq: 1, Times: logged}}})
		if r.URL.Path == "/v1/renew" {
			answer = lock.RenewAnswer{Refused: []string{""}}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	c := NewClient(Config{
		Servers: []Server{{"h1", strings.TrimPrefix(server.URL, "https://")}},
		TLS:     &tls.Config{InsecureSkipVerify: true}, Clock: lease.System(), Log: slog.New(slog.DiscardHandler),
	})
	defer c.Close()
	s := NewSession(c, "h1", NewFiles(t.TempDir()))
	owner = s.Owner
	for wished, want := range map[lock.Times]lock.Times{
		{Timeout: 30 * time.Second, Stop: 30 * time.Second}: logged,
		{Timeout: 5 * time.Second, Stop: 30 * time.Second}:  {Timeout: 5 * time.Second, Stop: 20 * time.Second},
		logged: logged,
	} {
		before := c.Clock.Now()
		h, err := s.Acquire(t.Context(), Wish{Name: "P", Times: wished, Pace: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		end, kill := h.Ends()
		if got := end.Left(before); got < want.Timeout || got > want.Timeout+2*time.Second {
			t.Errorf("wished %v: the lease ends in %v, want %v", wished, got, want.Timeout)
		}
		if got := kill.Left(end); got != want.Stop {
			t.Errorf("wished %v: the kill end is %v after it, want %v", wished, got, want.Stop)
		}
	}
	if err := s.files.Sync(); err != nil {
		t.Error(err)
	}
}
