package failover

import (
	"slices"
	"strings"
)

// hostNames is what a host may be called in a parameter: its name in the cluster first.
type hostNames []string

// An alias is a [Teller] that knows what else its host is called: with its domain, or in other letters.
type alias interface{ Aliases() []string }

func namesOf(script Teller, node string) hostNames {
	names := hostNames{node}
	if a, ok := script.(alias); ok {
		names = append(names, a.Aliases()...)
	}
	return names
}

// priorities is the parameters that say a host's priority: NAME_priority, where what no variable of a shell may
// have in it is _, and a digit does not begin: _3db_priority. NAME may be in lower case. None, or one below 0,
// means that it does not matter which node goes first.
func (h hostNames) priorities() (all []string) {
	for _, name := range h {
		for _, name := range []string{name, strings.ToLower(name)} {
			name = strings.NewReplacer("-", "_", ".", "_", ":", "_").Replace(name) + "_priority"
			if name[0] >= '0' && name[0] <= '9' {
				name = "_" + name
			}
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// first is the first of names of which something was said; the first of all where nothing was.
func (a answers) first(names []string) string {
	for _, name := range names {
		if a[name] != "" {
			return name
		}
	}
	return names[0]
}
