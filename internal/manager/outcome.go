package manager

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
)

// An Outcome is what came of a stop.
type Outcome struct {
	Kept   string `json:"kept,omitempty"`   // why the package cannot be shown to be down; its manager stays, and looks again
	Lost   bool   `json:"lost,omitempty"`   // so it is, and the lock is lost
	Ended  bool   `json:"ended,omitempty"`  // the package is down here, and its manager ends
	Failed bool   `json:"failed,omitempty"` // so it is, but its stop script had failed, or took too long
}

// An outcomes is the outcomes of a package, for those who wait for the next.
type outcomes struct {
	mu    sync.Mutex
	count int
	last  Outcome
	next  chan struct{} // closed at the next outcome; nil while nobody waits
}

// add tells of an outcome.
func (o *outcomes) add(last Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count++
	o.last = last
	if o.next != nil {
		close(o.next)
		o.next = nil
	}
}

// kept tells of a package that cannot be shown to be down.
func (o *outcomes) kept(why string, lost bool) { o.add(Outcome{Kept: why, Lost: lost}) }

// number is how many there were.
func (o *outcomes) number() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count
}

// answer waits for an outcome after the one whose number is after, and puts it into a.
func (o *outcomes) answer(ctx context.Context, after string, a Answer) Answer {
	n, err := strconv.Atoi(after)
	if err != nil {
		a.Error = "the number of an outcome is wanted"
		return a
	}
	for {
		o.mu.Lock()
		if o.count > n {
			a.Outcomes, a.Outcome = o.count, o.last
			o.mu.Unlock()
			return a
		}
		if o.next == nil {
			o.next = make(chan struct{})
		}
		next := o.next
		o.mu.Unlock()
		select {
		case <-next:
		case <-ctx.Done():
			a.Error = "it ends"
			return a
		}
	}
}

// Await has the package's manager tell what comes of the next stop. It is asked when Await returns; told waits for its
// answer. So a stop that is asked for in between cannot be missed.
func (h Home) Await(ctx context.Context, name string) (told func() (Outcome, error), err error) {
	is, err := h.Ask(ctx, name, Request{What: State})
	if err != nil {
		return nil, err
	}
	c, err := h.dial(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(c).Encode(Request{What: Await, Text: strconv.Itoa(is.Outcomes)}); err != nil {
		_ = c.Close()
		return nil, ErrNobody
	}
	return func() (o Outcome, err error) {
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		var a Answer
		if json.NewDecoder(c).Decode(&a) != nil || a.Error != "" { // an older manager knows nothing of it
			return o, ErrNobody
		}
		return a.Outcome, nil
	}, nil
}
