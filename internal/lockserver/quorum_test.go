package lockserver

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Whose word makes a majority: lower case for a voter, upper case for a non-voter; s asks.
func TestMajorityOf(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		servers, others string
		need            int
	}{
		{"s", "", 0},
		{"sa", "a", 1},
		{"sab", "ab", 1},
		{"sabc", "abc", 2},
		{"sabcd", "abcd", 2},
		{"sabC", "ab", 1},
		{"sAB", "", 0},
		{"saB", "a", 1}, // non-voters are not asked, and are no part of what there is a majority of
		{"ab", "ab", 2},
		{"abc", "abc", 2},
		{"abcd", "abcd", 3}, // it was removed
		{"Sab", "ab", 2},
		{"Sabc", "abc", 2},
		{"Sa", "a", 1}, // it is none itself
	} {
		var servers []raft.Server
		for _, r := range row.servers {
			s := raft.Server{ID: raft.ServerID(r)}
			if r < 'a' {
				s.ID, s.Suffrage = raft.ServerID(r+'a'-'A'), raft.Nonvoter
			}
			servers = append(servers, s)
		}
		others, need := majorityOf(servers, "s")
		said := ""
		for _, id := range others {
			said += string(id)
		}
		if said != row.others || need != row.need {
			t.Errorf("of %q: %d of %q, want %d of %q", row.servers, need, said, row.need, row.others)
		}
	}
}

// Whatever a majority says, the server that asks is asked last: it must lead, and in that term.
func TestAskedLastItself(t *testing.T) {
	for _, list := range [][]string{{"a"}, three} {
		t.Run(fmt.Sprint(len(list)), func(t *testing.T) {
			inCluster(t, Off{}, list, func(t *testing.T, c *testCluster) {
				leader := c.leader()
				time.Sleep(time.Second)
				ask := func(entry string, term uint64) error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					return c.hosts[entry].asker.ask(ctx, c.hosts[entry].node(), term)
				}
				term := c.hosts[leader].node().CurrentTerm()
				if err := ask(leader, term); err != nil {
					t.Errorf("the leader: %v", err)
				}
				if err := ask(leader, term-1); err == nil {
					t.Error("the leader of a term has the word of a majority for the one before")
				}
				for _, other := range c.others(leader) { // the majority is in that term, but it does not lead
					if err := ask(other, term); !errors.Is(err, errDeposed) {
						t.Errorf("%s, which follows: %v, want %v", other, err, errDeposed)
					}
				}
			})
		})
	}
}
