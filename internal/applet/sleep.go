package applet

import (
	"context"
	"math"
	"time"

	"backtowork/internal/command"
)

var sleepUsage = `Usage: sleep NUMBER[smhd]...

Waits for so many seconds, minutes, hours or days; several are added up.

Example: sleep 1.5
`

// sleep waits.
func sleep(ctx context.Context, env *command.Env) error {
	d, err := duration(env.Args)
	if err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// duration is the sum of args.
func duration(args []string) (time.Duration, error) {
	if len(args) == 0 {
		return 0, command.UsageError("how long? a number is missing")
	}
	var sum time.Duration
	for _, arg := range args {
		number, unit := arg, time.Second
		if arg != "" {
			units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
			if u, ok := units[arg[len(arg)-1]]; ok {
				number, unit = arg[:len(arg)-1], u
			}
		}
		d, err := command.Seconds(number)
		if err != nil {
			return 0, command.Usagef("not a length of time: %q", arg)
		}
		times := time.Duration(unit / time.Second)
		if d > (math.MaxInt64-sum)/times {
			return math.MaxInt64, nil
		}
		sum += d * times
	}
	return sum, nil
}
