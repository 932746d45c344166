package journal

import (
	"fmt"
	"strings"
	"time"
)

// String is the line as it stands in a log: "DATE text".
func (l Line) String() string { return date(l.Time) + " " + l.Words() }

// named is the line where those of several packages meet: "PACKAGE: DATE text".
func (l Line) named() string { return l.Package + ": " + l.String() }

// date is what date(1) prints, but with the offset from UTC in place of the zone's name: logs of
// hosts in several zones can be put in order by it.
func date(t time.Time) string { return t.Format("Mon Jan _2 15:04:05 -07:00 2006") }

// Words is the line without its date: "deadman: error: text (name=value, ...)".
func (l Line) Words() string {
	words := l.Text
	if !l.Plain {
		words = levelWord(l.Level) + words
	}
	if l.By != "" {
		words = l.By + ": " + words
	}
	if len(l.Facts) == 0 {
		return words
	}
	var facts []string
	for _, f := range l.Facts {
		facts = append(facts, fmt.Sprintf("%s=%v", f.Key, f.Value))
	}
	return words + " (" + strings.Join(facts, ", ") + ")"
}

// levelWord is what a line of that level begins with.
func levelWord(level Level) string {
	switch {
	case level >= Error:
		return "error: "
	case level >= Warning:
		return "warning: "
	}
	return ""
}
