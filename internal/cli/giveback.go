package cli

import "runtime/debug"

// giveBack has the system have the memory that this process does not need while it waits.
func giveBack() {
	debug.FreeOSMemory()
	forgetPages()
}
