package lock

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// bert2 is a later session of bert's node.
var bert2 = Owner{Node: "h2", Session: "bert2"}

// kept is the lock that the rows of TestRules begin with: in bert's hands, in seq 1 of term 2.
var kept = Lock{Owner: bert, Term: 2, Seq: 1, Last: "h2", Previous: "h1", Times: long}

func adopt(session string, owner Owner) Entry { return entry(Adopt, 2, session, owner, short) }

func block(session, reason string) Entry {
	e := entry(Block, 2, session, Owner{}, Times{})
	e.Reason = reason
	return e
}

func unblock(session string) Entry { return entry(Unblock, 2, session, Owner{}, Times{}) }

func fence(seq uint64, by Owner) Entry {
	e := entry(Fence, 2, "bert", by, Times{})
	e.Seq, e.Limit = seq, 20_000
	return e
}

func fenced(by Owner, ok bool) Entry {
	e := entry(Fenced, 2, "bert", Owner{Session: by.Session}, Times{})
	e.OK = ok
	return e
}

// silently is an acquire from a holder that was only silent.
func silently(e Entry) Entry { e.Silent = true; return e }

func settled(session string) Entry { return entry(Settled, 2, session, Owner{}, Times{}) }

func isOff(session, node string) Entry { e := settled(session); e.Owner.Node = node; return e }

func inTerm(e Entry, term uint64) Entry { e.Term = term; return e }

func with(change func(*Lock)) Lock {
	l := kept
	change(&l)
	return l
}

