package lockserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// What a client can meet. The tests in the files meets_*_test.go hold that it never believes in
// a lock that is another's, that no change is made twice, and that what is late is void.

// slowly makes all packets of the cluster take d, so that a request has stages that a test can
// meet it in.
func (c *testCluster) slowly(d time.Duration) { c.net.SetDelay(d) }

// post sends a request as it stands to one server, as whoever kept it would.
func (c *testCluster) post(entry, path string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	response, err := c.hosts[c.others(entry)[0]].http.Post(api.URL(entry, path), "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, b)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

// agreed is the lock as the leader has it.
func (c *testCluster) agreed(name string) lock.Lock {
	c.t.Helper()
	return c.hosts[c.leader()].state(name).Lock
}

// mustAcquire takes a lock that is free.
func mustAcquire(t *testing.T, h *holder, w lockclient.Wish) *lockclient.Held {
	t.Helper()
	held, err := h.Acquire(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// acquireLater takes a lock as soon as it can be had, and tells when that was.
func acquireLater(t *testing.T, h *holder, w lockclient.Wish) <-chan time.Time {
	got := make(chan time.Time, 1)
	go func() {
		if _, err := h.Acquire(t.Context(), w); err != nil {
			t.Error(err)
		}
		got <- time.Now()
	}()
	return got
}

// notYet fails the test if somebody has got a lock.
func notYet(t *testing.T, got <-chan time.Time, when string) {
	t.Helper()
	select {
	case <-got:
		t.Fatalf("%s: a second node has the lock", when)
	default:
	}
}

// killAt is the holder's kill end, in the test's own time.
func killAt(h *holder, held *lockclient.Held) time.Time {
	_, kill := held.Ends()
	return time.Now().Add(kill.Left(h.client.Clock.Now()))
}
