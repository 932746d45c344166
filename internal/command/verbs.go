package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Verb is what a command can be asked to do by its first argument, as "stop" in service stop.
type Verb struct {
	Name    string
	Args    string // as the usage of the command has them, behind the name
	Summary string // and behind those; broken into lines as they are printed
	Usage   string // what --help prints: hand-written, and of the form of a Command's
	Run     func(ctx context.Context, env *Env, args []string) error
}

// WithVerbs makes the command that does one of verbs. Its usage begins with the first of its names, says what
// the command is about, lists the verbs, and ends with an example.
func WithVerbs(names []string, about string, verbs []Verb, example string) Command {
	c := Command{Names: names, Verbs: verbs}
	c.Usage = listOf(names[0], about, verbs) + "\nExample: " + example + "\n"
	c.Run = c.verb
	return c
}

// verb runs the verb that the arguments begin with, or prints its usage if that is asked for.
func (c Command) verb(ctx context.Context, env *Env) error {
	i := -1
	if len(env.Args) > 0 {
		i = slices.IndexFunc(c.Verbs, func(v Verb) bool { return v.Name == env.Args[0] })
	}
	if i < 0 {
		if len(env.Args) > 0 {
			fmt.Fprintf(env.Stderr, "%s: no such verb: %q\n", env.Name, env.Args[0])
		}
		fmt.Fprint(env.Stderr, c.usageAs(env.Name, c.Usage))
		return Status(2)
	}
	usage := c.usageAs(env.Name, c.Verbs[i].Usage)
	if args := env.Args[1:]; !AsksHelp(args) {
		err := c.Verbs[i].Run(ctx, env, args)
		if errors.As(err, new(UsageError)) { // the verb's usage helps more than the command's
			return Status(Report(env, usage, err))
		}
		return err
	}
	fmt.Fprint(env.Stdout, usage)
	return nil
}

// listOf is the usage of a command with verbs, without the example.
func listOf(name, about string, verbs []Verb) string {
	var names, rows []string
	width := 0
	for _, v := range verbs {
		names, width = append(names, v.Name), max(width, len(v.Name+" "+v.Args))
	}
	const gap = 3
	for _, v := range verbs {
		for i, line := range strings.Split(v.Summary, "\n") {
			left := ""
			if i == 0 {
				left = v.Name + " " + v.Args
			}
			rows = append(rows, fmt.Sprintf("  %-*s%s\n", width+gap, left, line))
		}
	}
	return fmt.Sprintf("Usage: %s { %s }\n  %s\n\n%s", name, strings.Join(names, " | "), about, strings.Join(rows, ""))
}
