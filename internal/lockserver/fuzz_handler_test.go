package lockserver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"backtowork/internal/api"
)

// apiSeeds is requests of every kind: a method, a path with its query, and a body.
var apiSeeds = [][3]string{
	{"POST", "/v1/acquire", `{"name":"p","owner":{"node":"x","session":"0123456789"},"times":{"timeout_ms":1000,"stop_ms":0},"own":0,"cluster":""}`},
	{"POST", "/v1/acquire", `{"name":"p","owner":{"node":"x","session":"0123456789"},"times":{"timeout_ms":1000},"own":1}`},
	{"POST", "/v1/acquire", `{"name":"p","owner":{"node":"y","session":"9876543210"},"times":{"timeout_ms":-9223372036854775808,"stop_ms":9223372036854775807}}`},
	{"POST", "/v1/acquire", `{"cluster":"none","name":"q","owner":{"node":"y","session":"9876543210"},"times":{"timeout_ms":100}}`},
	{"POST", "/v1/renew", `{"session":"0123456789","locks":[{"name":"p","term":1},{"name":"","term":18446744073709551615}]}`},
	{"POST", "/v1/renew", `{"locks":null}`},
	{"POST", "/v1/release", `{"name":"p","term":1,"session":"0123456789"}`},
	{"POST", "/v1/change", `{"name":"p","term":1,"session":"0123456789","seq":1,"times":{"timeout_ms":2000,"stop_ms":1000}}`},
	{"POST", "/v1/acquire", `{"name":"p","owner":{"node":"x","session":"abcdefghij"},"times":{"timeout_ms":1000},"own":1,"from":"0123456789","only_fenced":true}`},
	{"POST", "/v1/block", `{"name":"p","term":1,"session":"0123456789","reason":"it hangs"}`},
	{"POST", "/v1/block", `{"name":"p","term":1,"session":"0123456789","reason":"it\nhangs"}`},
	{"POST", "/v1/unblock", `{"name":"p","term":1,"session":"0123456789","node":"y"}`},
	{"POST", "/v1/fence", `{"name":"p","term":1,"session":"0123456789","by":{"node":"y","session":"9876543210"},"limit_ms":1000}`},
	{"POST", "/v1/fence", `{"name":"p","by":{"node":"y","session":"9876543210"},"limit_ms":-9223372036854775808}`},
	{"POST", "/v1/fenced", `{"name":"p","term":1,"session":"0123456789","by":"9876543210","ok":true}`},
	{"POST", "/v1/wait", `{"name":"p","term":1,"node":"y","fence":true,"only_fenced":true}`},
	{"POST", "/v1/wait", `{"name":"p","term":1}`},
	{"POST", "/v1/wait", `{"name":"\u0000"}`},
	{"POST", "/v1/reports", `{"node":"x","package":"p","lock_servers":"1","script":"2"}`},
	{"POST", "/v1/reports", "[[[[[[[[[[[[[["},
	{"POST", "/v1/renew", "{}{}"},
	{"POST", "/v1/wait", "\"\xff\""},
	{"GET", "/v1/reports/p", ""},
	{"GET", "/v1/locks", ""},
	{"GET", "/v1/locks/p", ""},
	{"GET", "/v1/locks/%2F%00%ff", ""},
	{"GET", "/v1/watch/p?term=0&seq=0&wait=0.001", ""},
	{"GET", "/v1/watch/p?term=18446744073709551616&wait=1e400", ""},
	{"GET", "/v1/watch/p?wait=NaN&%zz;", ""},
	{"GET", "/v1/watch/p?term=1&seq=1&wait=60", ""},
	{"GET", "/v1/server", ""},
	{"GET", "/v1/servers", ""},
	{"GET", "/v1/health", ""},
	{"HEAD", "/v1/health", ""},
	{"OPTIONS", "*", ""},
	{"CONNECT", "/v1/../v1/acquire", ""},
	{"DELETE", "/v1/locks/p", ""},
	{"get", "/v1//server", ""},
	{"", "/", ""},
}