// What each kind of entry needs of the lock, and makes of it, after others.
func TestRules(t *testing.T) {
	t.Parallel()
	free := Lock{Term: 2, Last: "h2", Previous: "h1", Times: long}
	freeAt := func(seq uint64) Lock { l := free; l.Seq = seq; return l }
	fencing := Fencing{By: clara, Limit: 20_000}
	adopted := Lock{Owner: bert2, Term: 3, Seq: 1, Last: "h2", Previous: "h1", Times: short}
	ofClara := Lock{Owner: clara, Term: 3, Seq: 1, Last: "h3", Previous: "h2", Times: long}
	silence := []Entry{silently(acquire(2, "bert", clara))}
	naming := func(l Lock, unfenced Nodes) Lock { l.Unfenced = unfenced; return l }
	for _, row := range []struct {
		name  string
		after []Entry
		e     Entry
		want  Lock // the zero Lock where nothing changes
	}{
		{"adoption", nil, adopt("bert", bert2), adopted},
		{"adoption from oneself", nil, adopt("bert", bert), Lock{Owner: bert, Term: 3, Seq: 1, Last: "h2", Previous: "h1", Times: short}},
		{"adoption by another node", nil, adopt("bert", clara), Lock{}},
		{"adoption from another session", nil, adopt("anna", bert2), Lock{}},
		{"adoption in another term", nil, inTerm(adopt("bert", bert2), 1), Lock{}},
		{"adoption of a free lock", []Entry{release(2, "bert")}, adopt("", bert2), Lock{}},
		{"adoption judged in another raft term", nil, judgedIn(adopt("bert", bert2), 7), Lock{}},
		{"adoption by nobody", nil, adopt("bert", Owner{Node: "h2"}), Lock{}},
		{"adoption of a blocked lock", []Entry{block("bert", "stuck")}, adopt("bert", bert2), func() Lock { l := adopted; l.Blocked = "stuck"; return l }()},
		{"adoption of a lock that was blocked since", []Entry{block("bert", "stuck")}, withSeq(adopt("bert", bert2), 1), Lock{}},
		{"adoption while it is fenced", []Entry{fence(1, clara)}, adopt("bert", bert2), Lock{}},
		{"adoption after it was fenced", []Entry{fence(1, clara), fenced(clara, true)}, adopt("bert", bert2), Lock{}},
		{"adoption after a fencing that failed", []Entry{fence(1, clara), fenced(clara, false)}, adopt("bert", bert2), adopted},

		{"block", nil, block("bert", "stuck"), with(func(l *Lock) { l.Seq, l.Blocked = 2, "stuck" })},
		{"block, for another reason", []Entry{block("bert", "stuck")}, block("bert", "busy"), with(func(l *Lock) { l.Seq, l.Blocked = 3, "busy" })},
		{"block by another session", nil, block("anna", "stuck"), Lock{}},
		{"block in another term", nil, inTerm(block("bert", "stuck"), 1), Lock{}},
		{"block of a free lock", []Entry{release(2, "bert")}, block("", "stuck"), Lock{}},
		{"block without a reason", nil, block("bert", ""), Lock{}},
		{"block for too long a reason", nil, block("bert", strings.Repeat("x", MaxReason+1)), Lock{}},
		{"release of a blocked lock", []Entry{block("bert", "stuck")}, release(2, "bert"), freeAt(3)},
		{"change of a blocked lock", []Entry{block("bert", "stuck")}, withSeq(change(2, "bert"), 2), with(func(l *Lock) { l.Seq, l.Blocked, l.Times = 3, "stuck", short })},
		{"acquire from who blocked it", []Entry{block("bert", "stuck")}, acquire(2, "bert", clara), ofClara},
		{"acquire of a lock that was blocked since", []Entry{block("bert", "stuck")}, withSeq(acquire(2, "bert", clara), 1), Lock{}},
		{"unblock", []Entry{block("bert", "stuck")}, unblock("bert"), freeAt(3)},
		{"unblock of a lock that is not blocked", nil, unblock("bert"), Lock{}},
		{"unblock of another session", []Entry{block("bert", "stuck")}, unblock("anna"), Lock{}},
		{"unblock of another term", []Entry{block("bert", "stuck")}, inTerm(unblock("bert"), 1), Lock{}},
		{"unblock that comes twice", []Entry{block("bert", "stuck"), unblock("bert")}, unblock("bert"), Lock{}},

		{"fence", nil, fence(1, clara), with(func(l *Lock) { l.Seq, l.Fencing = 2, fencing })},
		{"fence by nobody", nil, fence(1, Owner{}), Lock{}},
		{"fence without a limit", nil, func() Entry { e := fence(1, clara); e.Limit = 0; return e }(), Lock{}},
		{"fence that takes too long", nil, func() Entry { e := fence(1, clara); e.Limit = 600_001; return e }(), Lock{}},
		{"fence of another session", nil, func() Entry { e := fence(1, clara); e.Session = "anna"; return e }(), Lock{}},
		{"fence of another term", nil, inTerm(fence(1, clara), 1), Lock{}},
		{"fence judged in another raft term", nil, judgedIn(fence(1, clara), 7), Lock{}},
		{"fence that comes twice", []Entry{fence(1, clara)}, fence(1, clara), Lock{}},
		{"fence that crosses another", []Entry{fence(1, anna)}, fence(1, clara), Lock{}},
		{"fence after one that came to its limit", []Entry{fence(1, anna)}, fence(2, clara), with(func(l *Lock) { l.Seq, l.Fencing = 3, fencing })},
		{"fence of a blocked lock", []Entry{block("bert", "stuck")}, fence(2, clara), Lock{}},
		{"fence of a free lock", []Entry{release(2, "bert")}, func() Entry { e := fence(2, clara); e.Session = ""; return e }(), Lock{}},
		{"fence of who is off already", []Entry{fence(1, clara), fenced(clara, true)}, fence(3, anna), Lock{}},
		{"acquire of a lock that is fenced since", []Entry{fence(1, clara)}, withSeq(acquire(2, "bert", anna), 1), Lock{}},
		{"block while it is fenced", []Entry{fence(1, clara)}, block("bert", "stuck"), with(func(l *Lock) { l.Seq, l.Fencing, l.Blocked = 3, fencing, "stuck" })},
		{"release while it is fenced", []Entry{fence(1, clara)}, release(2, "bert"), freeAt(3)},

		{"fenced", []Entry{fence(1, clara)}, fenced(clara, true), with(func(l *Lock) { l.Seq, l.Fenced = 3, true })},
		{"not fenced", []Entry{fence(1, clara)}, fenced(clara, false), with(func(l *Lock) { l.Seq = 3 })},
		{"fenced by another", []Entry{fence(1, clara)}, fenced(anna, true), Lock{}},
		{"fenced, and nobody was to", nil, fenced(clara, true), Lock{}},
		{"fenced by nobody, and nobody was to", nil, fenced(Owner{}, true), Lock{}},
		{"fenced, and again otherwise", []Entry{fence(1, clara), fenced(clara, false)}, fenced(clara, true), Lock{}},
		{"fenced, of another term", []Entry{fence(1, clara)}, inTerm(fenced(clara, true), 1), Lock{}},
		{"fenced, in the term before", []Entry{fence(1, clara), acquire(2, "bert", bert2)}, fenced(clara, true), Lock{}},
		{"acquire of a fenced lock", []Entry{fence(1, clara), fenced(clara, true)}, acquire(2, "bert", clara), ofClara},

		{"acquire from who was silent", nil, silently(acquire(2, "bert", clara)), naming(ofClara, "h2")},
		{"acquire from who had another silent one before", silence, silently(acquire(3, "clara", bert2)), naming(Lock{Owner: bert2, Term: 4, Seq: 1, Last: "h2", Previous: "h3", Times: long}, "h2 h3")},
		{"acquire from one who was silent twice", append(silence, silently(acquire(3, "clara", bert2))), silently(acquire(4, "bert2", clara)), naming(Lock{Owner: clara, Term: 5, Seq: 1, Last: "h3", Previous: "h2", Times: long}, "h3 h2")},
		{"release after silence", silence, release(3, "clara"), naming(Lock{Term: 3, Seq: 2, Last: "h3", Previous: "h2", Times: long}, "h2")},
		{"acquire after that release", append(silence, release(3, "clara")), acquire(3, "", clara), naming(Lock{Owner: clara, Term: 4, Seq: 1, Last: "h3", Previous: "h3", Times: long}, "h2")},
		{"acquire of a free lock is from nobody", []Entry{release(2, "bert")}, silently(acquire(2, "", clara)), ofClara},
		{"adoption after silence", silence, inTerm(adopt("clara", clara), 3), naming(Lock{Owner: clara, Term: 4, Seq: 1, Last: "h3", Previous: "h2", Times: short}, "h2")},
		{"block after silence", silence, inTerm(block("clara", "stuck"), 3), naming(func() Lock { l := ofClara; l.Seq, l.Blocked = 2, "stuck"; return l }(), "h2")},
		{"unblock after silence", append(silence, inTerm(block("clara", "stuck"), 3)), inTerm(unblock("clara"), 3), naming(Lock{Term: 3, Seq: 3, Last: "h3", Previous: "h2", Times: long}, "h2")},
		{"fenced, who was silent before", append(silence, silently(acquire(3, "clara", bert)), inTerm(fence(1, anna), 4)), inTerm(fenced(anna, true), 4), naming(Lock{Owner: bert, Term: 4, Seq: 3, Last: "h2", Previous: "h3", Times: long, Fenced: true}, "h3")},
		{"not fenced, who was silent before", append(silence, silently(acquire(3, "clara", bert)), inTerm(fence(1, anna), 4)), inTerm(fenced(anna, false), 4), naming(Lock{Owner: bert, Term: 4, Seq: 3, Last: "h2", Previous: "h3", Times: long}, "h2 h3")},
		{"settled", silence, inTerm(settled("clara"), 3), func() Lock { l := ofClara; l.Seq = 2; return l }()},
		{"settled, and nobody is named", nil, settled("bert"), Lock{}},
		{"settled by another session", silence, inTerm(settled("bert"), 3), Lock{}},
		{"settled in another term", silence, settled("clara"), Lock{}},
		{"a node that is off", append(silence, silently(acquire(3, "clara", bert2))), inTerm(isOff("bert2", "h2"), 4), naming(Lock{Owner: bert2, Term: 4, Seq: 2, Last: "h2", Previous: "h3", Times: long}, "h3")},
		{"a node that is off, of a free lock", append(silence, release(3, "clara")), inTerm(isOff("", "h2"), 3), Lock{Term: 3, Seq: 3, Last: "h3", Previous: "h2", Times: long}},
		{"a node that is off, and not named", silence, inTerm(isOff("clara", "h3"), 3), Lock{}},
		{"a node that is off, in another term", silence, isOff("clara", "h2"), Lock{}},
		{"settled of a free lock", append(silence, release(3, "clara")), inTerm(settled(""), 3), Lock{}},
	} {
		table, _ := prepared(t, "held")
		for _, e := range row.after {
			if k, changed, err := table.Apply(e, 0); !changed || err != nil {
				t.Fatalf("%s: cannot prepare: %+v leaves %+v, %v", row.name, e, k, err)
			}
		}
		begin := restored(t, table).Get("P")
		want := row.want
		if want == (Lock{}) {
			want = begin
		}
		now, changed, err := table.Apply(row.e, 0)
		if now != want || changed != (row.want != Lock{}) || err != nil || table.Get("P") != want {
			t.Errorf("%s: %+v made %+v, %v, %v; want %+v", row.name, begin, now, changed, err, want)
		}
		b, err := json.Marshal(row.e)
		var again Entry
		if err != nil || json.Unmarshal(b, &again) != nil || again != row.e {
			t.Errorf("%s: %s is read as %+v, want %+v", row.name, b, again, row.e)
		}
	}
}

