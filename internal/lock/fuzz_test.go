package lock

import (
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
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

// Times are read as they were written, or refused; those that pass Check can be reckoned with.
func FuzzTimes(f *testing.F) {
	f.Add(int64(1000), int64(0))
	f.Add(int64(100), int64(-1))
	f.Add(int64(math.MaxInt64), int64(math.MinInt64))
	f.Add(int64(math.MinInt64), int64(math.MinInt64))
	f.Add(int64(1000), int64(math.MinInt64))
	f.Add(int64(100*365*24*time.Hour/time.Millisecond), int64(100*365*24*time.Hour/time.Millisecond))
	f.Fuzz(func(t *testing.T, timeout, stop int64) {
		b, err := json.Marshal(milliseconds{timeout, stop})
		if err != nil {
			t.Fatal(err)
		}
		var times Times
		if json.Unmarshal(b, &times) != nil {
			return
		}
		if times.Timeout.Milliseconds() != timeout || times.Stop.Milliseconds() != stop {
			t.Errorf("%s is read as %v and %v", b, times.Timeout, times.Stop)
		}
		if times.Check() == nil && times.Silence() < times.Timeout+times.Stop {
			t.Errorf("%v: silence %v", times, times.Silence())
		}
	})
}

// A log entry is one that cannot be read, one that is refused, or one that changes at most the
// lock that it names, and in the right direction.
func FuzzEntry(f *testing.F) {
	for _, e := range []Entry{
		{Version: 1, Kind: Open},
		{Version: 1, Kind: Acquire, Name: "free", RaftTerm: 3, Owner: Owner{"x", "s1"}, Times: Times{time.Second, 0}},
		{Version: 1, Kind: Acquire, Name: "held", Term: 7, Session: "s", RaftTerm: 3, Owner: Owner{"x", "s1"}},
		{Version: 1, Kind: Release, Name: "held", Term: 7, Session: "s"},
		{Version: 1, Kind: Change, Name: "held", Term: 7, Session: "s", Seq: 2, Times: Times{time.Minute, time.Second}},
		{Version: 1, Kind: Adopt, Name: "held", Term: 7, Session: "s", Seq: 2, RaftTerm: 3, Owner: Owner{"y", "s1"}, Times: Times{time.Minute, time.Second}},
		{Version: 1, Kind: Block, Name: "held", Term: 7, Session: "s", Reason: "it hangs"},
		{Version: 1, Kind: Unblock, Name: "blocked", Term: 7, Session: "s"},
		{Version: 1, Kind: Fence, Name: "held", Term: 7, Session: "s", Seq: 2, RaftTerm: 3, Owner: Owner{"x", "s1"}, Limit: 60000},
		{Version: 1, Kind: Fenced, Name: "fencing", Term: 7, Session: "s", Owner: Owner{Session: "s1"}, OK: true},
		{Version: 1, Kind: Acquire, Name: "fenced", Term: 7, Session: "s", Seq: 2, RaftTerm: 3, Owner: Owner{"x", "s1"}},
		{Version: 2, Kind: Acquire, Name: "held", Term: 7, Session: "s", Seq: 2, RaftTerm: 3, Owner: Owner{"x", "s1"}, Silent: true},
		{Version: 2, Kind: Settled, Name: "named", Term: 7, Session: "s"},
		{Version: 3, Kind: Open},
		{Version: 1, Kind: "later"},
	} {
		b, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint64(3))
	}
	f.Add([]byte(`{"v":1,"kind":"acquire","name":"\u0000","owner":{"session":"\ud800"}}`), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, raftTerm uint64) {
		var e Entry
		if json.Unmarshal(b, &e) != nil {
			return
		}
		again(t, e)
		table := NewTable()
		held := Lock{Owner: Owner{"y", "s"}, Term: 7, Seq: 2, Last: "y"}
		blocked, fencing, fenced := held, held, held
		blocked.Blocked, fencing.Fencing, fenced.Fenced = "it hangs", Fencing{Owner{"x", "s1"}, 60000}, true
		named := held
		named.Unfenced = "z x"
		table.locks = map[string]Lock{"held": held, "other": held, "blocked": blocked, "fencing": fencing, "fenced": fenced, "named": named}
		before := table.Get(e.Name)
		now, changed, err := table.Apply(e, raftTerm)
		switch after := table.Get(e.Name); {
		case err != nil && (changed || !errors.Is(err, ErrVersion)):
			t.Errorf("%+v: changed %v, %v", e, changed, err)
		case !changed && after != before:
			t.Errorf("%+v changed nothing, but there is %+v, not %+v", e, after, before)
		case changed && (now != after || after.Term < before.Term || after.Term == before.Term && after.Seq <= before.Seq):
			t.Errorf("%+v led from %+v to %+v and said %+v", e, before, after, now)
		case changed && (before.Term != e.Term || before.Session != e.Session):
			t.Errorf("%+v was made though there was %+v", e, before)
		}
		if e.Name != "other" && table.Get("other") != held {
			t.Errorf("%+v changed another lock", e)
		}
	})
}

