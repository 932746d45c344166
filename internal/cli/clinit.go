package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"backtowork/internal/clinit"
	"backtowork/internal/command"
)

const clinitUsage = `Usage: clinit [-v] [-c FILE] [-s SOCKET] [GROUP] LEVEL
       clinit -d | -k | status | start TAG | stop TAG | restart TAG | --check

Brings a resource group of the file (/etc/cltab) to a run level: the daemon, which one
starts with clinit -d, stops what that level does not have, then starts what it has, line
by line. Without GROUP it is the one called like this host. Without operands the daemon
reads its file again. The file's lines are GROUP:TAG:LEVELS:MODE:COMMAND, with the modes
wait, once, respawn, test and off; clinit --check --options lists the options that entries
can have.

  -d  runs the daemon in the foreground, until TERM, INT or clinit -k: then it stops
      all processes, and ends. HUP has it read its file again
  -k  stops all processes, and the daemon
  -v  then prints GROUP LEVEL STATE for each group, from clstat
  -c  another file
  -s  another socket, if the file does not name one (:::socket:PATH)
  --wait[=STATE]  waits until the group stands there; the exit status is 1 if that is
                  FAILED, or not STATE; with -k, until the daemon has ended
  --timeout=N     of --wait: gives up after so many seconds, with exit status 4
  --json          prints the answer as JSON
  --check         says what is wrong with the file, and asks no daemon

status says how each group and process stands. start, stop and restart are for one
entry, in the level that its group has. A group of the file that has one of these names
is meant before, and so is a level "status" of this host's group.

Exit status: 0 done, 1 refused or failed, 2 wrong arguments, 3 no daemon, 4 timed out.

Example: clinit web 1 --wait
`

// An initCommand is clinit or isinit, as it was called.
type initCommand struct {
	env      *command.Env
	dialect  clinit.Dialect
	file     string
	socket   string // of -s
	daemon   bool
	kill     bool
	verbose  bool
	wait     string // "" for no
	timeout  time.Duration
	json     bool
	check    bool
	options  bool
	operands []string

	table    *clinit.Table
	problems []clinit.Problem
}

var initLong = map[string]byte{"wait": 'W', "timeout": 'T', "json": 'J', "check": 'C', "options": 'O', "status": 'S'}

func runClinit(ctx context.Context, env *command.Env) error {
	c := &initCommand{env: env, dialect: clinit.Clinit, file: "/etc/cltab"}
	if err := c.parse("dhkvc:s:W::T:JCOS", clinitUsage); err != nil {
		return err
	}
	return c.run(ctx)
}

// parse takes the options.
func (c *initCommand) parse(accept, usage string) error {
	opts, operands, err := command.Options(c.env.Args, accept, initLong)
	if err != nil {
		return err
	}
	c.operands, c.timeout = operands, -1
	for _, o := range opts {
		switch o.Letter {
		case 'd':
			c.daemon = true
		case 'h':
			fmt.Fprint(c.env.Stdout, usage)
			return command.Status(0)
		case 'k':
			c.kill = true
		case 'v':
			c.verbose = true
		case 'c':
			c.file = o.Value
		case 's':
			c.socket = o.Value
		case 'W':
			if c.wait = clinit.Any; o.Value != "" {
				c.wait = o.Value
			}
			if !clinit.CanBeWaitedFor(c.wait) {
				return command.Usagef("--wait wants DONE, PASSED or FAILED, not %q", o.Value)
			}
		case 'T':
			if c.timeout, err = command.Seconds(o.Value); err != nil {
				return command.Usagef("--timeout wants a number of seconds, not %q", o.Value)
			}
		case 'J':
			c.json = true
		case 'C':
			c.check = true
		case 'O':
			c.options = true
		case 'S':
			c.operands = append([]string{"status"}, c.operands...)
		}
	}
	return nil
}

func (c *initCommand) run(ctx context.Context) error {
	text, err := readTable(c.file)
	c.table, c.problems = clinit.ParseAll(c.file, text, c.dialect)
	switch {
	case c.check:
		return c.checkFile(err)
	case c.daemon && len(c.operands) > 0:
		return command.Usagef("-d takes no operands")
	case c.daemon && err != nil:
		return command.WithHint(fmt.Errorf("cannot read %s: %w", c.file, command.Reason(err)), "%s -c FILE names another", c.env.Name)
	case c.daemon:
		return c.runDaemon(ctx)
	}
	if c.dialect == clinit.Isinit && !c.kill {
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", c.file, command.Reason(err))
		}
		if err := c.startDaemon(); err != nil {
			return err
		}
	}
	ask, err := c.asks()
	if err != nil {
		return err
	}
	return c.ask(ask)
}

// maxTable is how long a file may be.
const maxTable = 16 << 20

// readTable reads a file of groups, which is to be one: not a pipe that nobody writes to.
func readTable(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > maxTable:
		return nil, fmt.Errorf("it has more than %d MB", maxTable>>20)
	}
	return os.ReadFile(path)
}

// checkFile says what is wrong with the file.
func (c *initCommand) checkFile(err error) error {
	if c.options {
		w := tabwriter.NewWriter(c.env.Stdout, 0, 8, 2, ' ', 0)
		for _, k := range clinit.OptionKeys() {
			fmt.Fprintf(w, ":::opt:TAG:%s=\t%s (%s)\n", k.Name, k.Meaning, k.Value)
		}
		for _, k := range clinit.GroupKeys() {
			fmt.Fprintf(w, ":::group:GROUP:%s=\t%s (%s)\n", k.Name, k.Meaning, k.Value)
		}
		return w.Flush()
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", c.file, command.Reason(err))
	}
	bad := false
	for _, p := range c.problems {
		fmt.Fprintln(c.env.Stdout, p)
		bad = bad || p.Level == clinit.Error
	}
	if bad {
		return command.Status(1)
	}
	fmt.Fprintf(c.env.Stdout, "%s: %d groups, %d entries\n", c.file, len(c.table.Groups()), len(c.table.Entries))
	return nil
}

