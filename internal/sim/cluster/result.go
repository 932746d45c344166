package cluster

// A Result is what came of a simulation, or of several.
type Result struct {
	Seed       uint64
	Hours      float64
	Faults     map[string]int
	Happened   map[string]int     // what scripts did that they should not, and such
	Grants     int                // of the lock
	Adoptions  int                // of one that an earlier manager had
	Kept       int                // packages that ran on undisturbed after an adoption
	TakeOvers  int                // stops by a deadman
	Blocked    int                // locks that stayed with a node that could not be shown to be down
	Unkillable int                // changes of what runs, while something that could not be killed was alive on another node
	Doubled    int                // changes of what runs, while two were alive and the plan allows that
	Down       map[string]float64 // longest time that a package was up nowhere, in seconds, by the fault before it
	Alone      map[string]Measured
	Wrong      string // "" if nothing is; else what, and the timeline before it
}

// newResult is that of a simulation that has not begun.
func newResult(seed uint64) Result {
	return Result{
		Seed: seed, Faults: map[string]int{}, Happened: map[string]int{}, Down: map[string]float64{}, Alone: map[string]Measured{},
	}
}

// Count is how many faults there were.
func (r *Result) Count() (n int) {
	for _, c := range r.Faults {
		n += c
	}
	return n
}

// Add adds what came of another simulation.
func (r *Result) Add(o Result) {
	if r.Faults == nil {
		*r = newResult(0)
	}
	r.Hours += o.Hours
	r.Grants += o.Grants
	r.Adoptions += o.Adoptions
	r.TakeOvers += o.TakeOvers
	r.Kept += o.Kept
	r.Blocked += o.Blocked
	r.Unkillable += o.Unkillable
	r.Doubled += o.Doubled
	for name, n := range o.Faults {
		r.Faults[name] += n
	}
	for name, n := range o.Happened {
		r.Happened[name] += n
	}
	for name, seconds := range o.Down {
		r.Down[name] = max(r.Down[name], seconds)
	}
	for name, m := range o.Alone {
		r.Alone[name] = r.Alone[name].Add(m)
	}
	if r.Wrong == "" && o.Wrong != "" {
		r.Wrong, r.Seed = o.Wrong, o.Seed
	}
}
