package lockserver

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// What the answers of b and c, of which one must agree, make of question 5 in term 7. What was answered
// later stands, also where an answer of an earlier connection comes after it.
func TestAnswers(t *testing.T) {
	t.Parallel()
	type answer struct {
		from         raft.ServerID
		number, term uint64
	}
	for _, row := range []struct {
		name    string
		answers []answer
		want    string
	}{
		{"none", nil, "open"},
		{"yes", []answer{{"b", 5, 7}}, "yes"},
		{"yes, to a later question", []answer{{"c", 9, 7}}, "yes"},
		{"to the question before", []answer{{"b", 4, 7}, {"c", 4, 7}}, "open"},
		{"of one that is behind", []answer{{"b", 5, 6}}, "open"},
		{"of one that is behind, then yes", []answer{{"b", 5, 6}, {"c", 5, 7}}, "yes"},
		{"of a later term", []answer{{"b", 5, 8}}, errDeposed.Error()},
		{"of a later term, to the question before", []answer{{"b", 4, 8}}, "open"},
		{"of a stranger", []answer{{"x", 5, 7}}, "open"},
		{"late, after one that is behind", []answer{{"b", 6, 6}, {"b", 5, 7}}, "open"},
	} {
		a := newAsker(nil)
		for _, id := range []raft.ServerID{"b", "c", "x"} {
			a.peers[id] = &peer{}
		}
		w := &waiter{number: 5, term: 7, voters: []raft.ServerID{"b", "c"}, need: 1, done: make(chan error, 1)}
		a.waiters[w] = true
		for _, said := range row.answers {
			a.heard(a.peers[said.from], said.number, said.term)
		}
		got := "open"
		select {
		case err := <-w.done:
			got = "yes"
			if err != nil {
				got = err.Error()
			}
		default:
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// An answer to another question than the one that was asked is none.
func TestAnswerToAnotherQuestion(t *testing.T) {
	t.Parallel()
	for _, number := range []uint64{6, 7, 8} {
		here, there := net.Pipe()
		go func() {
			_, _, err := readNumbers(there)
			_ = errors.Join(err, writeNumbers(there, number, 3), there.Close()) // the test sees what came
		}()
		if term, err := question(here, 7); (err == nil) != (number == 7) || err == nil && term != 3 {
			t.Errorf("to question 7 an answer to %d: term %d, %v", number, term, err)
		}
		if err := here.Close(); err != nil {
			t.Error(err)
		}
	}
}
