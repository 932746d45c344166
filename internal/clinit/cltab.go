// Package clinit is the cluster-wide init: resource groups whose processes are started and stopped by run level, as
// clinit (Cluster::Init 0.215) and isinit (IS::Init 0.93) do, from one inittab-like file that all hosts have.
package clinit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Mode says how an entry runs.
type Mode string

// The modes of Cluster::Init's documentation.
const (
	Wait    Mode = "wait"    // later entries of the group wait until it has ended
	Once    Mode = "once"    // started, and not started again
	Respawn Mode = "respawn" // started again whenever it ends
	Test    Mode = "test"    // as wait; its exit status is what the group passes or fails by
	Off     Mode = "off"     // never started
)

var modes = []Mode{Wait, Once, Respawn, Test, Off}

const modeList = "wait, once, respawn, test or off"

// A Dialect says which of the two originals a file is for.
type Dialect string

// The dialects.
const (
	Clinit Dialect = "clinit" // Cluster::Init's cltab
	Isinit Dialect = "isinit" // IS::Init's isinittab
)

// An Entry is one line of the file: group:tag:levels:mode:command.
type Entry struct {
	Group, Tag, Levels string
	Mode               Mode
	Command            string // "" where there is none but blanks: it cannot be run
	Line               int
	Options            Options // what :::opt: lines say of it; defaults where they say nothing
}

// A Table is what a whole file says.
type Table struct {
	Dialect             Dialect
	Entries             []Entry                 // by line
	Socket, Status, Log string                  // what :::socket:, :::clstat: (isinit: :::initstat:) and :::log: say; "" where not set
	GroupOptions        map[string]GroupOptions // of every group
}

// Groups is the names of the groups, in the order in which they first appear.
func (t *Table) Groups() (names []string) {
	seen := map[string]bool{}
	for _, e := range t.Entries {
		if !seen[e.Group] {
			seen[e.Group] = true
			names = append(names, e.Group)
		}
	}
	return names
}

// Of is the entries of a group, by line: in this order they start.
func (t *Table) Of(group string) (entries []Entry) {
	for _, e := range t.Entries {
		if e.Group == group {
			entries = append(entries, e)
		}
	}
	return entries
}

// In says whether the entry's level column names level. As Cluster::Init's documentation has it, a column with a comma
// is a list of levels, and one without is a level for each character; clinit takes the whole column for a level, too.
// The comparison is literal (the originals took a level for a regular expression).
func (e Entry) In(level string, d Dialect) bool {
	switch {
	case level == "":
		return false
	case d == Clinit && e.Levels == level:
		return true
	case strings.Contains(e.Levels, ","):
		return slices.Contains(strings.Split(e.Levels, ","), level)
	}
	return slices.Contains(strings.Split(e.Levels, ""), level)
}

// A Level says what a Problem means for the file.
type Level string

// The levels.
const (
	Error   Level = "error"   // the file is refused as a whole
	Warning Level = "warning" // the file counts
)

// A Problem is one thing that is wrong with a file.
type Problem struct {
	File  string
	Line  int // 0 where it concerns the whole file
	Level Level
	Text  string // what is wrong with what, and what to do
}

