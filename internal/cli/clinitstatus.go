package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"backtowork/internal/clinit"
)

// only is the group called name, or those with an entry that is, and that alone.
func only(groups []clinit.GroupView, name string) (list []clinit.GroupView) {
	for _, g := range groups {
		if g.Group != name {
			g.Entries = slices.DeleteFunc(g.Entries, func(e clinit.EntryView) bool { return e.Tag != name })
		}
		if g.Group == name || len(g.Entries) > 0 {
			list = append(list, g)
		}
	}
	return list
}

// printView prints how groups and their processes stand.
func (c *initCommand) printView(groups []clinit.GroupView) error {
	w := tabwriter.NewWriter(c.env.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "GROUP\tLEVEL\tTAG\tMODE\tSTATE\tPID\tSINCE\tRESTARTS\tLAST EXIT\t")
	for _, g := range groups {
		level := g.Level
		if g.Target != "" {
			level += "->" + g.Target
		}
		fmt.Fprintf(w, "%s\t%s\t\t\t%s\t\t\t\t\t\n", g.Group, dash(level), g.State)
		for _, e := range g.Entries {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", g.Group, dash(g.Level), e.Tag, e.Mode, e.State,
				dash(pidText(e.PID)), since(e.Since), e.Restarts, exit(e.LastExit), remarks(e))
		}
	}
	return w.Flush()
}

func pidText(pid int) string {
	if pid == 0 {
		return ""
	}
	return strconv.Itoa(pid)
}

func since(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// exit is how a command ended last.
func exit(status *int) string {
	switch {
	case status == nil:
		return "-"
	case *status < 0:
		return "?"
	case *status > 128:
		return fmt.Sprintf("signal %d", *status-128)
	}
	return strconv.Itoa(*status)
}

func remarks(e clinit.EntryView) string {
	var words []string
	if e.Old {
		words = append(words, "of an earlier level")
	}
	if e.Left > 0 {
		words = append(words, fmt.Sprintf("has left %d running", e.Left))
	}
	if e.Stopped {
		words = append(words, "stopped by hand")
	}
	if e.Trouble != "" {
		words = append(words, e.Trouble)
	}
	return strings.Join(words, "; ")
}

// printStates prints clstat as the original's -v does: group, level and state of each line.
func (c *initCommand) printStates() {
	text, _ := os.ReadFile(c.statusPath())
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) >= 4 {
			fmt.Fprintln(c.env.Stdout, strings.Join(words[1:4], " "))
		}
	}
}
