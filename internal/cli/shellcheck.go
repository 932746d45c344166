package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"backtowork/internal/lint"
)

// notAsked are findings of shellcheck that are none here: parameters are read by others than the script that sets
// them, and what is sourced is found when the script runs.
const notAsked = "SC1090,SC1091,SC2034,SC2154"

// unquoted are findings about what is not in quotes.
var unquoted = []string{"SC2086", "SC2070", "SC2046"}

// same are our rules that say what findings of shellcheck say: begins of their numbers.
var same = map[string][]string{
	"unquoted-test": unquoted, "unchecked-cd": {"SC2164"}, "word-as-number": {"SC2170", "SC2309"},
	"bashism": {"SC30", "SC2113", "SC2039"}, "carriage-return": {"SC1017"}, "bom": {"SC1082"},
}

// mostChecked is how many bytes shellcheck is asked about, deepestChecked how deep they may be nested, and longestCheck
// for how long: it is slow.
const (
	deepestChecked = 50
	mostChecked    = 100_000
	longestCheck   = 10 * time.Second
)

// shellcheck is what that program says of a script, if it is installed and knows the shell, and what own has not said.
func shellcheck(ctx context.Context, path, file string, text []byte, kind lint.Kind, own []lint.Finding) (found []lint.Finding) {
	dialect := lint.Dialect(text, kind)
	if dialect == "sh" { // local, ulimit -n and the like are not in POSIX, but in every sh that runs packages
		dialect = "dash"
	}
	ignored := lint.Ignored(text)
	if dialect == "" || slices.Contains(ignored, "shellcheck") {
		return nil
	}
	if len(text) > mostChecked || lint.Nested(text) > deepestChecked {
		return []lint.Finding{{
			File: path, Line: 1, Col: 1, Level: lint.Note, Rule: "shellcheck",
			Reason: "shellcheck is not asked: the file is too long, or too deeply nested",
		}}
	}
	ctx, cancel := context.WithTimeout(ctx, longestCheck)
	defer cancel()
	out, err := outputOf(ctx, "shellcheck", "-s", dialect, "-S", "info", "-e", notAsked, "-f", "json1", "--", file)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil
	}
	var said struct {
		Comments []struct {
			Line, Column uint
			Level        string
			Code         int
			Message      string
		}
	}
	if json.Unmarshal([]byte(out), &said) != nil {
		return nil
	}
	oneWord := lint.OneWords(path, kind, text)
	levels := map[string]lint.Level{"error": lint.Error, "warning": lint.Warning}
	for _, c := range said.Comments {
		level, ok := levels[c.Level]
		if !ok {
			level = lint.Note
		}
		f := lint.Finding{File: path, Line: c.Line, Col: c.Column, Level: level, Reason: c.Message, Rule: fmt.Sprintf("SC%d", c.Code)}
		if slices.Contains(unquoted, f.Rule) && oneWord[lint.Place{Line: f.Line, Col: f.Col}] || slices.Contains(ignored, f.Rule) || isSaid(f, own) {
			continue
		}
		found = append(found, f)
	}
	return found
}

// isSaid says whether one of ours has said what shellcheck has found.
func isSaid(f lint.Finding, own []lint.Finding) bool {
	return slices.ContainsFunc(own, func(o lint.Finding) bool {
		return (o.Line == f.Line || o.Rule == "carriage-return") &&
			slices.ContainsFunc(same[o.Rule], func(number string) bool { return strings.HasPrefix(f.Rule, number) })
	})
}
