// Package journal is how a process tells the admin what it does: in lines, each with its time, a
// level, a text, and the package that it is about.
//
//	Info, Warning, Error --.
//	                       +--> Log: To, Named --> Async --> terminal, pipe, file
//	slog.Logger -----------'
//
// Who tells something says the level and the text; what a line looks like is known to shape.go
// alone. An [Async] between the two sees to it that nobody waits for a terminal or a disk.
package journal

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// A Level says how much a line matters.
type Level = slog.Level

// The levels.
const (
	Debug   = slog.LevelDebug // is told only to those who ask for it
	Info    = slog.LevelInfo
	Warning = slog.LevelWarn  // work goes on, but probably not as the admin wants
	Error   = slog.LevelError // something could not be done, or was lost
)

// A Line is one thing that is told.
type Line struct {
	Time    time.Time
	Level   Level
	Plain   bool   // the level is not written: the text stands alone
	Package string // that it is about; "" for all of a process
	By      string // the process that wrote it, if several write to one place: "deadman"; "" for the main one
	Text    string
	Facts   []slog.Attr // more to know beside the text, each fact with its name
}

// A Log takes lines.
type Log func(Line)

// Tell passes on a line with the present time.
func (l Log) Tell(level Level, text string) { l(Line{Time: time.Now(), Level: level, Text: text}) }

// Info tells what is done.
func (l Log) Info(text string) { l.Tell(Info, text) }

// Warning tells that work goes on, but probably not as the admin wants.
func (l Log) Warning(text string) { l.Tell(Warning, text) }

// Error tells that something could not be done, or was lost.
func (l Log) Error(text string) { l.Tell(Error, text) }

// Plain tells text alone, without the word for its level.
func (l Log) Plain(level Level, text string, facts ...slog.Attr) {
	l(Line{Time: time.Now(), Level: level, Plain: true, Text: text, Facts: facts})
}

// Of returns a Log like l, whose lines are about a package.
func (l Log) Of(pkg string) Log {
	return func(line Line) {
		line.Package = pkg
		l(line)
	}
}

// By returns a Log like l for another process that writes to the same place; its lines begin with
// name.
func (l Log) By(name string) Log {
	return func(line Line) {
		line.By = name
		l(line)
	}
}

// Both gives each line to l and to other.
func (l Log) Both(other Log) Log {
	return func(line Line) {
		l(line)
		other(line)
	}
}

// To writes lines to w, each in one write.
func To(w io.Writer) Log { return writing(w, Line.String) }

// Named is like To, for a place where the lines of several packages meet: each begins with its
// package's name.
func Named(w io.Writer) Log { return writing(w, Line.named) }

func writing(w io.Writer, shape func(Line) string) Log {
	var mu sync.Mutex
	return func(line Line) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.WriteString(w, shape(line)+"\n") // a failure is dropped: there is nobody to tell it to
	}
}

// Logger makes a slog.Logger of l, for those who tell facts beside the text: a lock server or
// client, the watchdog's process. Their lines are Plain. Lines below level least are left out.
func (l Log) Logger(least Level) *slog.Logger { return slog.New(handler{l, least}) }

type handler struct {
	to    Log
	least Level
}

// Enabled says whether lines of that level are told.
func (h handler) Enabled(_ context.Context, level Level) bool { return level >= h.least }

// Handle tells a line.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	var facts []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		facts = append(facts, a)
		return true
	})
	h.to.Plain(r.Level, r.Message, facts...)
	return nil
}

// WithAttrs is not used.
func (h handler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup is not used.
func (h handler) WithGroup(string) slog.Handler { return h }
