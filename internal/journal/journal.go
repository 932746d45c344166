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
	Warning = slog.LevelWarn  // it goes on, but hardly as the admin means it
	Error   = slog.LevelError // something could not be done, or was lost
)

// A Line is one thing that is told.
type Line struct {
	Time    time.Time
	Level   Level
	Plain   bool   // the level is not written: the text is the whole line
	Package string // that it is about; "" for all of a process
	By      string // which process of several that write to one place: "deadman"; "" for the first
	Text    string
	Facts   []slog.Attr // what is to be known besides the text, each by its name
}

// A Log takes lines.
type Log func(Line)

// Tell takes a line of now.
func (l Log) Tell(level Level, text string) { l(Line{Time: time.Now(), Level: level, Text: text}) }

// Info tells what is done.
func (l Log) Info(text string) { l.Tell(Info, text) }

// Warning tells of what goes on, but hardly as the admin means it.
func (l Log) Warning(text string) { l.Tell(Warning, text) }

// Error tells of what could not be done, or was lost.
func (l Log) Error(text string) { l.Tell(Error, text) }

// Plain tells text alone, without the word for its level.
func (l Log) Plain(level Level, text string, facts ...slog.Attr) {
	l(Line{Time: time.Now(), Level: level, Plain: true, Text: text, Facts: facts})
}

// Of is l for what is told about a package.
func (l Log) Of(pkg string) Log {
	return func(line Line) {
		line.Package = pkg
		l(line)
	}
}

// By is l for another process, which writes to the same place and is told apart by name.
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

// Named is To, where the lines of several packages meet: each begins with the package's name.
func Named(w io.Writer) Log { return writing(w, Line.named) }

func writing(w io.Writer, shape func(Line) string) Log {
	var mu sync.Mutex
	return func(line Line) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.WriteString(w, shape(line)+"\n") // there is nobody to tell
	}
}

// Logger is l for those who tell facts besides the text: a lock server or client, the watchdog's
// process. Their lines are plain; those below least are left out.
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
