package lockserver

import (
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
)

// A rosterCase is what a leader, a/1 of cluster K, sees. Everything that is not said is as in a
// cluster of a, b and c, whose servers all answer and have the same list.
type rosterCase struct {
	list    string
	members string // ids; a "-" before one means a non-voter
	down    string // entries that do not answer
	differ  map[string]func(*api.Status)
	silent  map[string]time.Duration
	want    step
	why     string
}

func (c rosterCase) roster() *roster {
	r := &roster{self: "a/1", cluster: "K", list: strings.Fields(c.list), applied: 1000, others: map[string]api.Status{}}
	if c.list == "" {
		r.list = []string{"a", "b", "c"}
	}
	if c.members == "" {
		c.members = "a/1 b/1 c/1"
	}
	for _, id := range strings.Fields(c.members) {
		name, nonvoter := strings.CutPrefix(id, "-")
		r.members = append(r.members, api.Member{ID: name, Voter: !nonvoter})
		r.others[entryOf(name)] = api.Status{
			Entry: entryOf(name), ID: name, Cluster: "K", Marked: true, List: r.list, Role: "follower", Applied: 1000,
			Servers: []api.Member{{ID: name}},
		}
	}
	for _, entry := range r.list {
		if _, ok := r.others[entry]; !ok {
			r.others[entry] = api.Status{Entry: entry, ID: entry + "/9", List: r.list, Role: "waiting"}
		}
	}
	delete(r.others, "a")
	for entry, change := range c.differ {
		status := r.others[entry]
		change(&status)
		r.others[entry] = status
	}
	for _, entry := range strings.Fields(c.down) {
		delete(r.others, entry)
	}
	r.silence = func(id string) time.Duration { return c.silent[id] }
	return r
}

func TestRoster(t *testing.T) {
	long := 10 * time.Second
	isNow := func(id string) func(*api.Status) {
		return func(s *api.Status) { s.ID, s.Cluster, s.Lost, s.Role = id, "K", true, "waiting" }
	}
	cases := map[string]rosterCase{
		"all as it should be":                 {},
		"a server is down":                    {down: "b", silent: map[string]time.Duration{"b/1": time.Hour}},
		"two more":                            {list: "a b c d e", want: step{add, "d/9"}},
		"the first of two is down":            {list: "a b c d e", down: "d", want: step{add, "e/9"}},
		"the only new one is down":            {list: "a b c d", down: "d", why: "d to be reached"},
		"a new one has not caught up":         {list: "a b c d", members: "a/1 b/1 c/1 -d/9", differ: map[string]func(*api.Status){"d": func(s *api.Status) { s.Applied = 900 }}, why: "d/9 to catch up"},
		"a new one has caught up":             {list: "a b c d", members: "a/1 b/1 c/1 -d/9", want: step{promote, "d/9"}},
		"a new one is down":                   {list: "a b c d", members: "a/1 b/1 c/1 -d/9", down: "d", why: "d/9 to be reached"},
		"one is in another cluster":           {list: "a b c d", differ: map[string]func(*api.Status){"d": func(s *api.Status) { s.Cluster = "L" }}, why: "d to leave the cluster that it is in (there: dex-server-init --join)"},
		"one calls itself otherwise":          {list: "a b c d", differ: map[string]func(*api.Status){"d": func(s *api.Status) { s.Entry = "e" }}, why: "d to go by that name: it calls itself e"},
		"one that was let go comes back":      {list: "a b c d", differ: map[string]func(*api.Status){"d": func(s *api.Status) { s.Cluster, s.ID = "K", "d/3" }}, want: step{add, "d/3"}},
		"one less":                            {list: "a b", want: step{remove, "c/1"}},
		"the leader less":                     {list: "b c", want: step{handOver, "a/1"}},
		"one replaced, both live":             {list: "a b d", want: step{add, "d/9"}},
		"one replaced, the new one votes":     {list: "a b d", members: "a/1 b/1 c/1 d/9", want: step{remove, "c/1"}},
		"one replaced, just gone":             {list: "a b d", down: "c", silent: map[string]time.Duration{"c/1": long - 1}, why: "c/1, which does not answer"},
		"one replaced, gone for long":         {list: "a b d", down: "c", silent: map[string]time.Duration{"c/1": long}, want: step{remove, "c/1"}},
		"one lost its state, just now":        {differ: map[string]func(*api.Status){"c": isNow("c/2")}, silent: map[string]time.Duration{"c/1": time.Second}, why: "c/1, which does not answer"},
		"one lost its state":                  {differ: map[string]func(*api.Status){"c": isNow("c/2")}, silent: map[string]time.Duration{"c/1": long}, want: step{remove, "c/1"}},
		"one that lost its state was removed": {members: "a/1 b/1", differ: map[string]func(*api.Status){"c": isNow("c/2")}, want: step{add, "c/2"}},
		"a non-voter lost its state":          {members: "a/1 b/1 -c/1", differ: map[string]func(*api.Status){"c": isNow("c/2")}, silent: map[string]time.Duration{"c/1": long}, want: step{remove, "c/1"}},
		"another list on one":                 {list: "a b c d", differ: map[string]func(*api.Status){"b": func(s *api.Status) { s.List = []string{"a", "b", "c"} }}, why: "b to have the same lock_servers as a (it has a b c)"},
		"another list on one that is down":    {list: "a b c d", down: "b", want: step{add, "d/9"}},
		"no majority of the old list":         {list: "a d e f", down: "b c", silent: map[string]time.Duration{"b/1": long, "c/1": long}, why: "a majority of a b c to be reached"},
		"no majority of the new list":         {list: "a d e f", members: "a/1", down: "e f", why: "e to be reached"},
		"alone, and one of two is down":       {list: "a b c", members: "a/1", down: "c", why: "c to be reached"},
		"alone, and both are there":           {list: "a b c", members: "a/1", want: step{add, "b/9"}},
		"the name of one leads to another":    {differ: map[string]func(*api.Status){"b": func(s *api.Status) { s.Entry, s.ID = "c", "c/1" }}, silent: map[string]time.Duration{"b/1": long}},
		"one is down, and one wiped":          {list: "a b d c", members: "a/1 b/1", down: "d", differ: map[string]func(*api.Status){"c": isNow("c/2")}, want: step{add, "c/2"}},
		"a new one knows nothing yet":         {list: "a b c d", members: "a/1 b/1 c/1 -d/9", differ: map[string]func(*api.Status){"d": func(s *api.Status) { s.Servers = nil }}, why: "d/9 to catch up"},
		"nothing to do, with another list":    {differ: map[string]func(*api.Status){"b": func(s *api.Status) { s.List = []string{"a"} }}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, why := c.roster().next()
			if got != c.want || (why == "") != (c.why == "") || !strings.HasPrefix(why, c.why) {
				t.Errorf("next = %+v, %q; want %+v, %q", got, why, c.want, c.why)
			}
		})
	}
}
