package script

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// AsideMark is set in the environment of each process of ours that runs beside packages: manager,
// deadman, lock server, watchdog. Its value says which.
const AsideMark = "BTW_ASIDE"

// Marks are the variables by which a process is known to be a package's. What runs beside packages
// must not have them, whoever started it; nor those of [Commands].
var Marks = []string{"BTW_SESSION", "BTW_LOCK", "BTW_ACTION", "BTW_TERM", "BTW_PREVIOUS", "BTW_UNFENCED", "BTW_NODE", ownerMark, keyMark}

// aside says whether process pid runs beside packages. Then neither it nor its descendants belong
// to a package, even if a package's script started it; unless it has all of marks again.
func aside(pid int, marks [][]byte) (bool, error) {
	env, err := environ(pid)
	if err != nil || !bytes.Contains(env, []byte("\x00"+AsideMark+"=")) {
		return false, err
	}
	own, err := marked(pid, marks)
	return !own, err
}

// fosters says whether pid, a child of this process, belongs to a package whose own manager has
// ended. What that manager left is inherited by the next reaper above it, which is this process.
func fosters(pid int) bool {
	if part := packagePart(strconv.Itoa(pid)); part != "" {
		return part != packagePart("self")
	}
	env, err := environ(pid)
	_, action, found := strings.Cut(string(env), "\x00BTW_ACTION=")
	action, _, _ = strings.Cut(action, "\x00")
	return err == nil && found && action != os.Getenv("BTW_ACTION")
}

// packagePart is "HASH/NAME" of the package in whose cgroups a process of /proc is; "" if in none.
func packagePart(name string) string {
	data, _ := os.ReadFile("/proc/" + name + "/cgroup")
	for line := range strings.Lines(string(data)) {
		_, below, found := strings.Cut(strings.TrimSpace(line), "/"+sitesDir+"/")
		if parts := strings.SplitN(below, "/", 3); found && strings.HasPrefix(line, "0::") && len(parts) == 3 {
			return parts[0] + "/" + parts[1]
		}
	}
	return ""
}