// Whatever is asked, the answer is JSON, with the status of a fault of the client or 503.
func FuzzAPI(f *testing.F) {
	for _, q := range apiSeeds {
		f.Add(q[0], q[1], q[2], false)
		f.Add(q[0], q[1], q[2], true)
	}
	alone, waiting := newTCPNet(f), newTCPNet(f)
	alone.run(f, []string{"a"})
	alone.leader(f)
	waiting.run(f, []string{"a", "b"}, "b")
	handlers := []http.Handler{alone.servers["a"].newHandler(), waiting.servers["a"].newHandler()}
	for _, h := range handlers {
		h.(*handler).lists.every, h.(*handler).changes.every = 1, 1 // else there is nothing else to see soon
	}
	f.Fuzz(func(t *testing.T, method, target, body string, cut bool) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return // net/http answers for us
		}
		var reader io.Reader = strings.NewReader(body)
		if cut {
			reader = iotest.TimeoutReader(iotest.HalfReader(reader))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		for _, handler := range handlers {
			request := (&http.Request{
				Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Host: "btw",
				Body: io.NopCloser(reader), RequestURI: target, RemoteAddr: "127.0.0.1:1",
			}).WithContext(ctx)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, request)
			if w.Code != http.StatusOK && w.Code/100 != 4 && w.Code != http.StatusServiceUnavailable {
				t.Errorf("%q %q: status %d", method, target, w.Code)
			}
			checkAnswer(t, w)
		}
	})
}

// checkAnswer wants JSON, and the reason in it where the status is not 200.
func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var e api.ErrorAnswer
	valid := json.Valid(w.Body.Bytes())
	if valid && w.Code != http.StatusOK {
		valid = json.Unmarshal(w.Body.Bytes(), &e) == nil && e.Error != ""
	}
	if !valid || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("status %d, %q: %.200q", w.Code, w.Header(), w.Body)
	}
}

// scripted is a connection on which somebody says text and hangs up.
type scripted struct {
	net.Conn
	in  io.Reader
	out strings.Builder
}

func (s *scripted) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *scripted) Write(b []byte) (int, error) { return s.out.Write(b) }

// Whatever another server says first, it is let in only if it is of this cluster, means this
// server, and is another; and it is answered in one line, which says so.
func FuzzHello(f *testing.F) {
	alone := newTCPNet(f)
	alone.run(f, []string{"a"})
	alone.leader(f)
	s := alone.servers["a"]
	for _, h := range []hello{
		{Cluster: s.self.Cluster, From: "b/0123456789abcdef", To: s.self.ID},
		{Cluster: s.self.Cluster, From: s.self.ID, To: s.self.ID},
		{Cluster: s.self.Cluster, To: "a/0000000000000000"},
		{Cluster: "0123456789abcdef", From: "b/1", To: s.self.ID},
	} {
		b, err := json.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b) + "\n")
	}
	for _, text := range []string{"", "\n", "{}\n", "null\nnull\n", "[[[[\n", `{"cluster":"a\nb"}` + "\n", strings.Repeat("x", 2000), "\xff\xfe\n", `{"cluster":"CLUSTER","from":"b/2","to":"SELF"}` + "\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.NewReplacer("CLUSTER", s.self.Cluster, "SELF", s.self.ID).Replace(text)
		conn := &scripted{in: strings.NewReader(text)}
		err := s.receive(conn)
		line, _, whole := strings.Cut(text, "\n")
		var h hello
		read := whole && len(line) < 1000 && json.Unmarshal([]byte(line), &h) == nil
		if right := read && h.Cluster == s.self.Cluster && h.To == s.self.ID && h.From != s.self.ID; err == nil && !right {
			t.Errorf("%q was let in", text)
		}
		answer := conn.out.String()
		if !read && answer == "" {
			return
		}
		var w welcome
		if strings.Count(answer, "\n") != 1 || json.Unmarshal([]byte(answer), &w) != nil || (w.Refused == "") != (err == nil) {
			t.Errorf("%q: %v, answered %q", text, err, answer)
		}
	})
}

// Questions are read to the byte, and what is cut short is no question.
func FuzzNumbers(f *testing.F) {
	f.Add(uint64(1), uint64(2), 16)
	f.Add(^uint64(0), uint64(0), 15)
	f.Add(uint64(0), ^uint64(0), 0)
	f.Fuzz(func(t *testing.T, number, term uint64, cut int) {
		var wire strings.Builder
		if err := writeNumbers(&wire, number, term); err != nil {
			t.Fatal(err)
		}
		if cut < 0 || cut >= wire.Len() {
			cut = wire.Len()
		}
		n, got, err := readNumbers(strings.NewReader(wire.String()[:cut]))
		switch {
		case cut == questionSize && (err != nil || n != number || got != term):
			t.Errorf("read %d %d (%v), want %d %d", n, got, err, number, term)
		case cut < questionSize && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%d bytes: %v, want an end", cut, err)
		}
	})
}
