package worker

import (
	"context"
	"sync"

	"backtowork/internal/script"
)

// askAtOnce is how many names of one package are asked for at a time.
const askAtOnce = 4

// An Asker asks the worker for the parameters of a package. It is a [script.Asker].
type Asker struct {
	client *Client
	gate   gate
}

// NewAsker returns the asker of a package.
func NewAsker(client *Client) *Asker { return &Asker{client: client} }

// Ask asks the worker for each of names, the first alone: a script that fails at it, or has something to say, is for the
// shell to ask. The shell is to check as many as the gate says, of those that are set and those that are not in turn.
func (a *Asker) Ask(ctx context.Context, s script.Setting, files string, names []string) (said map[string]script.Reply, check []string) {
	q := asking{a: a, s: s, files: files, said: map[string]script.Reply{}}
	if !q.ask(ctx, names[0]) {
		return nil, nil
	}
	if r := q.said[names[0]]; r.Status == 0 && len(r.Stdout) == 0 {
		q.askAll(ctx, names[1:])
	}
	return q.said, q.toCheck(names)
}

// Checked takes note of what the shell said.
func (a *Asker) Checked(files, why string) {
	a.gate.compared(why == "")
	if why != "" {
		a.gate.close(files, why)
	}
}

// asking is one call of Ask.
type asking struct {
	a     *Asker
	s     script.Setting
	files string

	mu      sync.Mutex
	said    map[string]script.Reply
	shadows int // how many the shell is to check
}

// ask asks for one name. ok is false where there is no answer.
func (q *asking) ask(ctx context.Context, name string) (ok bool) {
	gate := &q.a.gate
	ok, shadow := gate.open(q.files)
	if !ok {
		return false
	}
	a, ok, why := gate.ask(ctx, q.a.client, Request{
		Path: q.s.Path, Files: q.files, Args: []string{"echo", name}, Dir: q.s.Dir, Env: q.s.Env, Cgroup: q.s.Cgroup, Limit: patience,
	})
	if why != "" {
		gate.close(q.files, why)
	}
	if !ok {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.said[name] = script.Reply{Stdout: a.Stdout, Stderr: a.Stderr, Status: a.Status}
	if shadow {
		q.shadows++
	}
	return true
}

func (q *asking) askAll(ctx context.Context, names []string) {
	next := make(chan string)
	var askers sync.WaitGroup
	for range min(askAtOnce, len(names)) {
		askers.Go(func() {
			for name := range next {
				q.ask(ctx, name)
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	askers.Wait()
}

// toCheck is which of names the shell is to be asked, too.
func (q *asking) toCheck(names []string) (check []string) {
	var set, unset []string
	for _, name := range names {
		if r, ok := q.said[name]; ok && len(r.Stdout) > 1 {
			set = append(set, name)
		} else if ok {
			unset = append(unset, name)
		}
	}
	for ; len(check) < q.shadows; set, unset = unset, set {
		if len(set) > 0 {
			check, set = append(check, set[0]), set[1:]
		}
	}
	return check
}
