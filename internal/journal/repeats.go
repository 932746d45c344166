package journal

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// Seldom is how often what comes again and again is told, after the first time.
	Seldom = 10 * time.Minute
	// swings is how often within that time it may end and begin again, and that is told.
	swings = 3
)

// Repeats sees to it that what comes again and again is told once, then once in ten minutes with how often it came
// meanwhile, and once more when it is over. What comes and goes all the time is told three times in ten minutes. The
// zero value is ready for use.
type Repeats struct {
	mu    sync.Mutex
	all   map[string]*repeat
	sweep int // size at which all is swept
}

// A repeat is one thing that comes again and again.
type repeat struct {
	window time.Time // since then it is counted what is told of it
	swings int       // how often it was over within the window
	since  time.Time // when it began this time
	told   time.Time
	last   time.Time // that it came
	untold int       // how often it came since it was told
	over   bool
	silent bool // that it came this time was not told, nor is that it is over
}

// Again takes note that something comes (again), and says whether it is to be told now. The facts are more to tell
// with it: how often it came untold.
func (r *Repeats) Again(what string) (facts []any, tell bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	it := r.all[what]
	if it == nil || now.Sub(it.last) >= Seldom { // so long ago that it is another matter
		it = &repeat{window: now, since: now, told: now, last: now}
		r.put(what, it)
		return nil, true
	}
	it.last = now
	if now.Sub(it.window) >= Seldom {
		it.window, it.swings = now, 0
	}
	begins := it.over
	if begins {
		it.over, it.since, it.silent = false, now, it.swings >= swings
		if !it.silent {
			it.untold = 0 // that was of the time before
		}
	}
	if tell = begins && !it.silent || now.Sub(it.told) >= Seldom; !tell {
		it.untold++
		return nil, false
	}
	if it.untold > 0 {
		facts = []any{"more", it.untold, "since", it.since.Format(time.DateTime)}
	}
	it.told, it.untold, it.silent = now, 0, false
	return facts, true
}

// Over takes note that something does not come any more. Where it was told that it came, tell is true, and after is
// how long it did.
func (r *Repeats) Over(what string) (after time.Duration, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	it := r.all[what]
	if it == nil || it.over {
		return 0, false
	}
	it.over = true
	it.swings++
	return time.Since(it.since).Round(time.Second), !it.silent
}

// put keeps it. What did not come for long is forgotten: there may be as many as there are strangers on a network.
func (r *Repeats) put(what string, it *repeat) {
	if r.all == nil {
		r.all = map[string]*repeat{}
	}
	r.all[what] = it
	if len(r.all) <= r.sweep {
		return
	}
	for other, old := range r.all {
		if it.last.Sub(old.last) >= Seldom {
			delete(r.all, other)
		}
	}
	r.sweep = 2*len(r.all) + 100
}

// Tell tells l, seldom, that something comes (again): what is what it is known by, text and facts are what is told.
func (r *Repeats) Tell(l *slog.Logger, level Level, what, text string, facts ...any) {
	if more, tell := r.Again(what); tell {
		l.Log(context.Background(), level, text, append(facts, more...)...)
	}
}

// TellOver tells l, where it told that something came, that this is over.
func (r *Repeats) TellOver(l *slog.Logger, what, text string, facts ...any) {
	if after, tell := r.Over(what); tell {
		l.Info(text, append(facts, "after", after)...)
	}
}
