package clinit

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var writeTables = flag.Bool("tables.write", false, "write testdata/*.table anew")

// epoch is when everything of the tables happens.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// wantTable compares what a machine does with the table that was read and found right.
func wantTable(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *writeTables {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(text), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("%s:%d: the machine has\n%s\nand the table\n%s", path, i+1, line, want[min(i, len(want)-1)])
		}
	}
	if len(strings.Split(got, "\n")) != len(want) {
		t.Fatalf("%s has lines that the machine has not", path)
	}
}

// short is a process in words: its state, and what else matters.
func (p process) short() string {
	words := []string{string(p.State)}
	for _, f := range []struct {
		name string
		is   bool
	}{
		{"alive", p.Alive}, {"begun", p.Begun && !p.Alive}, {"held", p.Held}, {"then go", p.ThenGo}, {"unready", p.Unready}, {"rests", p.rests},
	} {
		if f.is {
			words = append(words, f.name)
		}
	}
	if p.signals > 0 {
		words = append(words, fmt.Sprintf("signals %d", p.signals))
	}
	if p.Rapid > 0 {
		words = append(words, fmt.Sprintf("rapid %d", p.Rapid))
	}
	return strings.Join(words, " ")
}

func inOrder(orders []order) string {
	var words []string
	for _, o := range orders {
		switch o.do {
		case doArm:
			words = append(words, fmt.Sprintf("arm %v", o.after))
		case doSignal:
			words = append(words, fmt.Sprintf("signal %d", o.stage))
		default:
			words = append(words, string(o.do))
		}
	}
	return strings.Join(words, ", ")
}

// A base is a process as it can be, in these modes.
type base struct {
	process
	modes []Mode
}

func bases() []base {
	ever := []Mode{Wait, Once, Respawn, Test}
	was := process{Died: epoch.Add(-time.Hour)} // its last end was long ago
	as := func(state State, change ...func(p *process)) process {
		p := was
		p.State = state
		for _, c := range change {
			c(&p)
		}
		return p
	}
	alive := func(p *process) { p.Alive, p.Begun = true, true }
	begun := func(p *process) { p.Begun = true }
	rests := func(p *process) { p.rests = true }
	held := func(p *process) { p.Held = true }
	unready := func(p *process) { p.Unready = true }
	goes := func(p *process) { p.ThenGo = true }
	rapid := func(p *process) { p.Rapid, p.Died = rapidAtMost-1, epoch.Add(-time.Second/2) }
	sent := func(n int) func(p *process) { return func(p *process) { p.signals = n } }
	long := []Mode{Once, Respawn}
	return []base{
		{as(Configured), append(slices.Clone(ever), Off)},
		{as(Configured, held), ever},
		{as(Setup), ever},
		{as(Running, alive), []Mode{Wait}},
		{as(Testing, alive), []Mode{Test}},
		{as(Readying, alive), long},
		{as(Done, alive), long},
		{as(Done, alive, rapid), []Mode{Respawn}},
		{as(Done, begun), []Mode{Wait, Once}},
		{as(Pass, begun), []Mode{Test}},
		{as(Fail, begun), []Mode{Test}},
		{as(Failed), ever},
		{as(Failed, alive, unready), long},
		{as(Failed, begun, unready), []Mode{Once}},
		{as(Pausing, begun), []Mode{Respawn}},
		{as(Pausing, begun, sent(1)), []Mode{Respawn}},
		{as(Pausing, begun, rests), []Mode{Respawn}},
		{as(Pausing, rests), []Mode{Respawn}},
		{as(Stopping, alive, sent(1)), ever},
		{as(Stopping, alive, sent(2)), ever},
		{as(Stopping, alive, sent(3)), ever},
		{as(Stopping, alive, sent(stuckAfter-1)), []Mode{Once}},
		{as(Stopping, begun), ever},
		{as(Stopping, begun, sent(1)), ever},
		{as(Stopping, begun, goes), ever},
	}
}

// Every state, event and mode of a process. What no line names changes nothing. Of what an option or isinit does there is
// what differs.
func TestProcessTable(t *testing.T) {
	var out strings.Builder
	for _, variant := range []struct {
		name  string
		rules rules
		modes []Mode
	}{
		{"", rules{}, []Mode{Wait, Once, Respawn, Test, Off}},
		{"with a ready command", rules{ready: true}, []Mode{Once, Respawn}},
		{"with leftover=keep", rules{keepsLeft: true}, []Mode{Wait, Respawn}},
		{"in isinit", rules{hard: true, perStart: true}, []Mode{Respawn}},
	} {
		for _, mode := range variant.modes {
			r := variant.rules
			r.mode, r.stopTimeout, r.backoff = mode, 15*time.Second, time.Minute
			for _, b := range bases() {
				if !slices.Contains(b.modes, mode) || b.State == Readying && !r.ready || b.Unready && !r.ready {
					continue
				}
				plain := r
				plain.ready, plain.keepsLeft, plain.hard, plain.perStart = false, false, false, false
				text, without := "", ""
				for _, k := range kinds {
					text += rows(b.process, r, k)
					without += rows(b.process, plain, k)
				}
				if variant.name == "" || text != without || b.State == Readying || b.Unready {
					fmt.Fprintf(&out, "%s\n%s", strings.TrimSpace(fmt.Sprintf("%s %s %s", mode, b.short(), variant.name)), text)
				}
			}
		}
	}
	wantTable(t, "process.table", out.String())
}

