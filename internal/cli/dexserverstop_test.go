package cli

import (
	"errors"
	"slices"
	"testing"

	"backtowork/internal/api"
)

// Whether a lock server can be stopped: the voters that are left, and answer, are a majority.
func TestLeft(t *testing.T) {
	t.Parallel()
	own := func(voters, others int) (s api.Status) {
		for i, id := range []string{"h1/1", "h2/1", "h3/1", "h4/1"} {
			if i < voters+others {
				s.Servers = append(s.Servers, api.Member{ID: id, Voter: i < voters})
			}
		}
		return s
	}
	says := func(entry, id, leader string) answer[api.Status] {
		return answer[api.Status]{server: entry, value: api.Status{ID: id, Leader: leader}}
	}
	h2, h3 := says("h2", "h2/1", "h1"), says("h3", "h3/1", "h1")
	for _, row := range []struct {
		about   string
		own     api.Status
		answers []answer[api.Status]
		missing []string
		enough  bool
	}{
		{"alone", own(1, 0), nil, nil, false},
		{"two", own(2, 0), []answer[api.Status]{h2}, nil, false},
		{"three", own(3, 0), []answer[api.Status]{h2, h3}, nil, true},
		{"three, one of which is silent", own(3, 0), []answer[api.Status]{h2, {server: "h3", err: errors.New("no answer")}}, []string{"h3"}, false},
		{"three, one of which knows no leader", own(3, 0), []answer[api.Status]{h2, says("h3", "h3/1", "")}, []string{"h3"}, false},
		{"three, one of which is another by now", own(3, 0), []answer[api.Status]{h2, says("h3", "h3/2", "h1")}, []string{"h3"}, false},
		{"two of three vote", own(2, 1), []answer[api.Status]{h2, h3}, nil, false},
		{"four", own(4, 0), []answer[api.Status]{h2, h3}, []string{"h4"}, false},
	} {
		missing, enough := left(row.own, "h1", row.answers)
		if enough != row.enough || !slices.Equal(missing, row.missing) {
			t.Errorf("%s: left without %v, enough %v; want %v, %v", row.about, missing, enough, row.missing, row.enough)
		}
	}
}
