package lockserver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
)

// A said is what a server answered.
type said struct {
	status int
	header http.Header
	body   string
}

// into reads a said as JSON.
func (a said) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Errorf("answer %q: %v", a.body, err)
	}
}

// ask has a home-made client on host ask the server called entry, once, on a connection of its own.
func (c *testCluster) ask(host, entry, method, path, body string) (said, error) {
	config, err := c.key.Client(host, protoHTTP)
	if err != nil {
		return said{}, err
	}
	web := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			raw, err := c.net.On(host).Dial(ctx, entry)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, config)
			return conn, conn.HandshakeContext(ctx)
		},
	}}
	request, err := http.NewRequest(method, "https://btw"+path, strings.NewReader(body))
	if err != nil {
		return said{}, err
	}
	response, err := web.Do(request)
	if err != nil {
		return said{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return said{response.StatusCode, response.Header, string(b)}, err
}

// mustAsk is ask from host x, and wants that status.
func (c *testCluster) mustAsk(entry, method, path, body string, status int) said {
	c.t.Helper()
	a, err := c.ask("x", entry, method, path, body)
	if err != nil || a.status != status {
		c.t.Errorf("%s %s of %s, %.100q = %d %.300q, %v, want %d", method, path, entry, body, a.status, a.body, err, status)
	}
	if !json.Valid([]byte(a.body)) || a.header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%s %s: the answer is not JSON: %.300q", method, path, a.body)
	}
	return a
}

const acquireX = `{"name":"%s","owner":{"node":"x","session":"0123456789"},"times":{"timeout_ms":10000,"stop_ms":5000}}`

func TestViews(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		follower := c.others(leader)[0]
		for _, name := range []string{"p", "q r"[:1], "süß"} {
			c.mustAsk(follower, "POST", "/v1/acquire", fmt.Sprintf(acquireX, name), 200)
		}
		time.Sleep(time.Second)
		for _, entry := range three {
			var all api.Locks
			c.mustAsk(entry, "GET", "/v1/locks", "", 200).into(t, &all)
			if len(all.Locks) != 3 || all.Locks["p"].Lock.Node != "x" || all.Locks["p"].Lock.Term != 1 {
				t.Errorf("%s: the locks are %+v", entry, all)
			}
			if left := all.Locks["p"].Left; entry == leader && (left < 13000 || left > 15000) || entry != leader && left != 0 {
				t.Errorf("%s: %d ms left", entry, left)
			}
			var one api.State
			c.mustAsk(entry, "GET", "/v1/locks/s%C3%BC%C3%9F", "", 200).into(t, &one)
			if one.Lock != all.Locks["süß"].Lock {
				t.Errorf("%s: the lock is %+v, want %+v", entry, one, all.Locks["süß"])
			}
		}
		c.mustAsk(leader, "GET", "/v1/locks/a%2Fb", "", 400)
	})
}

func TestServersView(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		others := c.others(leader)
		c.stop(others[0])
		c.net.Isolate(others[1], three, true)
		c.net.Isolate(others[1], []string{"x"}, false)
		begin := time.Now()
		var all api.Servers
		c.mustAsk(leader, "GET", "/v1/servers", "", 200).into(t, &all)
		if took := time.Since(begin); took > dialLimit+100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		for _, s := range all.Servers {
			if ok := s.Status != nil && s.Status.Entry == s.Entry && s.Error == ""; ok != (s.Entry == leader) {
				t.Errorf("%s: %+v", s.Entry, s)
			}
			if s.Entry != leader && (s.Error == "" || strings.Contains(s.Error, "https:")) {
				t.Errorf("%s: error %q", s.Entry, s.Error)
			}
		}
		if len(all.Servers) != 3 {
			t.Errorf("there are %d servers, want 3", len(all.Servers))
		}
		c.net.Isolate(others[1], three, false)
		c.start(others[0])
	})
}

func TestHealth(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		time.Sleep(time.Second)
		for _, entry := range three {
			var h api.Health
			c.mustAsk(entry, "GET", "/v1/health", "", 200).into(t, &h)
			if !h.Healthy || h.Leader != leader || h.Entry != entry || h.Error != "" {
				t.Errorf("%s: %+v", entry, h)
			}
		}
		// The leader is alone: it does not say that all is well before it has noticed.
		for _, entry := range c.others(leader) {
			c.net.Isolate(entry, three, true)
		}
		for range 5 {
			for _, entry := range three {
				var h api.Health
				c.mustAsk(entry, "GET", "/v1/health", "", 503).into(t, &h)
				if h.Healthy || h.Error == "" {
					t.Errorf("%s, alone: %+v", entry, h)
				}
			}
		}
		for _, entry := range c.others(leader) {
			c.net.Isolate(entry, three, false)
		}
		c.leader()
	})
}

