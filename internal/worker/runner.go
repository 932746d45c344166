package worker

import (
	"os"
	"sync/atomic"

	"backtowork/internal/failover"
	"backtowork/internal/manager"
	"backtowork/internal/script"
)

// onRunner is a package on this host.
type onRunner struct {
	manager.Scripts
	r *script.Runner
}

// OnRunner is the shell's side of a package that r runs.
func OnRunner(r *script.Runner) Shell { return onRunner{manager.OnHost(r), r} }

// Version changes whenever the script or one of its modules does.
func (o onRunner) Version() (string, error) { return o.r.Version(patience) }

// Print adds what a script has printed to the package's log.
func (o onRunner) Print(text []byte) { o.r.Print(text) }

// Request is a status, as the shell would be given it.
func (o onRunner) Request(of failover.Token) Request {
	s := o.r.Setting(of.Term, of.Previous, of.Unfenced...)
	return Request{Path: s.Path, Args: []string{"status"}, Dir: s.Dir, Env: s.Env, Cgroup: s.Cgroup}
}

// EndRun kills what programs a run of the worker has left.
func (o onRunner) EndRun(r Request) { o.r.EndRun(r.Env) }

// Shadow begins a status of which the output is kept.
func (o onRunner) Shadow(of failover.Token) (Shadow, error) {
	out, err := newBuffer()
	if err != nil {
		return nil, err
	}
	a, err := o.r.StartTo(out, "status", of.Term, of.Previous, of.Unfenced...)
	if err != nil {
		_ = out.Close()
		return nil, err
	}
	k := &kept{Action: a, out: out, print: o.Print}
	k.stop = guardFlood(func() {
		k.flooded.Store(true)
		a.Drop()
	}, out)
	return k, nil
}

// kept is an action of which the output is kept.
type kept struct {
	*script.Action
	out     *os.File
	print   func([]byte)
	stop    func()
	flooded atomic.Bool
}

// Flooded says that it printed too much to be kept, and was ended, if it had not ended before that was seen. It can be asked for after Done.
func (k *kept) Flooded() bool {
	k.stop()
	info, err := k.out.Stat()
	return k.flooded.Load() || err == nil && info.Size() > floodLimit
}

// Stdout is what it has printed. It can be asked for once, after Done.
func (k *kept) Stdout() []byte {
	k.stop()
	defer k.out.Close()
	text, err := contents(k.out)
	if err != nil { // too much: no run of the worker says the same
		text = append(text, " ..."...)
	}
	k.print(text)
	return text
}
