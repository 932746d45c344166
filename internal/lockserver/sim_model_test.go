package lockserver

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// A lockOp is one operation on a lock, as its client saw it.
type lockOp struct {
	kind    string // acquire, release, expire
	session string
	term    uint64
	from    string // of an acquire: the session that it adopts from; "" for none
}

// lockNow is the state of one lock: who has it, and the highest term so far.
type lockNow struct {
	session string // "" for nobody
	term    uint64
}

// lockModel is a lock with leases. It may be acquired only while it is free, or by the session that
// has it already or that it is adopted from, and in a term above all earlier ones. It is free after its release, and after its holder's kill end, or death: expire may
// take effect any time after that. So two holders at once are an illegal history.
var lockModel = porcupine.Model{
	Init: func() any { return lockNow{} },
	Step: func(state, input, _ any) (bool, any) {
		now, op := state.(lockNow), input.(lockOp)
		switch {
		case op.kind == "acquire":
			return (now.session == "" || now.session == op.session || now.session == op.from) && op.term > now.term, lockNow{op.session, op.term}
		case now.session == op.session && now.term == op.term:
			return true, lockNow{"", now.term}
		}
		return true, now // a release or an end of what is over already
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// operations is what the clients saw of one lock, holding by holding, as porcupine wants it. An acquire that was not
// granted, as far as its client knows, gives nobody a lease, so it is left out. What may happen
// at any time after its call, an end or a release without an answer, can change something only
// before the next acquire returns: there it is made to end, which keeps the search short.
func operations(holdings []holding) []porcupine.Operation {
	var all []porcupine.Operation
	for _, h := range holdings {
		client := slices.IndexFunc(holdings, func(o holding) bool { return o.session == h.session })
		add := func(kind string, call, answer time.Time) {
			if answer.IsZero() { // open
				answer = call
				if i := slices.IndexFunc(holdings, func(o holding) bool { return o.term > h.term }); i >= 0 && holdings[i].got.After(call) {
					answer = holdings[i].got
				}
			}
			all = append(all, porcupine.Operation{
				ClientId: client, Input: lockOp{kind, h.session, h.term, h.from}, Call: call.UnixNano(), Return: answer.UnixNano(),
			})
		}
		add("acquire", h.called, h.got)
		if !h.gaveUp.IsZero() {
			add("release", h.gaveUp, h.freed)
		}
		if h.freed.IsZero() || h.gaveUp.After(h.kill) {
			add("expire", h.kill, time.Time{})
		}
	}
	return all
}

// linearizable says what porcupine finds wrong with the history of a lock, and with which holding
// that begins: "" for nothing. It must not run in a bubble, where its time limit would never come.
func linearizable(holdings []holding) (why string, first holding) {
	const limit = 20 * time.Second
	check := func(n int) porcupine.CheckResult {
		return porcupine.CheckOperationsTimeout(lockModel, operations(holdings[:n]), limit)
	}
	slices.SortFunc(holdings, func(a, b holding) int { return a.got.Compare(b.got) })
	switch check(len(holdings)) {
	case porcupine.Ok:
		return "", holding{}
	case porcupine.Illegal:
		n := sort.Search(len(holdings), func(n int) bool { return check(n) == porcupine.Illegal })
		return "the clients' history is that of no lock with leases (porcupine): two held it at once, or its term went back", holdings[n-1]
	default:
		return fmt.Sprintf("porcupine could not decide within %v", limit), holdings[len(holdings)-1]
	}
}