// String is the problem as people are shown it.
func (p Problem) String() string {
	if p.Line == 0 { // of the whole file
		return fmt.Sprintf("%s: %s: %s", p.File, p.Level, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Level, p.Text)
}

const (
	longestLine = 1 << 20
	mostTold    = 100 // problems of each level: a file that is none of ours has one on every line
)

// Parse reads the text of a cltab or isinittab. The table is nil if there is an error among the problems, which are by
// line.
func Parse(file string, text []byte, d Dialect) (*Table, []Problem) {
	table, problems := ParseAll(file, text, d)
	if hasErrors(problems) {
		return nil, problems
	}
	return table, problems
}

// ParseAll is Parse for a client, which has to find its daemon by a file that is wrong too: the table is what there is.
func ParseAll(file string, text []byte, d Dialect) (*Table, []Problem) {
	p := parser{
		table: &Table{Dialect: d, GroupOptions: map[string]GroupOptions{}},
		file:  file, tags: map[string]int{}, said: map[string]int{}, told: map[Level]int{},
	}
	for line := range strings.Lines(string(text)) {
		p.line++
		p.read(p.withoutEnd(line))
	}
	p.options()
	p.table.Entries = slices.DeleteFunc(p.table.Entries, func(e Entry) bool { return e.Line == 0 })
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return p.table, p.problems
}

type parser struct {
	table    *Table
	file     string
	line     int            // that is looked at
	tags     map[string]int // which of table.Entries has it
	said     map[string]int // on which line a setting or option was said
	later    []optionOf     // is looked at when all entries are known
	crlf     bool           // was told
	told     map[Level]int  // how many problems there are
	problems []Problem
}

func (p *parser) problem(level Level, format string, args ...any) {
	p.told[level]++
	if p.told[level] > mostTold {
		return
	}
	text := fmt.Sprintf(format, args...)
	if p.told[level] == mostTold {
		text += " (others are not told: mend these first)"
	}
	p.problems = append(p.problems, Problem{p.file, p.line, level, text})
}

func (p *parser) errorf(format string, args ...any) { p.problem(Error, format, args...) }
func (p *parser) warnf(format string, args ...any)  { p.problem(Warning, format, args...) }

// withoutEnd takes the line's end off. With a CR left there, every command would end in one.
func (p *parser) withoutEnd(line string) string {
	line, cr := strings.CutSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if cr && !p.crlf {
		p.crlf = true
		p.warnf("lines end in CR LF, and the CR is left out: save the file with the line ends of Unix")
	}
	return line
}

// blanks is what Perl takes for white space.
const blanks = " \t\r\n\f\v"

func (p *parser) read(line string) {
	if strings.HasPrefix(line, "#") || strings.Trim(line, blanks) == "" {
		return
	}
	switch name, value, isSetting := p.setting(line); {
	case len(line) > longestLine:
		p.errorf("the line is longer than 1 MB: keep the command in a script, and name that here")
	case strings.Contains(line, "\x00"):
		p.errorf("the line has a NUL byte, which no name or command can have: take it out")
	case isSetting:
		p.set(name, value)
	default:
		p.entry(line)
	}
}

// setting is the name and value of a line :::NAME:VALUE. isinit looks at the fourth column alone.
func (p *parser) setting(line string) (name, value string, ok bool) {
	if rest, ok := strings.CutPrefix(line, ":::"); ok {
		name, value, _ = strings.Cut(rest, ":")
		return name, value, true
	}
	f := append(strings.SplitN(line, ":", 5), "", "", "", "")
	return f[3], f[4], p.table.Dialect == Isinit && (f[3] == "socket" || f[3] == "initstat")
}

// set takes a setting. Where it is said twice the later line counts, as in the originals.
func (p *parser) set(name, value string) {
	status := "clstat"
	if p.table.Dialect == Isinit {
		status = "initstat"
	}
	var to *string
	switch name {
	case "socket":
		to = &p.table.Socket
	case status:
		to = &p.table.Status
	case "log":
		to = &p.table.Log
	case "opt", "group":
		p.later = append(p.later, optionOf{p.line, name == "group", value})
		return
	default:
		p.warnf("unknown setting %s is ignored: socket, %s, log, opt and group are known", clip(name), status)
		return
	}
	if value == "" {
		p.warnf("setting %s has no value, and is ignored: write :::%s:PATH", name, name)
		return
	}
	p.repeated("setting " + name)
	*to = value
}

// repeated warns of what an earlier line says, too.
func (p *parser) repeated(what string) {
	if before := p.said[what]; before != 0 {
		p.warnf("%s is on line %d already: this line counts, take one of them out", what, before)
	}
	p.said[what] = p.line
}

func (p *parser) entry(line string) {
	f := strings.SplitN(line, ":", 5)
	if strings.Trim(line[:1], blanks) == "" {
		p.errorf("the line begins with a blank: begin it with the name of a group, or with # if it is a comment")
		return
	}
	if len(f) < 3 {
		p.errorf("%s is no entry: write group:tag:levels:mode:command, or # before a comment", clip(line))
		return
	}
	if !p.nameable("group", f[0]) || !p.nameable("tag", f[1]) {
		return
	}
	e := Entry{Group: f[0], Tag: f[1], Levels: f[2], Line: p.line, Options: DefaultOptions(p.table.Dialect)}
	if !p.unique(e.Tag) {
		return
	}
	if len(f) > 3 {
		e.Mode = p.mode(e.Tag, f[3])
	} else {
		p.errorf("entry %s has no mode: write group:tag:levels:mode:command, with %s as the mode", clip(e.Tag), modeList)
	}
	if len(f) > 4 && strings.Trim(f[4], blanks) != "" {
		e.Command = f[4]
	}
	if e.Mode != "" && e.Mode != Off {
		p.runnable(e)
	}
	p.tags[e.Tag] = len(p.table.Entries)
	p.table.Entries = append(p.table.Entries, e)
	p.table.GroupOptions[e.Group] = GroupOptions{}
}

// nameable says whether the name of a group or tag is one, and tells if not. A group's stands in the columns of the
// status file, so it has no blank.
func (p *parser) nameable(what, name string) bool {
	unseen := func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) }
	switch {
	case name == "":
		p.errorf("the %s is empty: write group:tag:levels:mode:command", what)
	case what == "group" && strings.ContainsFunc(name, unicode.IsSpace):
		p.errorf("group %s has a blank in its name, which would shift the columns of the status file: take it out", clip(name))
	case strings.ContainsFunc(name, unseen):
		p.errorf("%s %s has a control character in its name: take it out", what, clip(name))
	default:
		return true
	}
	return false
}

