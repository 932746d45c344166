package lockserver

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
)

// direct has handler serve a request without a network.
func (c *testCluster) direct(handler http.Handler, host, method, path, body string) said {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.RemoteAddr = host
	w := httptest.NewRecorder()
	w.Body = &bytes.Buffer{}
	handler.ServeHTTP(w, request)
	return said{w.Code, w.Header(), w.Body.String()}
}

func TestWatch(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		follower := c.others(leader)[0]
		watch := func(query string) (api.State, time.Duration) {
			t.Helper()
			begin := time.Now()
			var s api.State
			c.mustAsk(follower, "GET", "/v1/watch/p"+query, "", 200).into(t, &s)
			return s, time.Since(begin)
		}
		const quick = 50 * time.Millisecond
		within := func(took, want time.Duration) bool { return took >= want && took < want+quick }

		if s, took := watch(""); s.Lock.Term != 0 || !within(took, waitLimit) {
			t.Errorf("of a lock that never was: %+v after %v", s, took)
		}
		if s, took := watch("?wait=0"); s.Lock.Term != 0 || !within(took, 0) {
			t.Errorf("without a wait: %+v after %v", s, took)
		}
		acquired := make(chan bool)
		go func() {
			defer close(acquired)
			time.Sleep(29500 * time.Millisecond)
			c.mustAsk(leader, "POST", "/v1/acquire", fmt.Sprintf(acquireX, "p"), 200)
		}()
		// A follower learns of a change with raft's next message.
		if s, took := watch("?wait=60"); s.Lock.Term != 1 || took < 29500*time.Millisecond || took > 31*time.Second {
			t.Errorf("of a lock that is acquired after 29.5 s: %+v after %v", s, took)
		}
		<-acquired
		if s, took := watch("?wait=60"); s.Lock.Term != 1 || !within(took, 0) {
			t.Errorf("of one that is newer: %+v after %v", s, took)
		}
		if s, took := watch("?term=1&seq=1&wait=59.5"); s.Lock.Term != 1 || !within(took, 59500*time.Millisecond) {
			t.Errorf("of one that does not change: %+v after %v", s, took)
		}
		if s, took := watch("?term=9&seq=1"); s.Lock.Term != 1 || !within(took, waitLimit) {
			t.Errorf("by one who knows more: %+v after %v", s, took)
		}
		for _, query := range []string{"wait=61", "wait=-1", "wait=NaN", "wait=1e999", "wait=x", "term=-1", "seq=1.5", "term=99999999999999999999"} {
			c.mustAsk(follower, "GET", "/v1/watch/p?"+query, "", 400)
		}
		m := c.hosts[follower].machine
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.changed) != 0 {
			t.Errorf("after the watches %d notes are left", len(m.changed))
		}
	})
}

// Only so many may watch, and one client only a share of these; a server that ends ends them.
func TestWatchesAreBounded(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		s := c.hosts[c.leader()]
		handler := s.newHandler()
		ctx, end := context.WithCancel(t.Context())
		done := make(chan int, maxWatches)
		for i := range maxWatches {
			go func() {
				request := httptest.NewRequest("GET", "/v1/watch/p?wait=60", nil).WithContext(ctx)
				request.RemoteAddr = fmt.Sprintf("10.0.0.%d:99", i%oneClient)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, request)
				done <- w.Code
			}()
		}
		time.Sleep(time.Second)
		if a := c.direct(handler, "10.0.0.9:1", "GET", "/v1/watch/p", ""); a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("one too many: %+v", a)
		}
		end()
		for range maxWatches {
			if got := <-done; got != 503 {
				t.Errorf("a watch that was ended: %d", got)
			}
		}
		begin := time.Now()
		for range maxWatches/oneClient + 1 {
			go func() { done <- c.direct(handler, "10.0.0.1:99", "GET", "/v1/watch/p?wait=60", "").status }()
		}
		if got := <-done; got != 429 || time.Since(begin) > time.Second {
			t.Errorf("the first answer to a client with too many watches: %d, want 429", got)
		}
		for range maxWatches / oneClient {
			if got := <-done; got != 200 {
				t.Errorf("a watch among the allowed: %d", got)
			}
		}
	})
}
