package failover

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// says is a package script's parameters.
type says map[string]string

var errNoScript = errors.New("cannot run the script")

// Echo answers for a parameter. One that is "!" cannot be asked.
func (s says) Echo(ctx context.Context, name string) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if s[name] == "!" {
		return "", errNoScript
	}
	return s[name], nil
}

func TestReadParams(t *testing.T) {
	t.Parallel()
	const s = time.Second
	standard := Params{Pace: 4 * s, Timeout: 30 * s, StartTimeout: 30 * s, StopTimeout: 30 * s}
	with := func(change func(*Params)) Params { p := standard; change(&p); return p }
	for name, row := range map[string]struct {
		node string
		says says
		want Params
	}{
		"nothing said": {"h1", says{}, standard},
		"all said": {
			"h1",
			says{"pace": "6", "timeout": "40", "start_timeout": "20", "stop_timeout": "60", "h1_priority": "3"},
			Params{6 * s, 40 * s, 20 * s, 60 * s, 3 * s},
		},
		"the most":                    {"h1", says{"timeout": "1000000"}, with(func(p *Params) { p.Timeout = 1e6 * s })},
		"the priority of another":     {"h1", says{"h2_priority": "3"}, standard},
		"a host name with -":          {"web-1", says{"web_1_priority": "3"}, with(func(p *Params) { p.Priority = 3 * s })},
		"a host name with .":          {"a.b", says{"a_b_priority": "3"}, with(func(p *Params) { p.Priority = 3 * s })},
		"a host name of digits":       {"7up", says{"7up_priority": "3"}, standard},
		"priority -1, the original's": {"h1", says{"h1_priority": "-1"}, standard},
		"priority 0":                  {"h1", says{"h1_priority": "0"}, standard},
	} {
		if got, err := ReadParams(t.Context(), row.says, row.node); got != row.want || err != nil {
			t.Errorf("%s: ReadParams = %+v, %v, want %+v", name, got, err, row.want)
		}
	}
}

func TestReadParamsFaults(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pace", "timeout", "start_timeout", "stop_timeout"} {
		for _, text := range []string{"0", "-1", "4s", "four", "1.5", " ", "1e3", "0x10", "1000001", "99999999999999999999", "4\n5"} {
			_, err := ReadParams(t.Context(), says{name: text}, "h1")
			if err == nil || !strings.Contains(err.Error(), "cannot use "+name+"=") || strings.Contains(err.Error(), "\n") {
				t.Errorf("ReadParams with %s=%q: %v, want one line that says so", name, text, err)
			}
		}
	}
	for _, text := range []string{"high", "1.5", "1000001"} {
		if _, err := ReadParams(t.Context(), says{"h1_priority": text}, "h1"); err == nil || !strings.Contains(err.Error(), "h1_priority") {
			t.Errorf("ReadParams with priority %q: %v", text, err)
		}
	}
	all := says{"pace": "x", "timeout": "0", "start_timeout": "-3", "stop_timeout": "y", "h1_priority": "z"}
	_, err := ReadParams(t.Context(), all, "h1")
	for name := range maps.Keys(all) {
		if err == nil || !strings.Contains(err.Error(), name+"=") {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}

func TestReadParamsOfABrokenScript(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pace", "stop_timeout", "h1_priority"} {
		if _, err := ReadParams(t.Context(), says{name: "!"}, "h1"); !errors.Is(err, errNoScript) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: ReadParams = %v, want %v once", name, err, errNoScript)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadParams(ctx, says{}, "h1"); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadParams = %v, want %v", err, context.Canceled)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		pace, timeout time.Duration
		want          []string
	}{
		{4, 30, nil},
		{8, 8, nil},
		{31, 30, []string{"warning: pace (31s) is longer than timeout (30s)."}},
		{4, 7, []string{"warning: timeout (7s) is below 8s: the lock is lost when the leading lock server crashes."}},
		{9, 7, []string{
			"warning: pace (9s) is longer than timeout (7s).",
			"warning: timeout (7s) is below 8s: the lock is lost when the leading lock server crashes.",
		}},
	} {
		got := Params{Pace: row.pace * time.Second, Timeout: row.timeout * time.Second}.Warnings()
		if strings.Join(got, "\n") != strings.Join(row.want, "\n") {
			t.Errorf("pace %d, timeout %d: %q, want %q", row.pace, row.timeout, got, row.want)
		}
	}
}
