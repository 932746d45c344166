package deadman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"backtowork/internal/journal"
)

const (
	answerLimit = 2 * time.Second // a deadman that has not answered by then hangs, and is replaced
	openLimit   = time.Minute     // the same, for the first while nothing runs: a busy host starts many at once
	spawnPause  = time.Second     // between two tries to start one
	gather      = 20 * time.Millisecond
	goneLimit   = 10 * time.Second // when there was no deadman for so long the packages are halted
)

// A Spawn starts a deadman. kill ends it, for one that hangs.
type Spawn func() (c io.ReadWriteCloser, kill func(), err error)

// A Link is the manager's end: it tells the deadman how it stands with each package, starts one
// where there is none, and replaces one that hangs.
type Link struct {
	hello Hello
	spawn Spawn
	say   journal.Log
	none  func() // is called once where there was no deadman for goneLimit

	instead func() // is called when a new deadman was told all there is: ends the one before

	mu    sync.Mutex
	words map[string]Word // the last of each package that has not ended
	dirty map[string]bool // packages whose last word the deadman has not heard
	due   bool            // it is to be told of them now
	soon  bool            // it will be told of them in a moment: see gather
	other []Origin        // that the deadman does not know yet
	heard chan struct{}   // closed, and made anew, when the deadman has heard all there was to say
	wake  chan struct{}

	conn   *wire
	kill   func()
	raw    io.ReadWriteCloser // what conn is on
	detach chan chan io.ReadWriteCloser
}

// NewLink is a link for the packages of hello, whose deadman spawn starts.
func NewLink(hello Hello, spawn Spawn, say journal.Log, none func()) *Link {
	l := &Link{
		hello: hello, spawn: spawn, say: say, none: none,
		words: map[string]Word{}, dirty: map[string]bool{}, heard: make(chan struct{}), wake: make(chan struct{}, 1),
		detach: make(chan chan io.ReadWriteCloser), instead: func() {},
	}
	for _, o := range hello.Packages {
		l.words[o.Package] = Word{Package: o.Package, Phase: Free}
	}
	return l
}

// Open starts the deadman, before [Link.Run] would: where there can be none, the user hears so at once.
func (l *Link) Open() error {
	for _, w := range l.words {
		if w.Phase != Free {
			return l.connect(answerLimit)
		}
	}
	return l.connect(openLimit)
}

// Tell makes words what the next deadman is told first. It is called before [Link.Run].
func (l *Link) Tell(words map[string]Word) { maps.Copy(l.words, words) }

// Close tells the deadman that there is nothing to watch. It is for a manager that does not come to [Link.Run].
func (l *Link) Close() {
	if l.conn == nil {
		return
	}
	var words []Word
	for name := range l.words {
		words = append(words, Word{Package: name, Phase: Free, Over: true})
	}
	_, _ = ask(l.conn, l.kill, question{Words: words})
	_ = l.conn.Close()
}

// ask asks one question. A deadman that does not answer is killed.
func ask(w *wire, kill func(), q question) (answer, error) {
	return askAnd(w, kill, q, answerLimit, func() {})
}

// askAnd is ask, for an answer within limit; it calls sent when the question was sent.
func askAnd(w *wire, kill func(), q question, limit time.Duration, sent func()) (answer, error) {
	over := time.AfterFunc(limit, func() {
		kill()
		_ = w.Close()
	})
	defer over.Stop()
	var a answer
	if err := w.send(q); err != nil {
		return a, err
	}
	sent()
	if err := w.receive(&a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// connect starts a deadman and tells it all there is to say. It is to answer within limit.
func (l *Link) connect(limit time.Duration) error {
	c, kill, err := l.spawn()
	if err != nil {
		return fmt.Errorf("cannot start the deadman: %w", err)
	}
	w := newWire(c)
	l.mu.Lock()
	hello := l.hello
	hello.Packages = slices.DeleteFunc(slices.Clone(hello.Packages), func(o Origin) bool {
		_, ok := l.words[o.Package]
		return !ok // the manager has ended with it: nobody is to start another for it
	})
	var words []Word // at once: this process may be killed before it says more
	for _, o := range hello.Packages {
		if w := l.words[o.Package]; !w.Over {
			words = append(words, w)
		}
	}
	l.mu.Unlock()
	if _, err = askAnd(w, kill, question{Hello: &hello, Words: words}, limit, l.instead); err != nil {
		kill()
		_ = w.Close()
		return fmt.Errorf("cannot start the deadman: %w", err)
	}
	l.conn, l.kill, l.raw = w, kill, c
	l.mu.Lock()
	for name := range l.words {
		l.dirty[name] = true
	}
	l.due = true
	l.mu.Unlock()
	return nil
}

// Say has the deadman told soon, and does not wait for that. That a package is held on is told with what others have to
// say in the same moment (gather): the managers of a thousand packages say that five hundred times in a second, and the
// deadman waits for it longer after L.
func (l *Link) Say(w Word) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.words[w.Package]
	l.words[w.Package] = w
	l.dirty[w.Package] = true
	switch {
	case w.Phase != Held || before.Phase != Held || w.Term != before.Term || w.Doing != before.Doing:
		l.tellNow()
	case !l.due && !l.soon:
		l.soon = true
		time.AfterFunc(gather, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.soon = false
			l.tellNow()
		})
	}
}