// What is restored is refused, or is what its own snapshot restores.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"v":1,"locks":{"p":{"node":"x","session":"s","term":3,"seq":1,"last":"x","previous":"y","times":{"timeout_ms":1000,"stop_ms":5}}}}`))
	f.Add([]byte(`{"v":1,"locks":{"p":{"node":"x","session":"s","term":3,"blocked":"it hangs","fencing":{"by":{"node":"y","session":"t"},"limit_ms":60000},"fenced":true,"unfenced":"a b"}}}`))
	f.Add([]byte(`{"v":1,"locks":{"p":{"node":"x","session":"s","times":{"stop_ms":-9223372036854775808}}}}`))
	for _, text := range []string{`{"v":1}`, `{"v":2}`, `{"v":3}`, `{"v":1,"locks":{"\ud800":{}}}`, `{"v":0,"locks":[]}`, ``, `null`, `{"v":1,"locks":{"a":null}}{}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Restore(b)
		if err != nil {
			return
		}
		saved, err := table.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Restore(saved)
		if err != nil {
			t.Fatalf("%q: its snapshot %q cannot be restored: %v", b, saved, err)
		}
		all, again := table.All(), back.All()
		for name, k := range all {
			if again[name] != k {
				t.Errorf("%q: lock %q was %+v, and is %+v", b, name, k, again[name])
			}
		}
		if len(all) != len(again) {
			t.Errorf("%q: there were %d locks, and are %d", b, len(all), len(again))
		}
		if _, _, err := back.Apply(Entry{Version: 1, Kind: Acquire, Name: "p", RaftTerm: 1, Owner: Owner{"x", "s"}}, 1); err != nil {
			t.Error(err)
		}
	})
}

// A good name is the name of one file, one segment of a URL, and one word, and JSON keeps it.
func FuzzCheckName(f *testing.F) {
	for _, name := range []string{
		"", "p", "a b", "a/b", "..", ".", "-x", "a\\b", "a\n", "süß", "\xff", "a\u00a0b", "a\u202eb", "\ufffd", "%2e", "a?b#c", "a;b", "a\u200db",
		strings.Repeat("x", 100), strings.Repeat("x", 101), strings.Repeat("ü", 50), "a\x00b", "\u2028", "*", "$(x)", "~", "a:b", "\"", "'", "\u2800",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		if filepath.Base(name) != name || filepath.Clean(name) != name || filepath.Join("dir", name) != "dir/"+name {
			t.Errorf("%q is not the name of one file", name)
		}
		if !utf8.ValidString(name) || len(name) > 100 || len(strings.Fields(name)) != 1 || strings.HasPrefix(name, "-") {
			t.Errorf("%q is not a word", name)
		}
		u, err := url.ParseRequestURI("/v1/locks/" + url.PathEscape(name))
		if err != nil || u.Path != "/v1/locks/"+name || u.RawQuery != "" {
			t.Errorf("%q: the path is %+v, %v", name, u, err)
		}
		again(t, Entry{Version: 1, Name: name})
	})
}
