package clinit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// entries is t as a test writes it: an entry a line, with defaults left out.
func entries(t *Table) (lines []string) {
	if t == nil {
		return nil
	}
	for _, e := range t.Entries {
		lines = append(lines, fmt.Sprintf("%d %q %q %q %q %q", e.Line, e.Group, e.Tag, e.Levels, e.Mode, e.Command))
	}
	return lines
}

// wantLines wants the problems, in order, or the entries to be these.
func wantLines[T any](t *testing.T, what string, got []T, want ...string) {
	t.Helper()
	var lines []string
	for _, g := range got {
		lines = append(lines, fmt.Sprint(g))
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestCltab(t *testing.T) {
	t.Parallel()
	text := `# the web server
:::socket:/run/a:b
   	
:::clstat:/run/st
:::log:log file
web:ip:1,2:wait:ip addr add fd00::1/64 dev eth0
web:httpd:12:respawn: httpd -f #not a comment
0:x:0:test:true
web:a.c:start:once:echo :::log:
db:off1::off:
 	`
	table, problems := Parse("cltab", []byte(text), Clinit)
	wantLines(t, "problems", problems)
	wantLines(t, "entries", entries(table),
		`6 "web" "ip" "1,2" "wait" "ip addr add fd00::1/64 dev eth0"`,
		`7 "web" "httpd" "12" "respawn" " httpd -f #not a comment"`,
		`8 "0" "x" "0" "test" "true"`,
		`9 "web" "a.c" "start" "once" "echo :::log:"`,
		`10 "db" "off1" "" "off" ""`)
	if table.Socket != "/run/a:b" || table.Status != "/run/st" || table.Log != "log file" {
		t.Errorf("settings: %q %q %q", table.Socket, table.Status, table.Log)
	}
	wantLines(t, "groups", table.Groups(), "web", "0", "db")
	wantLines(t, "entries of web", entries(&Table{Entries: table.Of("web")}), entries(table)[0], entries(table)[1], entries(table)[3])
	if len(table.GroupOptions) != 3 {
		t.Errorf("options of groups: %v", table.GroupOptions)
	}
	if empty, problems := Parse("cltab", nil, Clinit); empty == nil || len(problems)+len(empty.Entries) > 0 {
		t.Errorf("an empty file: %v, %v", empty, problems)
	}
}

// Every row is a kind of bad input, and the one line that it has.
func TestCltabBad(t *testing.T) {
	t.Parallel()
	const write = "write group:tag:levels:mode:command"
	const good = "g:t:1:once:x"
	long := strings.Repeat("x", 1<<20)
	for name, row := range map[string]struct{ text, want string }{
		"duplicate tag":           {good + "\nh:t:2:wait:y", `f:2: error: tag "t" is on line 1 already, and no two entries of a file have the same: rename one of them`},
		"tags like a regexp":      {"g:abc:1:off:\ng:a.c:1:off:", ``},
		"unknown mode":            {"\ng:t:1:bogus:x", `f:2: error: entry "t" has the unknown mode "bogus": write wait, once, respawn, test or off`},
		"upper case mode":         {"g:t:1:WAIT:x", `f:1: error: entry "t" has the unknown mode "WAIT": write wait, once, respawn, test or off`},
		"blank before mode":       {"g:t:1: wait:x", `f:1: error: entry "t" has the unknown mode " wait": write wait, once, respawn, test or off`},
		"setting for isinit":      {"g:t:1:socket:/x", `f:1: error: entry "t" has the unknown mode "socket": write wait, once, respawn, test or off`},
		"empty mode":              {"g:t:1::x", `f:1: error: entry "t" has the unknown mode "": write wait, once, respawn, test or off`},
		"no mode column":          {"g:t:1", `f:1: error: entry "t" has no mode: write group:tag:levels:mode:command, with wait, once, respawn, test or off as the mode`},
		"two columns":             {"g:t", `f:1: error: "g:t" is no entry: write group:tag:levels:mode:command, or # before a comment`},
		"one column":              {"g", `f:1: error: "g" is no entry: write group:tag:levels:mode:command, or # before a comment`},
		"one very long column":    {strings.Repeat("\x01", 99), `f:1: error: "` + strings.Repeat(`\x01`, 60) + `"... is no entry: write group:tag:levels:mode:command, or # before a comment`},
		"leading blank, comment":  {" # that", `f:1: error: the line begins with a blank: begin it with the name of a group, or with # if it is a comment`},
		"leading blank, entry":    {"\tg:t:1:once:x", `f:1: error: the line begins with a blank: begin it with the name of a group, or with # if it is a comment`},
		"empty group":             {":t:1:once:x", "f:1: error: the group is empty: " + write},
		"blank in group":          {"a b:t:1:once:x", `f:1: error: group "a b" has a blank in its name, which would shift the columns of the status file: take it out`},
		"wide blank in group":     {"a\u3000:t:1:once:x", `f:1: error: group "a\u3000" has a blank in its name, which would shift the columns of the status file: take it out`},
		"control character":       {"a\x1b:t:1:once:x", `f:1: error: group "a\x1b" has a control character in its name: take it out`},
		"byte order mark":         {"\ufeffg:t:1:once:x", `f:1: error: group "\ufeffg" has a control character in its name: take it out`},
		"control in tag":          {"g:t\t:1:once:x", `f:1: error: tag "t\t" has a control character in its name: take it out`},
		"empty tag":               {"g::1:once:x", "f:1: error: the tag is empty: " + write},
		"NUL in tag":              {"g:t\x00:1:once:x", `f:1: error: the line has a NUL byte, which no name or command can have: take it out`},
		"NUL in command":          {"g:t:1:once:x\x00", `f:1: error: the line has a NUL byte, which no name or command can have: take it out`},
		"CRLF":                    {"# c\n" + good + "\r\ng:u:1:once:x\r\n\r\n", `f:2: warning: lines end in CR LF, and the CR is left out: save the file with the line ends of Unix`},
		"unknown setting":         {":::scoket:/x\n" + good, `f:1: warning: unknown setting "scoket" is ignored: socket, clstat, log, opt and group are known`},
		"setting of isinit":       {":::initstat:/x", `f:1: warning: unknown setting "initstat" is ignored: socket, clstat, log, opt and group are known`},
		"setting without a name":  {"::::x", `f:1: warning: unknown setting "" is ignored: socket, clstat, log, opt and group are known`},
		"setting without a value": {":::socket:", `f:1: warning: setting socket has no value, and is ignored: write :::socket:PATH`},
		"setting without a colon": {":::log", `f:1: warning: setting log has no value, and is ignored: write :::log:PATH`},
		"setting said twice":      {":::log:/a\n:::log:/b", `f:2: warning: setting log is on line 1 already: this line counts, take one of them out`},
		"empty levels":            {"g:t::once:x", `f:1: warning: entry "t" has no level, and never runs: write its levels in the third column, or off as its mode`},
		"blank in levels":         {"g:t:1, 2:once:x", `f:1: warning: entry "t" has a blank among its levels "1, 2", which counts as part of a level: take it out`},
		"empty command":           {"g:t:1:wait:", `f:1: warning: entry "t" has no command, and fails when it is started: write one in the fifth column`},
		"blank command":           {"g:t:1:wait: \t", `f:1: warning: entry "t" has no command, and fails when it is started: write one in the fifth column`},
		"no command column":       {"g:t:1:test", `f:1: warning: entry "t" has no command, and fails when it is started: write one in the fifth column`},
		"longest line":            {good + long[:len(long)-len(good)] + "\n#" + long, ``},
		"too long a line":         {good + long, `f:1: error: the line is longer than 1 MB: keep the command in a script, and name that here`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, problems := Parse("f", []byte(row.text), Clinit)
			var want []string
			if row.want != "" {
				want = []string{row.want}
			}
			wantLines(t, "problems", problems, want...)
			if (table == nil) != strings.Contains(row.want, ": error: ") {
				t.Errorf("the table is %v", table)
			}
		})
	}
}

func TestCltabCRLF(t *testing.T) {
	t.Parallel()
	table, _ := Parse("f", []byte(":::socket:/s\r\ng:t:1:once:x\r\r\n  \r\ng:u:1:once:y\r"), Clinit)
	wantLines(t, "entries", entries(table), `2 "g" "t" "1" "once" "x\r"`, `4 "g" "u" "1" "once" "y"`)
	if table.Socket != "/s" {
		t.Errorf("socket %q", table.Socket)
	}
}

// All that is wrong is told, by line, but not without end.
func TestCltabManyProblems(t *testing.T) {
	t.Parallel()
	_, problems := Parse("f", []byte(":::opt:none:cwd=/\ng:t:1:x:y\n:t:1:once:y\n:::no:thing\n"), Clinit)
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	if !slices.Equal(lines, []int{1, 2, 3, 4}) {
		t.Errorf("problems of lines %v: %v", lines, problems)
	}
	table, problems := Parse("f", []byte(strings.Repeat(":::no:thing\n", 5000)+strings.Repeat("g\n", 5000)), Clinit)
	if table != nil || len(problems) != 200 || !strings.HasSuffix(problems[199].Text, " (others are not told: mend these first)") {
		t.Errorf("%v with %d problems, the last of which %v", table, len(problems), problems[len(problems)-1])
	}
}

func TestIsinittab(t *testing.T) {
	t.Parallel()
	text := `:::socket:/s:1
any:thing:1:initstat:/st
:::clstat:/no
:::initstat:
g:t:1:bogus:first
h:t:2:wait:second
g:u:1
`
	_, problems := Parse("f", []byte(text), Isinit)
	wantLines(t, "problems", problems,
		`f:3: warning: unknown setting "clstat" is ignored: socket, initstat, log, opt and group are known`,
		`f:4: warning: setting initstat has no value, and is ignored: write :::initstat:PATH`,
		`f:5: warning: entry "t" has the unknown mode "bogus", which means once: write wait, once, respawn, test or off`,
		`f:6: warning: tag "t" is on line 5 already: only this line counts, rename one of them`,
		`f:7: error: entry "u" has no mode: write group:tag:levels:mode:command, with wait, once, respawn, test or off as the mode`)

	table, _ := Parse("f", []byte(strings.Replace(text, "g:u:1", "g:u:1:no:", 1)), Isinit)
	wantLines(t, "entries", entries(table), `6 "h" "t" "2" "wait" "second"`, `7 "g" "u" "1" "once" ""`)
	wantLines(t, "groups", table.Groups(), "h", "g")
	if table.Socket != "/s:1" || table.Status != "/st" || table.Dialect != Isinit {
		t.Errorf("settings: %q %q of %s", table.Socket, table.Status, table.Dialect)
	}
}

func TestIn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ levels, clinit, isinit string }{ // words: the levels that are in it
		{"1", "1", "1"},
		{"12", "12 1 2", "1 2"},
		{"start", "start s t a r", "s t a r"},
		{"x1,", "x1, x1", "x1"},
		{"1,start", "1,start 1 start", "1 start"},
		{",", ",", ""},
		{"*", "*", "*"},
		{"a.", "a. a .", "a ."},
		{"x1,*", "x1,* x1 *", "x1 *"},
		{"0", "0", "0"},
		{"é\xff", "é\xff é \xff", "é \xff"},
		{"", "", ""},
	} {
		for d, in := range map[Dialect]string{Clinit: row.clinit, Isinit: row.isinit} {
			for _, level := range []string{"", "0", "1", "2", "12", "x1", "x1,", "x1,*", "start", "1,start", "s", "t", "a", "r", "x", ",", "*", ".", "a.", "x.", "[", "é", "é\xff", "\xff", "\xc3"} {
				want := slices.Contains(strings.Fields(in), level)
				if got := (Entry{Levels: row.levels}).In(level, d); got != want {
					t.Errorf("%s: level %q in column %q: %v", d, level, row.levels, got)
				}
			}
		}
	}
}

