package script

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// An Asker finds what a script answers to `echo NAME` without a shell.
type Asker interface {
	// Ask returns the answers to those of names that it can tell of the script as it is now (files; see Runner.Version),
	// and which of them the script's own shell is to be asked, too: none are believed if that says otherwise.
	Ask(ctx context.Context, s Setting, files string, names []string) (said map[string]Reply, check []string)
	// Checked says what came of that: why is "" where the shell says the same.
	Checked(files, why string)
}

// A Reply is what a script did when it was called with echo NAME.
type Reply struct {
	Stdout, Stderr []byte
	Status         int
}

// askAsker has the asker answer what is open. A script that may say something of any name, or that cannot answer, is
// for its own shell to ask.
func (r *Runner) askAsker(ctx context.Context, q *questions) error {
	if r.cfg.Asker == nil {
		return nil
	}
	names := append(q.open(q.names), q.open(q.more)...)
	if a, ok := q.said[unknown]; ok && a != (answer{}) || len(names) == 0 {
		return nil
	}
	ctx, cancel := r.limit(ctx)
	defer cancel()
	replies, check := r.cfg.Asker.Ask(ctx, r.setting(), q.files, names)
	said := map[string]answer{}
	for name, reply := range replies {
		a := answer{strings.TrimSpace(string(reply.Stdout)), reply.Status}
		if !a.lost() && a.status < notExecutable {
			said[name] = a
			r.Print(reply.Stderr)
		}
	}
	if len(check) > 0 {
		agrees, err := r.check(ctx, q, check, said)
		if err != nil || !agrees {
			return err
		}
	}
	for name, a := range said {
		q.said[name] = a
		r.answers.put(q.files, name, a)
	}
	return nil
}

// check asks the script's own shell, whose answers stand, and says whether said is the same.
func (r *Runner) check(ctx context.Context, q *questions, names []string, said map[string]answer) (agrees bool, err error) {
	own := &questions{files: q.files, names: names, said: maps.Clone(q.said)}
	if err := r.askShell(ctx, own); err != nil {
		return false, err
	}
	why := ""
	for _, name := range slices.Sorted(maps.Keys(own.said)) {
		q.said[name] = own.said[name]
		if a, ok := said[name]; ok && a != own.said[name] && why == "" {
			why = fmt.Sprintf("echo %s: status %d and %.200q, and %d and %.200q by the shell", name, a.status, a.text, own.said[name].status, own.said[name].text)
		}
	}
	r.cfg.Asker.Checked(q.files, why)
	if why != "" {
		r.Logf("back-to-work: parameters are asked by the shell alone until the files change: the worker's answer differs: %s.", why)
	}
	return why == "", nil
}

// A Setting is what an action would be started with.
type Setting struct {
	Dir    string   // its directory
	Path   string   // of the script, from there
	Env    []string // its environment, whole
	Cgroup string   // directory of the cgroup that it would run in; "" for none
}

// Setting says what an action would be started with, to somebody else who runs the script. Processes of the package
// that are started so are found as others are.
func (r *Runner) Setting(term uint64, previous string, unfenced ...string) Setting {
	return r.setting(ofLock(term, previous, unfenced)...)
}

// setting is that, with env in the environment. would be started with
func (r *Runner) setting(env ...string) Setting {
	s := Setting{Dir: r.cfg.Home, Path: r.path(), Env: slices.Concat(r.env, env)}
	s.Env = append(s.Env, "BTW_ACTION="+rand.Text())
	if r.inTree() {
		if dir, err := r.tree.act.enter(); err == nil {
			s.Cgroup, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
			dir.Close()
		}
	}
	return s
}
