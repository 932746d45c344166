package deadman

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lease"
)

// at is a reading of both clocks.
func at(seconds float64) lease.Time {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Microsecond)
	return lease.Reading(d, d)
}

func held(p string, end, kill float64) Word {
	return Word{Package: p, Phase: Held, Doing: "running", Term: 7, End: at(end), Kill: at(kill), Every: time.Second}
}

func stopping(p string, kill float64) Word {
	return Word{Package: p, Phase: Stopping, Doing: "failing", Term: 7, Kill: at(kill), Every: time.Second}
}

func free(p string) Word { return Word{Package: p, Phase: Free} }

func over(p string) Word { return Word{Package: p, Phase: Free, Over: true} }

func (d deed) String() string {
	return strings.TrimSpace(strings.Join([]string{d.do, d.pkg, strings.Join(d.revives, " ")}, " "))
}

func deedsOf(deeds []deed) string {
	var all []string
	for _, d := range deeds {
		all = append(all, strings.Join(strings.Fields(d.String()), " "))
	}
	return strings.Join(all, ", ")
}

// A happening is what comes to the machine at a moment.
type happening func(m *machine, now lease.Time) []deed

func looks(*machine, lease.Time) []deed       { return nil }
func goes(m *machine, now lease.Time) []deed  { return m.gone(now) }
func comes(m *machine, now lease.Time) []deed { m.back(now); return nil }
func stopEnds(p string) happening {
	return func(m *machine, _ lease.Time) []deed { return m.stopped(p) }
}

func says(w Word) happening                              { return func(m *machine, now lease.Time) []deed { return m.said(w, now) } }
func (h happening) at(m *machine, now lease.Time) []deed { return append(h(m, now), m.due(now)...) }

// A moment is one row of a story: what happens at so many seconds, and what is to be done then.
type moment struct {
	at   float64
	on   happening
	want string
}

type story struct {
	name    string
	moments []moment
}

func silentStories() []story {
	halting, halted := held("p", 10, 30), held("p", 10, 30)
	halting.Doing, halted.Doing = "halting", "halted"
	released := stopping("p", 20)
	released.Phase = Free
	return []story{
		{"a cut: the manager stops, the deadman only kills", []moment{
			{0, says(held("p", 10, 30)), ""},
			{5, says(held("p", 15, 35)), ""},
			{10.3, looks, ""},
			{15, says(stopping("p", 35)), ""},
			{34.9, says(stopping("p", 35)), ""},
			{34.999999, looks, ""},
			{35, looks, "kill p"},
			{35.5, looks, ""},
			{35.6, says(stopping("p", 35)), ""},
			{36, says(free("p")), ""},
			{100, looks, ""},
			{100, says(over("p")), "let go p, end"},
		}},
		{"another kill end is another kill", []moment{
			{0, says(stopping("p", 20)), ""},
			{19.5, says(stopping("p", 20)), ""},
			{20, looks, "kill p"},
			{20.5, says(held("p", 30, 50)), ""},
			{30, says(stopping("p", 50)), ""},
			{49.5, says(stopping("p", 50)), ""},
			{50, looks, "kill p"},
		}},
		{"killed, released, and lost again under the same kill end", []moment{
			{0, says(stopping("p", 20)), ""},
			{19.5, says(stopping("p", 20)), ""},
			{20, looks, "kill p"},
			{20.5, says(released), ""},
			{21, says(stopping("p", 20)), "kill p"},
		}},
		{"a smaller kill end binds at once", []moment{
			{0, says(held("p", 10, 30)), ""},
			{1, says(stopping("p", 5)), ""},
			{4, says(stopping("p", 5)), ""},
			{5, looks, "kill p"},
		}},
		{"a released package is not killed", []moment{
			{0, says(held("p", 10, 30)), ""},
			{9, says(free("p")), ""},
			{30, looks, ""},
		}},
		{"silent at the lease's end", []moment{
			{0, says(held("p", 10, 30)), ""},
			{10.299999, looks, ""},
			{10.3, looks, "kill manager, stop p"},
			{10.3, looks, ""},
			{10.3, goes, ""},
			{12, stopEnds("p"), "let go p, begin p, end"},
		}},
		{"the stop hangs", []moment{
			{0, says(held("p", 10, 30)), ""},
			{10.3, looks, "kill manager, stop p"},
			{10.3, goes, ""},
			{29.999999, looks, ""},
			{30, looks, "kill p"},
			{31, looks, ""},
			{32, stopEnds("p"), "let go p, begin p, end"},
		}},
		{"asleep until after the kill end", []moment{
			{0, says(held("p", 10, 30)), ""},
			{40, looks, "kill p, kill manager, stop p"},
			{40, goes, ""},
		}},
		{"what was halting is not begun again", []moment{
			{0, says(halting), ""},
			{10.3, looks, "kill manager, stop p"},
			{10.3, goes, ""},
			{12, stopEnds("p"), "let go p, end"},
		}},
		{"nor what was halted", []moment{
			{0, says(halted), ""},
			{10.3, looks, "kill manager, stop p"},
			{10.3, goes, ""},
			{12, stopEnds("p"), "let go p, end"},
		}},
		{"silent after the kill end", []moment{
			{0, says(stopping("p", 30)), ""},
			{29.5, says(stopping("p", 30)), ""},
			{30, looks, "kill p"},
			{31.799999, looks, ""},
			{31.8, looks, "kill manager"},
			{31.8, looks, ""},
			{31.8, goes, "revive p"},
			{32, comes, ""}, // it has as long as the first to say how it stands
			{34, says(stopping("p", 30)), ""},
			{36.3, looks, "kill manager"},
			{36.3, goes, "revive p"},
			{36.4, comes, ""},
			{38.699999, looks, ""},
			{38.7, looks, "kill manager"},
		}},
	}
}

