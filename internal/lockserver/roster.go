package lockserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"backtowork/internal/api"
)

const (
	goneAfter = 10 * time.Second // how long an id that another has replaced must be unheard to be removed
	caughtUp  = 64               // log entries that a server may lag behind, to become a voter
)

// A deed is one change of the cluster's members.
type deed int

const (
	nothing deed = iota
	add          // as a non-voter, which is sent the log
	promote      // to a voter
	remove
	handOver // leadership, before the leader itself is removed
)

// A step is the next change of the cluster's members, and of which one.
type step struct {
	deed deed
	id   string
}

// A roster is what a leader knows when it looks at the servers of its cluster, and of the list
// that the cluster is to follow (rule 13).
type roster struct {
	self    string // id
	cluster string
	list    []string // lock_servers
	members []api.Member
	others  map[string]api.Status // by entry: what those say that answer
	silence func(id string) time.Duration
	applied uint64 // by this server, before the others were asked
}

// isListed says whether the server with that id is, by its name, one of the list.
func (r *roster) isListed(id string) bool { return slices.Contains(r.list, entryOf(id)) }

// live says whether the server with that id answered.
func (r *roster) live(id string) bool {
	status, ok := r.others[entryOf(id)]
	return id == r.self || ok && status.ID == id
}

// next is the next step towards the list. Where one is wanted but not possible now, the step is
// nothing, and why says what it waits for.
func (r *roster) next() (s step, why string) {
	s, why = r.wanted()
	if s.deed == nothing {
		return s, why
	}
	if dissent := r.dissent(); dissent != "" {
		return step{}, dissent
	}
	return s, ""
}

// wanted is the next step, whatever the others' files say. Servers that are gone go first, since
// they count for the majority; servers that work go last, when those that replace them work too.
func (r *roster) wanted() (step, string) {
	for _, m := range r.members {
		replaced := !r.live(m.ID) && (!r.isListed(m.ID) || r.others[entryOf(m.ID)].Entry == entryOf(m.ID))
		if replaced && r.silence(m.ID) >= goneAfter {
			return step{remove, m.ID}, ""
		}
		if replaced {
			return step{}, fmt.Sprintf("%s, which does not answer under that id any more, to be silent for %v", m.ID, goneAfter)
		}
	}
	if s, why := r.newcomer(); s.deed != nothing || why != "" {
		return s, why
	}
	for _, m := range r.members {
		switch {
		case r.isListed(m.ID):
		case m.ID != r.self:
			return step{remove, m.ID}, ""
		default:
			return step{handOver, m.ID}, ""
		}
	}
	return step{}, ""
}

// newcomer is the step by which a server that is missing among the voters becomes one. One that
// cannot be taken in now does not keep others from it.
func (r *roster) newcomer() (s step, why string) {
	for _, m := range r.members {
		if m.Voter || !r.isListed(m.ID) {
			continue
		}
		if why = r.unready(m.ID); why == "" {
			return step{promote, m.ID}, ""
		}
	}
	if why := r.missing(); why != "" {
		return step{}, why
	}
	for _, entry := range r.list {
		if slices.ContainsFunc(r.members, func(m api.Member) bool { return entryOf(m.ID) == entry }) {
			continue
		}
		status, ok := r.others[entry]
		switch {
		case !ok:
			why = entry + " to be reached, to take it into the cluster"
		case status.Entry != entry:
			why = otherName(entry, status.Entry)
		case status.Cluster != "" && status.Cluster != r.cluster:
			why = entry + " to leave the cluster that it is in (there: dex-server-init --join)"
		default:
			return step{add, status.ID}, ""
		}
	}
	return step{}, why
}

// unready is why the non-voter with that id cannot be a voter yet: "" if it can. It must know
// from the log that it is a member, or its answer only shows that it runs.
func (r *roster) unready(id string) string {
	status := r.others[entryOf(id)]
	knows := slices.ContainsFunc(status.Servers, func(m api.Member) bool { return m.ID == id })
	switch {
	case !r.live(id):
		return id + " to be reached, to become a voter"
	case !knows, status.Applied+caughtUp < r.applied, status.Cluster != r.cluster, status.Role == "waiting":
		return id + " to catch up, to become a voter"
	}
	return ""
}

// missing is why a cluster of one server cannot grow yet: "" if it can, or has grown. It grows only when all
// servers of the list are reached. The others could be clusters of their own, and it must serve nobody while
// it does not know (rule 11).
func (r *roster) missing() string {
	for _, entry := range r.list {
		if _, ok := r.others[entry]; !ok && entry != entryOf(r.self) && len(r.members) == 1 {
			return entry + " to be reached"
		}
	}
	return ""
}

// dissent is why no step is taken now: all servers of the cluster and of the list that can be
// reached must have the same list, and they must be a majority of each.
func (r *roster) dissent() string {
	var members []string
	for _, m := range r.members {
		members = append(members, entryOf(m.ID))
	}
	agree := func(entry string) bool {
		_, ok := r.others[entry]
		return ok || entry == entryOf(r.self)
	}
	for _, entry := range slices.Sorted(maps.Keys(r.others)) {
		if status := r.others[entry]; !api.SameServers(status.List, r.list) {
			return fmt.Sprintf("%s to have the same lock_servers as %s (it has %s)", entry, entryOf(r.self), strings.Join(status.List, " "))
		}
	}
	for _, all := range [][]string{members, r.list} {
		reached := slices.DeleteFunc(slices.Clone(all), func(entry string) bool { return !agree(entry) })
		if len(reached) <= len(all)/2 {
			return fmt.Sprintf("a majority of %s to be reached", strings.Join(all, " "))
		}
	}
	return ""
}