// The nodes that are named are bounded, and the newest are kept.
func TestNodes(t *testing.T) {
	t.Parallel()
	var n Nodes
	for i := range 3 * maxUnfenced {
		n = n.with(fmt.Sprint("h", i)).with("h0")
	}
	if all := n.All(); len(all) != maxUnfenced || all[0] != "h33" || all[maxUnfenced-2] != "h47" || all[maxUnfenced-1] != "h0" {
		t.Errorf("after many there are %v", all)
	}
	if n = n.without("h0").without("none"); len(n.All()) != maxUnfenced-1 {
		t.Errorf("without one of them there are %v", n.All())
	}
}

// Entries and snapshots are of the lowest version that knows what is in them, so that servers that are older
// go on as long as they can (rule 14).
func TestNeeds(t *testing.T) {
	t.Parallel()
	table, _ := prepared(t, "held")
	for i, step := range []struct {
		e           Entry
		entry, then int
	}{
		{silently(acquire(2, "bert", clara)), 2, 2},
		{release(3, "clara"), 1, 2},
		{acquire(3, "", bert), 1, 2},
		{inTerm(settled("bert"), 4), 2, 1},
	} {
		if got := step.e.Needs(); got != step.entry {
			t.Errorf("%+v needs version %d, want %d", step.e, got, step.entry)
		}
		if _, changed, err := table.Apply(step.e, 0); !changed || err != nil {
			t.Fatalf("step %d: %v, %v", i, changed, err)
		}
		b, err := table.Snapshot()
		if want := fmt.Sprintf(`{"v":%d,`, step.then); table.Needs() != step.then || err != nil || !strings.HasPrefix(string(b), want) {
			t.Errorf("after step %d the table needs %d: %.20s, %v; want %d", i, table.Needs(), b, err, step.then)
		}
	}
}

