package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

const second = time.Second

var (
	anna  = Owner{Node: "h1", Session: "anna"}
	bert  = Owner{Node: "h2", Session: "bert"}
	clara = Owner{Node: "h3", Session: "clara"}
	long  = Times{Timeout: 30 * second, Stop: 20 * second}
	short = Times{Timeout: 10 * second, Stop: 5 * second}
)

// entry is an entry of this version about the lock P.
func entry(kind Kind, term uint64, session string, owner Owner, times Times) Entry {
	return Entry{Version: Version, Kind: kind, Name: "P", Term: term, Session: session, Owner: owner, Times: times}
}

func acquire(term uint64, session string, owner Owner) Entry {
	return entry(Acquire, term, session, owner, long)
}

func release(term uint64, session string) Entry {
	return entry(Release, term, session, Owner{}, Times{})
}

func change(term uint64, session string) Entry {
	e := entry(Change, term, session, Owner{}, short)
	e.Seq = 1
	return e
}

func withSeq(e Entry, seq uint64) Entry       { e.Seq = seq; return e }
func judgedIn(e Entry, raftTerm uint64) Entry { e.RaftTerm = raftTerm; return e }

// before is the locks that the rows of TestApply begin with.
var before = map[string]struct {
	entries []Entry
	want    Lock
}{
	"never held": {nil, Lock{}},
	"held": {
		[]Entry{acquire(0, "", anna), release(1, "anna"), acquire(1, "", bert)},
		Lock{Owner: bert, Term: 2, Seq: 1, Last: "h2", Previous: "h1", Times: long},
	},
	"free": {
		[]Entry{acquire(0, "", anna), release(1, "anna"), acquire(1, "", bert), release(2, "bert")},
		Lock{Term: 2, Seq: 2, Last: "h2", Previous: "h1", Times: long},
	},
}

func TestApply(t *testing.T) {
	t.Parallel()
	changed := Lock{Owner: bert, Term: 2, Seq: 2, Last: "h2", Previous: "h1", Times: short}
	for _, row := range []struct {
		name, before string
		e            Entry
		want         Lock // the zero Lock where nothing changes
	}{
		{"first acquire", "never held", acquire(0, "", anna), Lock{Owner: anna, Term: 1, Seq: 1, Last: "h1", Times: long}},
		{"acquire of a later term", "never held", acquire(1, "", anna), Lock{}},
		{"acquire from somebody who never was", "never held", acquire(0, "bert", anna), Lock{}},
		{"acquire by nobody", "never held", acquire(0, "", Owner{Node: "h1"}), Lock{}},
		{"release of what was never held", "never held", release(0, ""), Lock{}},
		{"change of what was never held", "never held", change(0, ""), Lock{}},
		{"a leader begins", "never held", entry(Open, 0, "", Owner{}, Times{}), Lock{}},

		{"acquire of a free lock", "free", acquire(2, "", clara), Lock{Owner: clara, Term: 3, Seq: 1, Last: "h3", Previous: "h2", Times: long}},
		{"acquire of a free lock by who had it last", "free", acquire(2, "", bert), Lock{Owner: bert, Term: 3, Seq: 1, Last: "h2", Previous: "h2", Times: long}},
		{"late acquire of a free lock", "free", acquire(1, "", clara), Lock{}},
		{"acquire of an early term of a free lock", "free", acquire(0, "", clara), Lock{}},
		{"acquire after a release that crossed it", "free", acquire(2, "bert", clara), Lock{}},
		{"release that comes twice", "free", release(2, "bert"), Lock{}},
		{"release of a free lock", "free", release(2, ""), Lock{}},
		{"change after the release", "free", change(2, "bert"), Lock{}},
		{"change of a free lock", "free", change(2, ""), Lock{}},
		{"a leader begins, free lock", "free", entry(Open, 2, "", Owner{}, Times{}), Lock{}},

		{"acquire from a silent holder", "held", acquire(2, "bert", clara), Lock{Owner: clara, Term: 3, Seq: 1, Last: "h3", Previous: "h2", Times: long}},
		{"acquire by the holder itself", "held", acquire(2, "bert", bert), Lock{Owner: bert, Term: 3, Seq: 1, Last: "h2", Previous: "h2", Times: long}},
		{"acquire that comes twice", "held", acquire(1, "", bert), Lock{}},
		{"acquire of a free lock that another got first", "held", acquire(1, "", clara), Lock{}},
		{"acquire as if it were free", "held", acquire(2, "", clara), Lock{}},
		{"acquire from an earlier holder", "held", acquire(1, "anna", clara), Lock{}},
		{"acquire from an earlier holder, this term", "held", acquire(2, "anna", clara), Lock{}},
		{"acquire by nobody from the holder", "held", acquire(2, "bert", Owner{}), Lock{}},
		{"release", "held", release(2, "bert"), Lock{Term: 2, Seq: 2, Last: "h2", Previous: "h1", Times: long}},
		{"release of another session", "held", release(2, "anna"), Lock{}},
		{"late release of another term", "held", release(1, "anna"), Lock{}},
		{"release of an earlier term of the same session", "held", release(1, "bert"), Lock{}},
		{"release of a later term", "held", release(3, "bert"), Lock{}},
		{"change", "held", change(2, "bert"), changed},
		{"change that comes twice, or crosses another", "held", withSeq(change(2, "bert"), 0), Lock{}},
		{"change of a later seq", "held", withSeq(change(2, "bert"), 2), Lock{}},
		{"acquire judged in an earlier raft term", "held", judgedIn(acquire(2, "bert", clara), 7), Lock{}},
		{"acquire of a free lock, judged in an earlier raft term", "free", judgedIn(acquire(2, "", clara), 7), Lock{}},
		{"change of another session", "held", change(2, "anna"), Lock{}},
		{"late change of another term", "held", change(1, "anna"), Lock{}},
		{"change of an earlier term of the same session", "held", change(1, "bert"), Lock{}},
		{"a leader begins, held lock", "held", entry(Open, 2, "bert", Owner{}, Times{}), Lock{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			table, begin := prepared(t, row.before)
			want, changes := row.want, row.want != Lock{}
			if !changes {
				want = begin
			}
			now, changed, err := table.Apply(row.e, 0)
			if now != want || changed != changes || err != nil {
				t.Errorf("Apply = %+v, %v, %v, want %+v, %v", now, changed, err, want, changes)
			}
			if got := table.Get("P"); got != want {
				t.Errorf("then the lock is %+v, want %+v", got, want)
			}
			if got := table.Get("Q"); got != (Lock{}) {
				t.Errorf("then another lock is %+v", got)
			}
		})
	}
}