// tellNow has all told that the deadman has not heard. The caller holds l.mu.
func (l *Link) tellNow() {
	l.due = true
	l.wakeUp()
}

func (l *Link) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Update has the deadman told soon of other parameters of a package.
func (l *Link) Update(o Origin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.words[o.Package]; !ok {
		return // it has ended
	}
	for i := range l.hello.Packages {
		if l.hello.Packages[i].Package == o.Package {
			l.hello.Packages[i] = o
		}
	}
	l.other = append(l.other, o)
	l.dirty[o.Package] = true // a word has to go with it: the last by then
	l.tellNow()
}

// Detach gives up the connection with the deadman, to the program that takes the place of this one: nothing
// more is said on it here. It is nil where there is no deadman now.
func (l *Link) Detach(ctx context.Context) io.ReadWriteCloser {
	to := make(chan io.ReadWriteCloser, 1)
	select {
	case l.detach <- to:
		return <-to
	case <-ctx.Done():
		return nil
	}
}

// Sure tells the deadman w, and waits until it has heard that.
func (l *Link) Sure(ctx context.Context, w Word) error {
	l.Say(w)
	return l.Settle(ctx, w.Package)
}

// Settle waits until the deadman has heard all that there was to say of a package.
func (l *Link) Settle(ctx context.Context, pkg string) error {
	for {
		l.mu.Lock()
		known, heard := !l.dirty[pkg], l.heard
		if !known {
			l.tellNow()
		}
		l.mu.Unlock()
		if known {
			return nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run tells the deadman what there is to say, until ctx ends.
func (l *Link) Run(ctx context.Context) {
	for quick := 0; ctx.Err() == nil; {
		if l.conn == nil && !l.replace(ctx) {
			return
		}
		begin := time.Now()
		l.serve(ctx)
		if quick++; time.Since(begin) >= spawnPause {
			quick = 0
		}
		if quick > 1 { // those that end at once are not to be started without end
			pause(ctx, spawnPause)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// serve tells the deadman what there is to say, until it is gone.
func (l *Link) serve(ctx context.Context) {
	conn, kill := l.conn, l.kill
	answers, gone := make(chan answer), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			var a answer
			if conn.receive(&a) != nil {
				return
			}
			select {
			case answers <- a:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { _ = conn.Close() }()
	for {
		words := l.unsaid()
		if words == nil {
			select {
			case <-l.wake:
				continue
			case to := <-l.detach:
				to <- l.raw
				<-ctx.Done()
				return
			case <-gone:
			case <-ctx.Done():
				return
			}
		} else if l.tell(conn, kill, words, answers, gone) {
			continue
		}
		l.conn = nil
		kill()
		return
	}
}

// tell says words and waits for the answer. It is false where none came.
func (l *Link) tell(conn *wire, kill func(), words []Word, answers <-chan answer, gone <-chan struct{}) bool {
	l.mu.Lock()
	other := l.other
	l.other = nil // a deadman that does not hear of it is replaced, with a hello that says it
	l.mu.Unlock()
	over := time.AfterFunc(answerLimit, func() { // one that hangs may not even read
		l.say.Info("the deadman does not answer: replacing it.")
		kill() // before it can take the connection's end for the manager's
		_ = conn.Close()
	})
	defer over.Stop()
	if conn.send(question{Words: words, Origins: other}) != nil {
		return false
	}
	select {
	case <-answers:
		l.said(words)
		return true
	case <-gone:
		return false
	}
}

// unsaid is what the deadman does not know yet, and is to be told now.
func (l *Link) unsaid() (words []Word) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.due {
		return nil
	}
	l.due = false
	for _, name := range slices.Sorted(maps.Keys(l.dirty)) {
		words = append(words, l.words[name])
	}
	return words
}

// said takes note that the deadman has heard words.
func (l *Link) said(words []Word) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range words {
		if l.words[w.Package] == w {
			delete(l.dirty, w.Package)
		}
		if w.Over {
			delete(l.words, w.Package)
		}
	}
	for _, o := range l.other { // they came meanwhile
		if _, ok := l.words[o.Package]; ok {
			l.dirty[o.Package] = true
			l.due = true
		}
	}
	close(l.heard)
	l.heard = make(chan struct{})
}

// replace starts another deadman, for as long as it takes. It is false where ctx ended, or where
// there is nothing left to watch.
func (l *Link) replace(ctx context.Context) bool {
	begin, told := time.Now(), false
	for ctx.Err() == nil {
		l.mu.Lock()
		idle := len(l.words) == 0
		l.mu.Unlock()
		if idle {
			<-ctx.Done()
			return false
		}
		err := l.connect(answerLimit)
		if err == nil {
			l.say.Info("the deadman was replaced.")
			return true
		}
		if time.Since(begin) >= goneLimit && !told {
			told = true
			l.say.Error(err.Error() + ". without one nothing may run here: halting.")
			l.none()
		}
		pause(ctx, spawnPause)
	}
	return false
}
