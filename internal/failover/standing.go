package failover

import (
	"cmp"
	"slices"
)

// A Standing is what a start may have set up that is no process in the package's cgroup. It is taken
// away by the parameters that it was set up with, whatever the script says later.
type Standing struct {
	VIPs   []string `json:"vips,omitempty"`   // addresses
	Mounts []string `json:"mounts,omitempty"` // mount points that may be unmounted by force

	// Sources is what is mounted there. It is empty where that is not said of each: nobody knows then whose a mount is.
	Sources []string `json:"sources,omitempty"`

	Units []string `json:"units,omitempty"` // of systemd, and groups of clinit
}

// Standing is what a start by these parameters may set up.
func (p Params) Standing() Standing {
	s := Standing{VIPs: p.VIPs, Units: p.Units()}
	if p.ForceUmount {
		s.Mounts = p.Mounts
		if len(p.Sources) >= len(p.Mounts) {
			s.Sources = p.Sources
		}
	}
	return s
}

// Units are those of systemd, and the groups of clinit, whose processes are the package's, as Scripts take them.
func (p Params) Units() []string {
	units := slices.Clone(p.KillUnits)
	for _, group := range p.Groups {
		units = append(units, cmp.Or(p.Socket, "/var/run/clinit/clinit.s")+":"+group)
	}
	return units
}

// And is what is in either of the two.
func (s Standing) And(o Standing) Standing {
	both := func(a, b []string) []string {
		all := slices.Clone(a)
		for _, word := range b {
			if !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
		return all
	}
	sum := Standing{VIPs: both(s.VIPs, o.VIPs), Mounts: both(s.Mounts, o.Mounts), Units: both(s.Units, o.Units)}
	if s.knowsSources() && o.knowsSources() {
		sum.Sources = both(s.Sources, o.Sources)
	}
	return sum
}

func (s Standing) knowsSources() bool { return len(s.Mounts) == 0 || len(s.Sources) > 0 }

// Same says whether o has the same.
func (s Standing) Same(o Standing) bool {
	return slices.Equal(s.VIPs, o.VIPs) && slices.Equal(s.Mounts, o.Mounts) && slices.Equal(s.Sources, o.Sources) && slices.Equal(s.Units, o.Units)
}

// Empty says whether there is nothing.
func (s Standing) Empty() bool { return len(s.VIPs)+len(s.Mounts)+len(s.Units) == 0 }