func goneStories() []story {
	return []story{
		{"killed: another goes on", []moment{
			{0, says(held("p", 10, 30)), ""},
			{5, goes, "revive p"},
			{5.1, says(free("p")), ""}, // nobody is here who could say it
			{5.2, comes, ""},
			{9, says(held("p", 19, 39)), ""},
			{10.3, looks, ""},
			{19.3, looks, "kill manager, stop p"},
		}},
		{"killed: the same lease end for who comes back", []moment{
			{0, says(held("p", 10, 30)), ""},
			{9, goes, "revive p"},
			{9.9, comes, ""},
			{10.299999, looks, ""},
			{10.3, looks, "kill manager, stop p"},
		}},
		{"killed, and nobody comes", []moment{
			{0, says(held("p", 10, 30)), ""},
			{5, goes, "revive p"},
			{6.499999, looks, ""},
			{6.5, looks, "kill manager, nobody is left, stop p"},
			{6.5, goes, ""},
			{9, stopEnds("p"), "let go p, begin p, end"},
		}},
		{"killed, and nobody comes until the lease's end", []moment{
			{0, says(held("p", 10, 30)), ""},
			{9, goes, "revive p"},
			{9.999999, looks, ""},
			{10, looks, "kill manager, stop p"},
			{10.5, looks, ""},
			{12, stopEnds("p"), "let go p, begin p, end"},
		}},
		{"killed after the lease's end", []moment{
			{0, says(held("p", 10, 30)), ""},
			{10.1, goes, "stop p"},
			{12, stopEnds("p"), "let go p, begin p, end"},
		}},
		{"killed while it stops: the same kill end", []moment{
			{0, says(stopping("p", 30)), ""},
			{29, goes, "revive p"},
			{29.2, comes, ""},
			{30, looks, "kill p"},
		}},
		{"killed while it stops, and nobody comes", []moment{
			{0, says(stopping("p", 30)), ""},
			{29, goes, "revive p"},
			{30, looks, "kill p"},
			{30.5, looks, "kill manager, nobody is left, stop p"},
			{31, stopEnds("p"), "let go p, begin p, end"},
		}},
		{"killed after the kill end came unseen", []moment{
			{0, says(stopping("p", 30)), ""},
			{30, goes, "revive p, kill p"},
		}},
		{"killed with nothing held, and nobody comes", []moment{
			{5, goes, "revive p"},
			{6.5, looks, "kill manager, nobody is left, let go p, end"},
		}},
		{"killed again and again", []moment{
			{0, says(held("p", 10, 30)), ""},
			{1, goes, "revive p"},
			{1.1, goes, "revive p"},
			{1.2, comes, ""},
			{2, goes, "revive p"},
			{2.1, comes, ""},
			{3, goes, "nobody is left, stop p"},
			{3.1, goes, ""},
			{4, stopEnds("p"), "let go p, end"},
		}},
		{"a manager that lived is well", []moment{
			{0, says(held("p", 10, 30)), ""},
			{1, goes, "revive p"},
			{1.1, goes, "revive p"},
			{1.2, goes, "revive p"},
			{1.3, comes, ""},
			{5, says(held("p", 15, 35)), ""},
			{11.3, goes, "revive p"},
			{11.4, goes, "revive p"},
		}},
		{"a manager that did not live so long is not", []moment{
			{0, says(held("p", 10, 30)), ""},
			{1, goes, "revive p"},
			{1.1, goes, "revive p"},
			{1.2, goes, "revive p"},
			{1.3, comes, ""},
			{5, says(held("p", 15, 35)), ""},
			{11.299999, goes, "nobody is left, stop p"},
		}},
	}
}

