// Package applet has the small programs that scripts call and that some systems lack, or have in
// another form. Each is a command by itself, and other code can call it without starting a process.
package applet

import "backtowork/internal/command"

// Commands is all of them.
func Commands() []command.Command {
	return []command.Command{
		{Names: []string{"arping"}, Usage: arpingUsage, Run: arping},
		{Names: []string{"gethexip"}, Usage: getHexIPUsage, Run: getHexIP},
		{Names: []string{"gethostip"}, Usage: getHostIPUsage, Run: getHostIP},
		{Names: []string{"od"}, Usage: odUsage, Run: od},
		{Names: []string{"pgrep"}, Usage: pgrepUsage, Run: pgrep},
		{Names: []string{"pkill"}, Usage: pkillUsage, Run: pkill},
		{Names: []string{"setsid"}, Usage: setsidUsage, Run: setsid},
		{Names: []string{"sleep"}, Usage: sleepUsage, Run: sleep},
	}
}
