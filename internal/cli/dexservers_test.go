package cli

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"backtowork/internal/api"
)

// seat is a server as the leader tells of it.
func seat(entry string, voter bool) api.Member {
	return api.Member{ID: entry + "/1", Voter: voter, Silence: 200}
}

// said is what a healthy follower says of itself.
func said(entry string, change func(*api.Status)) answer[api.Status] {
	list := []string{"h1", "h2", "h3"}
	s := api.Status{Entry: entry, ID: entry + "/1", Cluster: "c", List: list, Role: "follower", Leader: "h1", Term: 4, Last: 90, Version: "1"}
	s.Servers = []api.Member{seat("h1", true), seat("h2", true), seat("h3", true)}
	if change != nil {
		change(&s)
	}
	return answer[api.Status]{server: entry, value: s}
}

// leads makes a leader of a server.
func leads(s *api.Status) { s.Role, s.Open, s.Last = "leader", true, 100 }

// A serverStory is what the servers say, and what dex-servers finds in it.
type serverStory struct {
	name    string
	answers []answer[api.Status]
	want    []string
}

func serverStories() []serverStory {
	silent := answer[api.Status]{server: "h3", err: errors.New("no route")}
	leader := said("h1", leads)
	members := func(m ...api.Member) func(*api.Status) {
		return func(s *api.Status) {
			leads(s)
			s.Servers = m
		}
	}
	return []serverStory{
		{"well", []answer[api.Status]{leader, said("h2", nil), said("h3", nil)}, []string{}},
		{"silent", []answer[api.Status]{leader, said("h2", nil), silent}, []string{"h3 does not answer: no route"}},
		{
			"no leader",
			[]answer[api.Status]{said("h1", nil), said("h2", nil), said("h3", nil)},
			[]string{"no lock server leads"},
		},
		{
			"another file",
			[]answer[api.Status]{leader, said("h2", func(s *api.Status) { s.List = []string{"h1", "h2"} }), said("h3", nil)},
			[]string{"h2 has another lock_servers: h1 h2"},
		},
		{
			"in the file only",
			[]answer[api.Status]{
				said("h1", members(seat("h1", true), seat("h2", true))), said("h2", nil),
				said("h3", func(s *api.Status) { s.Cluster, s.Role, s.Servers, s.Waiting = "", "waiting", nil, "h4 to be reached" }),
			},
			[]string{"h3 is in lock_servers, but not in the cluster", "h3 waits for h4 to be reached"},
		},
		{
			"in the cluster only",
			[]answer[api.Status]{
				said("h1", members(seat("h1", true), seat("h2", true), seat("h3", true), seat("h4", true))),
				said("h2", nil), said("h3", nil), said("h4", nil),
			},
			[]string{"h4 is in the cluster, but not in lock_servers"},
		},
		{
			"no vote yet",
			[]answer[api.Status]{
				said("h1", members(seat("h1", true), seat("h2", true), seat("h3", false))), said("h2", nil), said("h3", nil),
			},
			[]string{"h3 does not vote yet"},
		},
		{
			"another cluster",
			[]answer[api.Status]{leader, said("h2", nil), said("h3", func(s *api.Status) { s.Cluster, s.Open, s.Term = "d", true, 9 })},
			[]string{"h3 is in another cluster: d, not c (dex-server-init --join there gives that up)"},
		},
		{
			"lost its state",
			[]answer[api.Status]{leader, said("h2", nil), said("h3", func(s *api.Status) { s.ID, s.Waiting = "h3/2", "to be taken in" })},
			[]string{"h3 is not the server that the cluster knows by this name: h3/2", "h3 waits for to be taken in"},
		},
	}
}

func TestServerProblems(t *testing.T) {
	t.Parallel()
	for _, row := range serverStories() {
		if got := viewServers([]string{"h1", "h2", "h3"}, "c", row.answers).Problems; !slices.Equal(got, row.want) {
			t.Errorf("%s: problems %q, want %q", row.name, got, row.want)
		}
	}
}

func TestViewServers(t *testing.T) {
	t.Parallel()
	v := viewServers([]string{"h1", "h2", "h3"}, "", []answer[api.Status]{said("h1", leads), said("h2", nil), {server: "h3", err: errors.New("no route")}})
	if v.Cluster != "c" || v.Leader != "h1" {
		t.Errorf("cluster %q led by %q, want c led by h1", v.Cluster, v.Leader)
	}
	contact, lag, term, last := 0.2, uint64(10), uint64(4), uint64(90)
	want := serverView{
		ID: "h2/1", Address: "h2", Voter: "yes", Role: "follower", Term: &term, Last: &last, Lag: &lag, Contact: &contact,
		Version: "1", List: []string{"h1", "h2", "h3"},
	}
	if got := v.Servers[1]; !reflect.DeepEqual(got, want) {
		t.Errorf("h2 is shown as %+v, want %+v", got, want)
	}
	want = serverView{ID: "h3/1", Address: "h3", Voter: "yes", Contact: &contact, Error: "no route"}
	if got := v.Servers[2]; !reflect.DeepEqual(got, want) {
		t.Errorf("h3, which is silent, is shown as %+v, want %+v", got, want)
	}
}

// A leader asks each server every 5 s: until twice that is over nothing is wrong.
func TestContact(t *testing.T) {
	t.Parallel()
	seconds := func(n float64) *float64 { return &n }
	for _, row := range []struct {
		view serverView
		want string
	}{
		{serverView{Contact: seconds(0)}, "ok"},
		{serverView{Contact: seconds(9.9)}, "ok"},
		{serverView{Contact: seconds(12.34)}, "12.3"},
		{serverView{Contact: seconds(3), Error: "no answer"}, "3.0"},
		{serverView{}, "-"},
	} {
		if got := row.view.contact(); got != row.want {
			t.Errorf("the contact of %+v is shown as %q, want %q", row.view, got, row.want)
		}
	}
}