func twoStories() []story {
	both := []moment{{0, says(held("p", 10, 30)), ""}, {0, says(held("q", 20, 40)), ""}}
	with := func(more ...moment) []moment { return append(both[:2:2], more...) }
	return []story{
		{"one is silent: another manager goes on with the other", with(
			moment{10.3, looks, "kill manager, stop p"},
			moment{10.3, goes, "revive q"},
			moment{10.4, says(free("q")), ""},
			moment{10.5, comes, ""},
			moment{11, says(free("p")), ""},         // too late
			moment{11, says(held("p", 31, 51)), ""}, // too late
			moment{11, says(over("p")), ""},         // too late
			moment{12, says(held("q", 22, 42)), ""}, //
			moment{13, goes, "revive q"},            //
			moment{13.2, comes, ""},                 //
			moment{14, stopEnds("q"), ""},           // that is not the deadman's
			moment{14, stopEnds("p"), "let go p, begin p"},
			moment{15, stopEnds("p"), ""},
			moment{16, says(over("q")), "let go q, end"},
		)},
		{"the manager ends while the deadman stops the other", with(
			moment{10.3, looks, "kill manager, stop p"},
			moment{10.3, goes, "revive q"},
			moment{10.5, comes, ""},
			moment{12, says(over("q")), "let go q"},
			moment{13, goes, ""},
			moment{14, stopEnds("p"), "let go p, begin p, end"},
		)},
		{"ended with one", with(
			moment{5, says(over("p")), "let go p"},
			moment{6, says(held("p", 16, 36)), ""},
			moment{7, goes, "revive q"},
		)},
		{"each lease's end comes while nobody does", []moment{
			{0, says(held("p", 10, 30)), ""},
			{0, says(held("q", 10.4, 30.4)), ""},
			{0, says(held("r", 60, 80)), ""}, // nobody asked for r
			{9, goes, "revive p q"},
			{10, looks, "stop p"},
			{10.2, goes, "revive q"},
			{10.4, looks, "kill manager, stop q"},
			{10.4, stopEnds("p"), "let go p, begin p"},
			{11.7, looks, ""},
			{12, stopEnds("q"), "let go q, begin q, end"},
		}},
		{"one is past its lease's end when the manager goes", with(
			moment{10.1, goes, "stop p, revive q"},
			moment{11.6, looks, "kill manager, nobody is left, stop q"},
		)},
		{"what must not wait comes first", []moment{
			{0, says(held("p", 10, 30)), ""},
			{0, says(stopping("q", 10.3)), ""},
			{10.3, looks, "kill q, kill manager, stop p"},
			{10.3, goes, "revive q"},
		}},
		{"both are silent", []moment{
			{0, says(held("p", 10, 30)), ""},
			{0, says(held("q", 10, 35)), ""},
			{10.3, looks, "kill manager, stop p, stop q"},
			{10.3, goes, ""},
			{30, looks, "kill p"},
			{31, stopEnds("p"), "let go p, begin p"},
			{35, looks, "kill q"},
			{36, stopEnds("q"), "let go q, begin q, end"},
		}},
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	for packages, stories := range map[string][]story{
		"p": append(silentStories(), goneStories()...), "p q": twoStories(),
	} {
		for _, s := range stories {
			m := newMachine(at(0), strings.Fields(packages))
			for _, mo := range s.moments {
				if got := deedsOf(mo.on.at(m, at(mo.at))); got != mo.want {
					t.Errorf("%s: at %v got %q, want %q", s.name, mo.at, got, mo.want)
				}
			}
		}
	}
}

// What of a package is told to a manager that goes on with it is what the last one said.
func TestMachineKeepsWords(t *testing.T) {
	t.Parallel()
	m := newMachine(at(0), []string{"p", "q"})
	m.said(held("p", 10, 30), at(0))
	m.said(stopping("q", 8), at(1))
	m.gone(at(2))
	m.back(at(3))
	if got, want := fmt.Sprint(m.managers()), "[p q]"; got != want {
		t.Fatalf("managers go on with %s, want %s", got, want)
	}
	if got := m.duties["p"].Word; got != held("p", 10, 30) {
		t.Errorf("p: %+v", got)
	}
	if got := m.duties["q"].Word; got != stopping("q", 8) {
		t.Errorf("q: %+v", got)
	}
}
