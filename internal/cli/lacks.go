package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"
	"unicode"

	"backtowork/internal/api"
	"backtowork/internal/failover"
	"backtowork/internal/lint"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
)

// lookEvery is how often back-to-work has somebody look for what its packages need here.
const (
	firstLook = 5 * time.Second // after the start of what it is to look at
	lookEvery = 30 * time.Minute
)

// looked is what was found of packages that this host lacks, and when.
type looked struct {
	at    time.Time // the zero time: nobody has looked
	found []lint.Finding
}

// look looks for what a package needs here.
func (s *site) look(ctx context.Context, name string) looked {
	found, err := linter{s, true}.lint(ctx, name)
	if err != nil {
		return looked{}
	}
	return looked{time.Now(), slices.DeleteFunc(found, func(f lint.Finding) bool { return !lint.IsNeed(f) })}
}

// tell puts what is of r's package into r.
func (l looked) tell(r *api.Report) {
	if l.at.IsZero() {
		return
	}
	r.Looked, r.Lacks, r.More = max(1, time.Since(l.at).Milliseconds()), nil, 0
	for _, f := range l.found {
		switch {
		case f.Package != r.Package:
		case len(r.Lacks) == api.MostLacks:
			r.More++
		default:
			reason := strings.ToValidUTF8(f.Reason[:min(len(f.Reason), api.LongestLack)], "")
			r.Lacks = append(r.Lacks, api.Lack{File: f.File, Line: f.Line, Col: f.Col, Level: string(f.Level), Reason: reason, Rule: f.Rule})
		}
	}
}

// reportAll tells the servers about all packages of a manager, again and again until ctx ends: at once where parameters
// have changed, as by USR1, and when another process has looked for what the packages need here. That process may end in
// a stack overflow, or hang with a disk: a manager interprets nothing, and does not wait for it.
func (s *site) reportAll(ctx context.Context, c *lockclient.Client, g *manager.Group) {
	var seen looked
	var looks <-chan looked
	again := time.After(firstLook)
	for {
		for name, p := range g.Params() {
			if r, err := s.report(name, p, seen); err == nil { // else a file is missing: it has no sum to tell
				c.Tell(ctx, "/v1/reports", r)
			}
		}
		select {
		case <-time.After(reportEvery):
		case <-again:
			looks, again = s.lookAside(ctx, g.Params()), nil
		case l := <-looks:
			looks, again = nil, time.After(lookEvery)
			if !l.at.IsZero() {
				seen = l
			}
		case <-g.Changed():
			if looks == nil {
				looks, again = s.lookAside(ctx, g.Params()), nil
			}
		case <-ctx.Done():
			return
		}
	}
}

// lookAside has a process of its own look for what packages need, for at most a minute.
func (s *site) lookAside(ctx context.Context, packages map[string]failover.Params) <-chan looked {
	result := make(chan looked, 1)
	go func() { // it may outlive ctx, where its disk hangs
		at := time.Now()
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		as := s.self("service", append([]string{"lint", "--lacks", "-o", "json", "--"}, slices.Sorted(maps.Keys(packages))...)...)
		cmd := exec.CommandContext(ctx, as.Path)
		cmd.Args, cmd.Env, cmd.SysProcAttr = as.Args, as.Env, as.SysProcAttr
		out, _ := cmd.Output() // it ends with 1 where it found an error
		var found []lint.Finding
		if json.Unmarshal(out, &found) != nil {
			at = time.Time{}
		}
		result <- looked{at, found}
	}()
	return result
}

// othersLack asks the lock servers what the other nodes lack for a package. own is what was found here: that is told to
// them, if no back-to-work here does.
func (s *site) othersLack(ctx context.Context, name string, own []lint.Finding) (found []lint.Finding, err error) {
	if err := lockName(name); err != nil {
		return nil, err
	}
	if err := s.readServers(); err != nil {
		return nil, err
	}
	v, err := s.gather(ctx, name)
	if err != nil {
		return nil, err
	}
	if !v.answered {
		return nil, fmt.Errorf("no lock server says what the other nodes lack: see dex-servers")
	}
	if s.isIdle(name) {
		needs := slices.DeleteFunc(slices.Clone(own), func(f lint.Finding) bool { return !lint.IsNeed(f) })
		looked{time.Now(), needs}.tell(&v.own)
		v.client.Tell(ctx, "/v1/reports", fitted(v.own))
	}
	for _, node := range slices.Sorted(maps.Keys(v.nodes)) {
		if node != s.Node {
			found = append(found, lacksOf(name, node, v.nodes[node])...)
		}
	}
	return found, nil
}

// printable is a letter as it can be shown, whoever has told it.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

// lacksOf is the findings about another node.
func lacksOf(name, node string, r api.Report) (found []lint.Finding) {
	add := func(l api.Lack, reason string, args ...any) {
		if r.Age > 0 && r.Looked > 0 {
			reason = "on " + plain(node) + ", " + time.Duration((r.Age+r.Looked)/1000*1e9).String() + " ago: " + reason
		} else if r.Looked > 0 {
			reason = "on " + plain(node) + ": " + reason
		}
		f := lint.Finding{File: l.File, Line: l.Line, Col: l.Col, Level: lint.Level(l.Level), Reason: fmt.Sprintf(reason, args...), Rule: l.Rule, Package: name, Node: node}
		if r.Looked > 0 {
			f.Age = r.Age + r.Looked
		}
		found = append(found, f)
	}
	all := api.Lack{File: "packages/" + name, Line: 1, Col: 1, Level: string(lint.Note), Rule: "node"}
	switch {
	case r.Script == "":
		all.Level = string(lint.Warning)
		add(all, "%s has not reported: see that back-to-work runs %s there, or run service lint --all-nodes %s there", plain(node), name, name)
	case r.Looked == 0:
		add(all, "%s does not say what it lacks: it, or a lock server, runs an older version, or it has not looked yet", plain(node))
	case len(r.Lacks) == 0:
		add(all, "nothing is missing")
	case r.More > 0:
		add(all, "%d others are missing, too: run service lint --lacks %s there", r.More, name)
	}
	for _, l := range r.Lacks {
		if level := lint.Level(l.Level); level != lint.Error && level != lint.Warning {
			l.Level = string(lint.Note)
		}
		l.File, l.Rule = plain(l.File), plain(l.Rule)
		add(l, "%s", strings.Map(printable, l.Reason))
	}
	return found
}
