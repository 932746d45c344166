package api

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// again writes v as JSON, reads that, and fails the test unless the result is v again.
func again[T any](t *testing.T, v T) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	var back T
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%s is read as %+v (%v), want %+v", b, back, err, v)
	}
}

// readBack reads b as a T. If b is one, it must stay the same when it is written and read again.
func readBack[T any](t *testing.T, b []byte) {
	t.Helper()
	var v T
	if json.Unmarshal(b, &v) == nil {
		again(t, v)
	}
}

// Whatever is asked is refused, or means the same at the next server to which it is passed on.
func FuzzRequests(f *testing.F) {
	for _, text := range []string{
		`{"name":"p","owner":{"node":"x","session":"0123456789"},"times":{"timeout_ms":1000,"stop_ms":0},"own":1,"known":7,"cluster":"c","host":"h"}`,
		`{"name":"p","term":1,"session":"0123456789","seq":1,"times":{"timeout_ms":2000,"stop_ms":1000}}`,
		`{"name":"p","owner":{"node":"x","session":"0123456789"},"times":{"timeout_ms":1000},"own":1,"from":"9876543210","only_fenced":true}`,
		`{"name":"p","term":1,"session":"0123456789","reason":"it hangs","node":"y"}`,
		`{"name":"p","term":1,"session":"0123456789","by":{"node":"y","session":"9876543210"},"limit_ms":60000,"fence":true}`,
		`{"name":"p","term":1,"session":"0123456789","by":"9876543210","ok":true}`,
		`{"granted":true,"lock":{"node":"x","fencing":{"by":{},"limit_ms":-9223372036854775808},"fenced":true,"blocked":"\u0000"},"silent_ms":1}`,
		`{"times":{"timeout_ms":-9223372036854775808,"stop_ms":9223372036854775807}}`,
		`{"times":{"stop_ms":-9223372036854775808}}`,
		`{"times":{"timeout_ms":9223372036854,"stop_ms":-9223372036854}}`,
		`{"times":{"timeout_ms":1.5}}`, `{"times":null}`, `null`, `[]`, `{"term":18446744073709551616}`, `{"name":"\ud800"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		readBack[AcquireRequest](t, b)
		readBack[ReleaseRequest](t, b)
		readBack[ChangeRequest](t, b)
		readBack[BlockRequest](t, b)
		readBack[UnblockRequest](t, b)
		readBack[FenceRequest](t, b)
		readBack[FenceAnswer](t, b)
		readBack[FencedRequest](t, b)
		readBack[SettledRequest](t, b)
		readBack[WaitRequest](t, b)
		readBack[RenewRequest](t, b)
		readBack[State](t, b)
		readBack[Report](t, b)
		readBack[ErrorAnswer](t, b)
	})
}

func TestEntryOfURL(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"h1", "h1:4115", "[fe80::1]:9", "fe80::1", "h_1"} {
		u := URL(entry, "/v1/renew")
		host := strings.TrimSuffix(strings.TrimPrefix(u, "https://"), "/v1/renew")
		if got, err := EntryOf(host + ":443"); got != entry || err != nil {
			t.Errorf("EntryOf(%q of %q) = %q, %v", host, u, got, err)
		}
	}
	for _, addr := range []string{"6831", "xyz:443", ""} {
		if got, err := EntryOf(addr); err == nil {
			t.Errorf("EntryOf(%q) = %q, want an error", addr, got)
		}
	}
}

// An entry of lock_servers comes back from the URL that it was put into.
func FuzzURL(f *testing.F) {
	for _, entry := range []string{"a", "localhost:4114", "fe80::1", "[fe80::1%eth0]:4114", "", "\x00", "a/b", "süß"} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		u, err := url.Parse(URL(entry, "/v1/server"))
		if err != nil || u.Path != "/v1/server" {
			t.Fatalf("URL(%q) = %v, %v", entry, u, err)
		}
		if got, err := EntryOf(u.Host + ":443"); err != nil || got != entry {
			t.Errorf("EntryOf(URL(%q)) = %q, %v", entry, got, err)
		}
	})
}