// FuzzCltab reads a file: what is accepted holds what the machines rely on, and every problem is a line to print.
func FuzzCltab(f *testing.F) {
	for _, s := range []string{
		"g:t:1:once:x\n", "g:t:1,2:wait:a:b\r\n", ":::socket:/s\n:::clstat:\n:::log:l", "g:a:1:once:x\nh:a:1:once:y", " #", "g\ng:t\ng:t:1\n\x00:\x01:::",
		"g:t:1:once:x\n:::opt:t:stop_signal=SIGTERM\n:::opt:t:env=A=b\n:::opt:t:nofile=1k:unlimited\n:::group:g:stop_order=reverse\n",
		":::opt:t:umask=022\n:::opt:t:nice=-5\n:::opt:t:user=a:b\n:::opt:t:log_max=5M\n:::opt:t:stop_timeout=1e400\ng:t:1:off:", "x:y:z:initstat:/q", "\ufeffg:t:1:once:x",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, isinit bool) {
		d := Clinit
		if isinit {
			d = Isinit
		}
		table, problems := Parse("f", text, d)
		refused, last := false, 0
		for _, p := range problems {
			refused = refused || p.Level == Error
			if line := p.String(); strings.ContainsFunc(line, unicode.IsControl) || len(line) > 1000 || p.Line < max(last, 1) || p.Line > strings.Count(string(text), "\n")+1 {
				t.Errorf("no line to print, or of no line: %q", line)
			}
			last = p.Line
		}
		if refused != (table == nil) {
			t.Fatalf("the table is %v, with problems %v", table, problems)
		}
		if table != nil {
			checkTable(t, table)
		}
	})
}