func TestCheckReason(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"stop failed: exit 3", "süß", strings.Repeat("x", MaxReason), "\"quoted\""} {
		if err := CheckReason(reason); err != nil {
			t.Errorf("CheckReason(%q) = %v", reason, err)
		}
	}
	for _, reason := range []string{"", "two\nlines", "a\rb", "\x1b[31m", "a\x00", "\xff", "a\u202eb", strings.Repeat("ü", MaxReason/2) + "x"} {
		if err := CheckReason(reason); err == nil {
			t.Errorf("CheckReason(%q) finds nothing wrong", reason)
		} else if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
			t.Errorf("CheckReason(%q) = %q: not one clean line", reason, err)
		}
	}
}

// Whatever is alive, and however long its command lines are: a lock can be blocked for it.
func TestReason(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "still alive: sleep (pid 7)", strings.Repeat("java -Xmx4g -jar server.jar (pid 4711), ", 20), strings.Repeat("ü", MaxReason), "two\nlines", "a\x00\xffb",
	} {
		got := Reason(text)
		if err := CheckReason(got); err != nil {
			t.Errorf("Reason(%q) = %q: %v", text, got, err)
		}
		if CheckReason(text) == nil && strings.TrimSpace(text) == text && got != text {
			t.Errorf("Reason(%q) = %q", text, got)
		}
	}
}