// prepared is a table whose lock P is as before says.
func prepared(t *testing.T, how string) (*Table, Lock) {
	t.Helper()
	table := NewTable()
	for _, e := range before[how].entries {
		if _, changed, err := table.Apply(e, 0); !changed || err != nil {
			t.Fatalf("cannot prepare: Apply(%+v) = %v, %v", e, changed, err)
		}
	}
	if got := table.Get("P"); got != before[how].want {
		t.Fatalf("cannot prepare: the lock is %+v, want %+v", got, before[how].want)
	}
	return table, before[how].want
}

func TestApplyOfWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for _, e := range []Entry{
		{Version: Version + 1, Kind: Release, Name: "P", Term: 2, Session: "bert"},
		{Version: 0, Kind: Release, Name: "P", Term: 2, Session: "bert"},
		{Version: -1, Kind: Release, Name: "P", Term: 2, Session: "bert"},
		{Version: Version, Kind: "later", Name: "P", Term: 2, Session: "bert"},
		{Version: Version, Kind: "", Name: "P", Term: 2, Session: "bert"},
	} {
		table, begin := prepared(t, "held")
		_, changed, err := table.Apply(e, 0)
		if changed || !errors.Is(err, ErrVersion) {
			t.Errorf("Apply(%+v) = %v, %v, want ErrVersion", e, changed, err)
		}
		if got := table.Get("P"); got != begin {
			t.Errorf("Apply(%+v) made it %+v", e, got)
		}
	}
}

// Terms are fencing tokens: neither release nor a snapshot may take one back.
func TestTermsNeverGoBack(t *testing.T) {
	t.Parallel()
	table, last := NewTable(), uint64(0)
	for round := range 5 {
		for _, e := range []Entry{acquire(last, "", anna), acquire(last+1, "anna", bert), release(last+2, "bert")} {
			if _, changed, err := table.Apply(e, 0); !changed || err != nil {
				t.Fatalf("round %d: Apply(%+v) = %v, %v", round, e, changed, err)
			}
			want := e.Term
			if e.Kind == Acquire {
				want++
			}
			table = restored(t, table)
			if got := table.Get("P").Term; got != want {
				t.Fatalf("round %d: the term is %d after %+v, want %d", round, got, e, want)
			}
			last = table.Get("P").Term
		}
	}
}