func checkTable(t *testing.T, table *Table) {
	t.Helper()
	tags, last := map[string]bool{}, 0
	for _, e := range table.Entries {
		if e.Group == "" || strings.ContainsAny(e.Group, " \t\n:\x00") || e.Tag == "" || tags[e.Tag] || !slices.Contains(modes, e.Mode) ||
			e.Line <= last || strings.ContainsAny(e.Command, "\n\x00") || e.In("", table.Dialect) {
			t.Errorf("bad entry: %+v", e)
		}
		tags[e.Tag], last = true, e.Line
		o := e.Options
		if o.StopSignal <= 0 || o.StopSignal > 64 || o.StopTimeout < 0 || o.Backoff < 1e9 || o.ReadyTimeout < 1e9 || o.LogMax < 1024 {
			t.Errorf("bad options: %+v", o)
		}
		for _, l := range o.Limits {
			if l.Soft > l.Hard {
				t.Errorf("bad limit: %+v", l)
			}
		}
	}
	n := 0
	for _, group := range table.Groups() {
		n += len(table.Of(group))
		if _, ok := table.GroupOptions[group]; !ok {
			t.Errorf("group %q has no options", group)
		}
	}
	if n != len(table.Entries) {
		t.Errorf("%d entries are in groups, of %d", n, len(table.Entries))
	}
}
