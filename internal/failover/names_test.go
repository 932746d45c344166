package failover

import (
	"testing"
	"time"
)

// calledToo is a script on a host with other names.
type calledToo struct {
	says
	names []string
}

func (c calledToo) Aliases() []string { return c.names }

// A host's priority is found by any of its names, as a variable of a shell can have them.
func TestPriorityOf(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		node, also, parameter string
		found                 bool
	}{
		{"h1", "", "h1_priority", true},
		{"h1", "", "h2_priority", false},
		{"H1", "", "H1_priority", true},
		{"H1", "", "h1_priority", true},
		{"web-1", "web-1.example.com", "web_1_priority", true},
		{"web-1", "web-1.example.com", "web_1_example_com_priority", true},
		{"web-1", "Web-1.Example.com", "web_1_example_com_priority", true},
		{"web-1", "", "web_1_example_com_priority", false},
		{"3db", "", "_3db_priority", true},
		{"10.0.0.1", "", "_10_0_0_1_priority", true},
	} {
		script := calledToo{says: says{row.parameter: "7"}}
		if row.also != "" {
			script.names = []string{row.also}
		}
		p, err := ReadParams(t.Context(), script, row.node)
		if got := p.Priority == 7*time.Second; got != row.found || err != nil {
			t.Errorf("%s on node %s (%s): found %v, %v, want %v", row.parameter, row.node, row.also, got, err, row.found)
		}
	}
	script := calledToo{says{"h1_priority": "7", "H1_priority": "3"}, nil}
	if p, err := ReadParams(t.Context(), script, "H1"); p.Priority != 3*time.Second || err != nil {
		t.Errorf("on H1 with both: %v, %v, want H1's", p.Priority, err)
	}
}