// asks is what the operands ask for.
func (c *initCommand) asks() (clinit.Ask, error) {
	words := c.operands
	byHand := map[string]clinit.Op{"start": clinit.Start, "stop": clinit.Stop, "restart": clinit.Restart}
	host, _ := os.Hostname()
	switch {
	case c.kill && len(words) > 0:
		return clinit.Ask{}, command.Usagef("-k takes no operands")
	case c.kill:
		return clinit.Ask{Op: clinit.Shutdown, Wait: c.wait}, nil
	case len(words) == 0, c.dialect == clinit.Isinit && slices.Equal(words, []string{"0", "0"}) && !c.has("0"):
		return clinit.Ask{Op: clinit.Reread}, nil
	case words[0] == "status" && len(words) == 1 && !c.hasLevel(host, "status"),
		words[0] == "status" && len(words) == 2 && !c.has("status"):
		return clinit.Ask{Op: clinit.Look}, nil
	case len(words) == 2 && byHand[words[0]] != "" && !c.has(words[0]):
		return clinit.Ask{Op: byHand[words[0]], Tag: words[1]}, nil
	case len(words) == 1:
		return clinit.Ask{Op: clinit.Tell, Group: host, Level: words[0], Wait: c.wait}, nil
	}
	group, level := words[len(words)-2], words[len(words)-1]
	if c.dialect == clinit.Clinit && (group == "" || group == "0" && !c.has(group)) {
		group = host
	}
	return clinit.Ask{Op: clinit.Tell, Group: group, Level: level, Wait: c.wait}, nil
}

// has says whether the file has a group.
func (c *initCommand) has(group string) bool { return len(c.table.Of(group)) > 0 }

// hasLevel says whether the file has a level of a group.
func (c *initCommand) hasLevel(group, level string) bool {
	return slices.ContainsFunc(c.table.Of(group), func(e clinit.Entry) bool { return e.In(level, c.dialect) })
}

// askLimit is how long a daemon may take to answer what needs no waiting.
const initAskLimit = 30 * time.Second

// ask asks the daemon, and prints what it says.
func (c *initCommand) ask(ask clinit.Ask) error {
	deadline := time.Time{}
	switch {
	case c.timeout >= 0:
		deadline = time.Now().Add(max(c.timeout, time.Millisecond))
	case c.wait == "":
		deadline = time.Now().Add(initAskLimit)
	}
	answer, err := clinit.Call(c.socketPath(), ask, deadline)
	switch {
	case errors.Is(err, clinit.ErrNoDaemon):
		return command.Failed(c.env, 3, command.WithHint(fmt.Errorf("no daemon listens on %s", c.socketPath()), "%s starts one", c.startsBy()))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return command.Failed(c.env, 4, fmt.Errorf("timed out: the daemon goes on with it"))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return command.Failed(c.env, 3, errors.New("the daemon has hung up without an answer: it has ended, or has too much to do"))
	case err != nil:
		return err
	}
	for _, line := range answer.Bad {
		fmt.Fprintf(c.env.Stderr, "%s: %s\n", c.env.Name, line)
	}
	if err := c.print(ask, answer); err != nil {
		return err
	}
	if c.verbose {
		c.printStates()
	}
	if answer.Refused {
		return command.Status(1)
	}
	return nil
}

func (c *initCommand) startsBy() string {
	if c.dialect == clinit.Isinit {
		return "isinit GROUP LEVEL"
	}
	return "clinit -d"
}

// print prints an answer.
func (c *initCommand) print(ask clinit.Ask, answer clinit.Answer) error {
	if ask.Op == clinit.Look && len(c.operands) == 2 {
		if answer.Groups = only(answer.Groups, c.operands[1]); len(answer.Groups) == 0 {
			return command.Failed(c.env, 1, fmt.Errorf("no such group or tag: %s", c.operands[1]))
		}
	}
	switch {
	case c.json:
		e := json.NewEncoder(c.env.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(answer)
	case ask.Op == clinit.Look:
		return c.printView(answer.Groups)
	case ask.Op == clinit.Reread && !answer.Refused, ask.Op == clinit.Shutdown && ask.Wait == "":
		return nil // the original says nothing
	case answer.Refused && ask.Op != clinit.Tell:
		return command.Failed(c.env, 1, errors.New(answer.Msg))
	case c.dialect == clinit.Clinit || answer.Refused:
		fmt.Fprintln(c.env.Stdout, answer.Msg)
	}
	return nil
}

// socketPath is where the daemon listens: in clinit the file is stronger than -s, in isinit -s is.
func (c *initCommand) socketPath() string {
	if c.dialect == clinit.Isinit {
		return cmp.Or(c.socket, c.table.Socket, "/var/run/is/init.s")
	}
	return cmp.Or(c.table.Socket, c.socket, "/var/run/clinit/clinit.s")
}

// statusPath is clstat's, or initstat's; "" for none.
func (c *initCommand) statusPath() string {
	if c.table.Status != "" || c.dialect == clinit.Isinit {
		return c.table.Status
	}
	return filepath.Join("/var/run/clinit", "clstat")
}