// rows is what an event does, for each status where that matters.
func rows(p process, r rules, k kind) (text string) {
	same := map[string]bool{}
	for _, status := range []int{0, 1, 137, unknown} {
		s := next(p, r, event{kind: k, status: status, now: epoch})
		what := fmt.Sprintf("%s: %s", s.short(), inOrder(s.orders))
		if s.short() == p.short() && len(s.orders) == 0 && s.Restarts == p.Restarts || same[what] {
			continue
		}
		if s.Restarts != p.Restarts {
			what += " (a restart)"
		}
		if same[what] {
			continue
		}
		same[what] = true
		name := string(k)
		if len(same) > 1 {
			name = fmt.Sprintf("... %d", status)
		}
		text += strings.TrimRight(fmt.Sprintf("    %-9s %s", name, what), " :") + "\n"
	}
	return text
}

// A path is how a group comes to where it is: words as in play.
var paths = []string{
	"tell 1, w began, w ended 0, r began, o began", // DONE
	"tell 2, r began, t began, t ended 0",          // mixed: DONE
	"tell 3, t began, t ended 0, u began, u ended 1",
	"tell 3, t began, t ended 0, u began, u ended 0",
	"tell 1, w began, tell 2, w ended 0, w gone",
	"tell 1, w began, w ended 0, r began, o began, tell 2, o ended 130, o gone, r ended 0, r gone, r began, t began",
	"tell 1, w began, w ended 0, r began, o began, halt, r ended 130, r gone, o ended 130, o gone, w gone",
	"tell 1, w not run, r not run",
	"tell 2, r began, r hold, r ended 130, r gone, t began",
}

const pathTable = `g:w:1:wait:x
g:r:12:respawn:x
g:o:1:once:x
g:t:23:test:x
g:u:3:test:x
`

// play gives a group what one step of a path says, and says what it does.
func play(g *group, table []Entry, step string) string {
	words := strings.Fields(step)
	before := g.State
	var effects []effect
	switch words[0] {
	case "tell":
		effects = g.tell(words[1], table, epoch)
	case "halt":
		effects = g.halt(epoch)
	default:
		e := event{kind: kind(strings.Join(words[1:], " ")), now: epoch}
		if words[1] == string(evEnded) {
			e.kind = evEnded
			_, _ = fmt.Sscan(words[2], &e.status)
		}
		m := g.member(words[0])
		was := m.process.short()
		effects = g.happened(m, e)
		if m.process.short() == was && len(effects) == 0 && g.State == before {
			return ""
		}
	}
	var does []string
	for _, e := range effects {
		if e.m == nil {
			does = append(does, fmt.Sprintf("%s %s", e.level, e.state))
		} else {
			does = append(does, e.m.entry.Tag+" "+inOrder([]order{e.order}))
		}
	}
	return strings.Join(does, "; ") + "."
}

// Every state of a group, as it comes to be, and each event there.
func TestGroupTable(t *testing.T) {
	table, problems := Parse("cltab", []byte(pathTable), Clinit)
	if table == nil {
		t.Fatal(problems)
	}
	entries := table.Of("g")
	at := func(steps []string) *group {
		g := &group{Name: "g", State: GroupConfigured, dialect: Clinit}
		for _, s := range steps {
			play(g, entries, s)
		}
		return g
	}
	var out strings.Builder
	done := map[string]bool{}
	for _, path := range paths {
		steps := strings.Split(path, ", ")
		for n := range len(steps) + 1 {
			if done[strings.Join(steps[:n], ", ")] {
				continue
			}
			done[strings.Join(steps[:n], ", ")] = true
			g := at(steps[:n])
			fmt.Fprintf(&out, "%s: level %q, %s\n", strings.Join(steps[:n], ", "), g.Level, g.State)
			all := []string{"tell 1", "tell 2", "tell 9", "halt"}
			for _, m := range g.members {
				late := ""
				if m.late {
					late = " (late)"
				}
				fmt.Fprintf(&out, "  %s %s%s\n", m.entry.Tag, m.short(), late)
				for _, k := range kinds {
					step := m.entry.Tag + " " + string(k)
					if k == evEnded {
						step += " 0"
					}
					if k == evBegan && m.State != Setup || k == evNotRun && m.State != Setup || k == evEnded && !m.Alive ||
						k == evReady || k == evNotReady {
						if what := play(at(steps[:n]), entries, step); what != "" {
							t.Errorf("after %q, %s cannot be, but does %s", path, step, what)
						}
						continue
					}
					all = append(all, step)
				}
			}
			for _, step := range all {
				h := at(steps[:n])
				if does := play(h, entries, step); does != "" {
					fmt.Fprintf(&out, "    %-12s %s: %s\n", step, h.State, does)
				}
			}
		}
	}
	wantTable(t, "group.table", out.String())
}