// unique says whether tag is not there yet. In an isinittab the last one wins.
func (p *parser) unique(tag string) bool {
	at, twice := p.tags[tag]
	if !twice {
		return true
	}
	before := &p.table.Entries[at]
	if p.table.Dialect == Clinit {
		p.errorf("tag %s is on line %d already, and no two entries of a file have the same: rename one of them", clip(tag), before.Line)
		return false
	}
	p.warnf("tag %s is on line %d already: only this line counts, rename one of them", clip(tag), before.Line)
	before.Line = 0
	return true
}

func (p *parser) mode(tag, name string) Mode {
	switch {
	case slices.Contains(modes, Mode(name)):
		return Mode(name)
	case p.table.Dialect == Isinit:
		p.warnf("entry %s has the unknown mode %s, which means once: write %s", clip(tag), clip(name), modeList)
		return Once
	}
	p.errorf("entry %s has the unknown mode %s: write %s", clip(tag), clip(name), modeList)
	return ""
}

// runnable warns of what keeps an entry from running.
func (p *parser) runnable(e Entry) {
	tag := clip(e.Tag)
	switch {
	case e.Levels == "":
		p.warnf("entry %s has no level, and never runs: write its levels in the third column, or off as its mode", tag)
	case strings.ContainsAny(e.Levels, blanks):
		p.warnf("entry %s has a blank among its levels %s, which counts as part of a level: take it out", tag, clip(e.Levels))
	}
	if e.Command == "" {
		p.warnf("entry %s has no command, and fails when it is started: write one in the fifth column", tag)
	}
}

// clip quotes what a file says, or the beginning of it.
func clip(text string) string {
	const most = 60
	if len(text) > most {
		return fmt.Sprintf("%q...", text[:most])
	}
	return fmt.Sprintf("%q", text)
}
