package failover

import (
	"fmt"
	"time"
)

const (
	// LongestElection is how long the lock servers may take to choose a leader after the leading
	// one crashed: 1 to 4 s.
	LongestElection = 4 * time.Second
	// FenceReport is what the servers leave a fence over its own time, to report.
	FenceReport = 6 * time.Second
	// dying is how long what was sent SIGKILL may take to be gone. What takes longer hangs in the
	// kernel, and no time is enough for it.
	dying = time.Second
	// drift is by how much of a time two hosts' clocks are taken to differ: 1 in 1,000. The quartz
	// of a host that is further off than half of that cannot be disciplined by NTP at all.
	drift = 1000
)

// Bounds are what a package's parameters come to, at worst. Of a status only its limit is
// known: those that a change of node waits for, one after the stop and one before the start,
// come on top, as do the moments that the network takes.
type Bounds struct {
	Crash       time.Duration // the node crashes: until another runs the package
	LeaderCrash time.Duration // the same, where it led the lock servers too
	HandOver    time.Duration // the package is halted here: until another node runs it
	CutOff      time.Duration // the lock servers cannot be reached: until nothing of it is left here
	Ends        time.Duration // the service ends by itself: until another node runs it
	Hangs       time.Duration // the service hangs: until another node runs it
	LostStop    time.Duration // what the stop script has when the lock is lost; then what is left is killed
	Margin      time.Duration // see [Params.Bounds]
	Apart       float64       // by how much of a time two hosts' clocks may differ until Margin is used up: 0.01 is 1 %
}

// Bounds are the package's, on a node that leaves a free lock to others for p.Priority.
//
// Of a node that crashed or is cut off nothing is known, so another waits until the silence is
// over: T + S + m after the leader heard from it last (SAFETY.md rule 5). A leader that is new
// counts from its own beginning (rule 7), so the election comes on top. Such a lock is not
// free, and no node leaves it to another.
//
// A service that ends or hangs is started again in place p.Retries times. At worst each of these ends, or cannot be
// started, at once.
//
// A change of node in good order is a stop, with all that is killed in it and after it, the
// writing of the state files, and a start.
//
// Margin is the time between the end of the last process of the package on a node that is cut
// off and the earliest grant to another. The holder counts T + S from sending its last
// request, the servers T + S + m from receiving it (rules 2 and 5): so without faults it is m,
// and the way of the request makes it only longer. Two things eat of it:
//
//   - The holder's clock may be slow and the leader's fast. A clock that is being slewed does no
//     harm, since the holder believes its faster clock and a server its slower one (rule 1):
//     what remains is how far the quartz of one host is from that of the other, over T + S.
//   - SIGKILL is sent k/2 before the kill end (rule 3). What takes longer to die lives on after it.
//
// Where nothing can be killed (rule 4), or what was killed hangs in the kernel, there is no margin.
func (p Params) Bounds() Bounds {
	span, silence := p.Timeout+p.StopTimeout, p.times().Silence()
	script := scriptGrace + dying // a script that is over its time is killed
	change := p.StopTimeout + script + p.killGrace()/2 + dying + noteLimit + p.Priority + p.StartTimeout
	again := time.Duration(p.Retries) * (p.Pace + p.StopTimeout + script + p.killGrace()/2 + dying + p.StartTimeout)
	late := max(0, dying-p.killGrace()/2)
	wait := silence
	if p.Fence != "" { // one that hangs keeps the lock until its time is over, and it may begin in the last moment
		wait += p.FenceTimeout + FenceReport
	}
	return Bounds{
		Crash:       wait + p.StartTimeout,
		LeaderCrash: LongestElection + wait + p.StartTimeout,
		HandOver:    change,
		CutOff:      span,
		Ends:        p.Pace + again + change,
		Hangs:       p.Pace + p.Timeout + script + again + change,
		LostStop:    p.StopTimeout - p.killGrace(),
		Margin:      silence - span - span/drift - late,
		Apart:       float64(silence-span-late) / float64(span),
	}
}

// Doubts are what does no harm by itself, but is hardly meant so: texts of warnings. status is how long the status
// script took; 0 if that is not known.
func (p Params) Doubts(status time.Duration) (d []string) {
	doubt := func(format string, args ...any) { d = append(d, fmt.Sprintf(format, args...)) }
	if p.Pace > p.Timeout/3 && p.Pace <= p.Timeout {
		doubt("pace (%v) is longer than a third of timeout (%v): a degraded package has few looks to recover.", p.Pace, p.Timeout)
	}
	switch {
	case status >= p.Timeout:
		doubt("status did not answer within timeout (%v): the package would be stopped for that.", p.Timeout)
	case status > p.Timeout/2:
		doubt("status took %v here, more than half of timeout (%v): the package is stopped if it takes twice as long.",
			status.Round(100*time.Millisecond), p.Timeout)
	}
	b := p.Bounds()
	switch {
	case p.StopTimeout < 2*time.Second:
		doubt("stop_timeout (%v) is below 2s: when the lock is lost, the stop script has only %v.", p.StopTimeout, b.LostStop)
	case p.killGrace()/2 < dying:
		doubt("stop_timeout (%v) is below %v: when the lock is lost, what is killed has only %v to end.",
			p.StopTimeout, 8*dying, p.killGrace()/2)
	}
	return d
}

// Overlaps are how two nodes may run the package at once all the same: texts of warnings. watched says that a hardware
// watchdog resets this host by the kill end.
func (p Params) Overlaps(watched bool) (d []string) {
	if p.ReleaseAfterFailure && !p.SelfFence {
		d = append(d, "stop_failure=release: two nodes may run it after a stop that failed.")
	}
	if !p.SelfFence && !p.FenceRequired && !watched {
		d = append(d, "no overlap: not guaranteed if cut off and the stop fails (self_fence=reboot, fence_required=yes or conf/watchdog would guard it).")
	}
	return d
}