// restored is table after a snapshot and its restore, which must change nothing.
func restored(t *testing.T, table *Table) *Table {
	t.Helper()
	b, err := table.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Restore(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(again.All()), fmt.Sprint(table.All()); got != want {
		t.Fatalf("Restore(Snapshot) = %s, want %s", got, want)
	}
	return again
}

// A term that a node says it has seen raises the next one, but never so far that the terms run out.
func TestFloorHasALimit(t *testing.T) {
	t.Parallel()
	for floor, want := range map[uint64]uint64{0: 1, 41: 42, MaxFloor: MaxFloor + 1, math.MaxUint64: MaxFloor + 1} {
		e := acquire(0, "", anna)
		e.Floor = floor
		if l, changed, err := NewTable().Apply(e, e.RaftTerm); err != nil || !changed || l.Term != want {
			t.Errorf("with floor %d the term is %d (%v, %v), want %d", floor, l.Term, changed, err, want)
		}
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"never held", "held", "free"} {
		table, _ := prepared(t, how)
		again := restored(t, table)
		if now, changed, err := again.Apply(acquire(again.Get("P").Term, again.Get("P").Session, clara), 0); !changed || err != nil {
			t.Errorf("%s: Apply after Restore = %+v, %v, %v", how, now, changed, err)
		}
	}
	for text, newer := range map[string]bool{
		`{"v":3,"locks":{}}`: true,
		`{"locks":{}}`:       true,
		`null`:               true,
		`{"v":1,"locks":`:    false,
		``:                   false,
	} {
		if table, err := Restore([]byte(text)); err == nil || table != nil || errors.Is(err, ErrVersion) != newer {
			t.Errorf("Restore(%q) = %v, %v; of a newer version: want %v", text, table, err, newer)
		}
	}
	// As it was written before locks could be blocked or fenced.
	old, err := Restore([]byte(`{"v":1,"locks":{"P":{"node":"h2","session":"bert","term":2,"seq":1,"last":"h2","previous":"h1","times":{"timeout_ms":30000,"stop_ms":20000}}}}`))
	if err != nil || old.Get("P") != before["held"].want {
		t.Errorf("an old snapshot is read as %+v, %v", old, err)
	}
	if b, err := old.Snapshot(); err != nil || strings.Contains(string(b), "fenc") || strings.Contains(string(b), "blocked") {
		t.Errorf("of a lock that is neither blocked nor fenced is written %s, %v", b, err)
	}
	table, err := Restore([]byte(`{"v":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, changed, err := table.Apply(acquire(0, "", anna), 0); !changed || err != nil {
		t.Errorf("Apply on an empty snapshot = %v, %v", changed, err)
	}
}

func TestAllIsACopy(t *testing.T) {
	t.Parallel()
	table, begin := prepared(t, "held")
	all := table.All()
	delete(all, "P")
	if got := table.Get("P"); got != begin {
		t.Errorf("the table is changed through All: %+v", got)
	}
}

func TestEntryJSON(t *testing.T) {
	t.Parallel()
	for _, e := range []Entry{
		{},
		acquire(0, "", anna),
		acquire(7, "anna", bert),
		release(7, "bert"),
		change(1<<63, "bert"),
		entry(Open, 0, "", Owner{}, Times{}),
		{Version: 9, Kind: "new", Name: "ä b", Owner: Owner{Node: "n"}, Times: Times{Timeout: second}},
	} {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var got Entry
		if err := json.Unmarshal(b, &got); err != nil || got != e {
			t.Errorf("%s is read as %+v, %v, want %+v", b, got, err, e)
		}
	}
	var e Entry
	if err := json.Unmarshal([]byte(`{"v":"1"}`), &e); err == nil {
		t.Error("a version that is a text is read without an error")
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ timeout, stop, want time.Duration }{
		{40 * second, 60 * second, 101 * second},
		{30 * second, 20 * second, 50500 * time.Millisecond},
		{30 * second, 19 * second, 49500 * time.Millisecond},
		{second, 0, 1500 * time.Millisecond},
		{0, 0, 500 * time.Millisecond},
		{600 * second, 400 * second, 1010 * second},
	} {
		if got := (Times{row.timeout, row.stop}).Silence(); got != row.want {
			t.Errorf("Silence of %v and %v = %v, want %v", row.timeout, row.stop, got, row.want)
		}
	}
}

func TestTimesCheck(t *testing.T) {
	t.Parallel()
	const century = 100 * 365 * 24 * time.Hour
	for _, row := range []struct {
		times Times
		ok    bool
	}{
		{Times{100 * time.Millisecond, 0}, true},
		{long, true},
		{Times{century, century}, true},
		{Times{99 * time.Millisecond, 0}, false},
		{Times{0, second}, false},
		{Times{-second, second}, false},
		{Times{second, -1}, false},
		{Times{century + 1, second}, false},
		{Times{second, century + 1}, false},
	} {
		if err := row.times.Check(); (err == nil) != row.ok {
			t.Errorf("Check of %+v = %v, want an error: %v", row.times, err, !row.ok)
		}
	}
}