func TestNotFound(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		for _, path := range []string{
			"/", "/v1", "/v1/", "/v2/server", "/v1//server", "/v1/locks/", "/v1/locks/../server", "/v1/locks/a/b",
			"/v1/watch", "/favicon.ico", "/v1/server/", "/v1/Server",
		} {
			for _, method := range []string{"GET", "POST", "PUT", "OPTIONS", "PROPFIND"} {
				c.mustAsk("a", method, path, "", 404)
			}
		}
		for path, allow := range map[string]string{
			"/v1/server": "GET", "/v1/locks": "GET", "/v1/locks/p": "GET", "/v1/watch/p": "GET", "/v1/health": "GET",
			"/v1/acquire": "POST", "/v1/renew": "POST", "/v1/reports": "POST", "/v1/reports/p": "GET",
		} {
			for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
				if method == allow {
					continue
				}
				if got := c.mustAsk("a", method, path, "", 405).header.Get("Allow"); got != allow {
					t.Errorf("%s %s: Allow: %q, want %q", method, path, got, allow)
				}
			}
		}
	})
}

func TestRequestSizes(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		acquire := fmt.Sprintf(acquireX, "p")
		many := func(n int) string {
			one := fmt.Sprintf(`{"name":"%0100d","term":18446744073709551615}`, 1)
			return `{"session":"0123456789","locks":[` + strings.Repeat(one+",", n-1) + one + `]}`
		}
		for _, q := range []struct {
			path, body string
			status     int
		}{
			{"/v1/acquire", "", 400},
			{"/v1/acquire", "null", 400},
			{"/v1/acquire", "[1]", 400},
			{"/v1/acquire", acquire + "x", 400},
			{"/v1/acquire", acquire + acquire, 400},
			{"/v1/acquire", strings.Replace(acquire, "{", `{"colour":{"name":["red"]},`, 1), 200},
			{"/v1/acquire", acquire + strings.Repeat(" ", smallBody), 413},
			{"/v1/acquire", strings.Repeat("[", smallBody-1), 400},
			{"/v1/renew", strings.Repeat(`{"locks":[`, maxRequest/10), 400},
			{"/v1/renew", strings.Repeat(" ", maxRequest+1), 413},
			{"/v1/renew", many(maxRenew), 200},
			{"/v1/renew", many(maxRenew + 1), 400},
			{"/v1/renew", `{}`, 200},
			{"/v1/release", `{"name":"","term":1,"session":"0123456789"}`, 400},
			{"/v1/change", `{"name":"a/b","term":1,"session":"0123456789"}`, 400},
			{"/v1/wait", `{"name":"p","node":"x","host":"h"}`, 200},
			{"/v1/wait", `{"name":"p","node":"x\n","host":"h"}`, 400},
			{"/v1/wait", `{"name":"p","host":"` + strings.Repeat("h", maxHost+1) + `"}`, 400},
			{"/v1/renew", `{"host":"` + strings.Repeat("h", maxHost+1) + `"}`, 400},
			{"/v1/acquire", strings.Replace(acquire, "{", `{"host":"`+strings.Repeat("h", maxHost+1)+`",`, 1), 400},
			{"/v1/reports", `{"node":"x","package":"p"}` + "{}", 400},
			{"/v1/reports", `{"node":"x","package":"p"}`, 200},
		} {
			c.mustAsk("a", "POST", q.path, q.body, q.status)
		}
	})
}

// A client that changes locks in a mad loop is held up, and only it.
func TestRateLimits(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		s := c.hosts[c.leader()]
		h := s.newHandler()
		const rate = 100
		h.(*handler).changes.every = time.Second / rate // the real one takes long to be met
		ask := func(host, method, path, body string) said {
			return c.direct(h, host, method, path, body)
		}
		release := `{"name":"p","term":1,"session":"0123456789"}`
		allowed, refused := 0, said{}
		for range 3 * burstSeconds * rate {
			if a := ask("mad", "POST", "/v1/release", release); a.status == 200 {
				allowed++
			} else {
				refused = a
			}
		}
		if allowed < burstSeconds*rate || allowed > burstSeconds*rate+rate/10 {
			t.Errorf("%d changes were allowed in no time, want about %d", allowed, burstSeconds*rate)
		}
		if refused.status != 429 || refused.header.Get("Retry-After") != "1" || !strings.Contains(refused.body, "too many requests from mad") {
			t.Errorf("the refusal is %+v", refused)
		}
		for host, want := range map[string]int{"mad": 429, "other": 200} {
			if got := ask(host, "POST", "/v1/release", release).status; got != want {
				t.Errorf("%s: %d, want %d", host, got, want)
			}
		}
		if got := ask("mad", "POST", "/v1/renew", `{}`).status; got != 200 {
			t.Errorf("a renewal of the mad client: %d, want it to be served", got)
		}
		time.Sleep(time.Second)
		for i := range rate {
			if got := ask("mad", "POST", "/v1/release", release).status; got != 200 {
				t.Fatalf("a second later the %dth change: %d", i, got)
			}
		}
		for i := range 10 * listsASecond {
			a := ask("lister", "GET", "/v1/locks", "")
			if want := i < burstSeconds*listsASecond; (a.status == 200) != want {
				t.Fatalf("the %dth list: %+v", i, a)
			}
		}
	})
}
