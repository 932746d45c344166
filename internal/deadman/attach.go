package deadman

import (
	"fmt"
	"io"
	"sync"
)

// Attach takes the deadman of an earlier manager, at the other end of c, and says what there is
// to go on with. killer is what ends the process of a deadman that hangs.
func Attach(c io.ReadWriteCloser, killer func(pid int) (kill func()), hello Hello) (*Attached, error) {
	w := newWire(c)
	hello.Packages = nil
	a, err := ask(w, func() {}, question{Hello: &hello}) // nobody knows yet which process it is
	if err != nil {
		return nil, fmt.Errorf("the deadman of the earlier manager does not answer: %w", err)
	}
	at := &Attached{conn: w, raw: c, kill: killer(a.PID), Version: a.Version, Words: map[string]Word{}, Origins: map[string]Origin{}}
	for _, word := range a.Words {
		at.Words[word.Package] = word
	}
	for _, o := range a.Origins {
		at.Origins[o.Package] = o
	}
	return at, nil
}

// An Attached is a deadman that a manager goes on with.
type Attached struct {
	Version string            // of the program that it runs
	Words   map[string]Word   // how it stands with each package
	Origins map[string]Origin // what it knows of each
	conn    *wire
	raw     io.ReadWriteCloser
	kill    func()
}

// Succeed makes l start a new deadman in the place of that of at, which is dismissed when the new one was told
// all there is. The new one acts when the old one has let go; so where the manager is killed between the
// two, there is still one of them.
func (l *Link) Succeed(at *Attached) {
	l.Tell(at.Words)
	l.instead = sync.OnceFunc(at.Dismiss)
}

// Dismiss ends the deadman of at. What runs is watched by nobody then, unless there is another.
func (at *Attached) Dismiss() {
	var words []Word
	for _, w := range at.Words { // as they are: what runs goes on
		w.Over = true
		words = append(words, w)
	}
	_, _ = ask(at.conn, at.kill, question{Words: words})
	_ = at.conn.Close()
}

// Use makes l speak with the deadman of at, which knows the packages already.
func (l *Link) Use(at *Attached) {
	l.conn, l.kill, l.raw = at.conn, at.kill, at.raw
	l.Tell(at.Words)
	for _, o := range l.hello.Packages { // this manager has asked the scripts anew
		l.Update(o)
	}
}
