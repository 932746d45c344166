package test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestRepoImports holds the direction of the imports that doc/DESIGN.md draws.
func TestRepoImports(t *testing.T) {
	t.Parallel()
	allowed := map[string]string{
		"cmd/btw":     "cli",
		"cmd/probe":   "sim/lives",
		"api":         "lock",
		"applet":      "command netif",
		"cli":         "api applet clusterkey command conf deadman dial failover journal lease lock lockclient lockserver lockserver/store manager netif notes script sim/cluster sim/crew watchdog",
		"failover":    "journal lease lock notes",
		"lockserver":  "api clusterkey lease lock lockserver/store",
		"lockclient":  "api lease lock notes",
		"lock":        "lease",
		"watchdog":    "lease",
		"deadman":     "journal lease",
		"manager":     "deadman failover journal lease lock lockclient netif notes script watchdog",
		"sim/cluster": "api clusterkey deadman failover journal lease lock lockclient lockserver lockserver/store manager notes sim/crew sim/memnet sim/virtual",
		"conf":        "lock",
		"script":      "lock",
		"clusterkey":  "", "command": "", "dial": "", "journal": "", "lease": "", "lockserver/store": "", "netif": "", "notes": "",
		"sim/crew": "", "sim/lives": "", "sim/memnet": "", "sim/virtual": "",
	}
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "backtowork/cmd/btw", "backtowork/cmd/probe", "backtowork/internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := short(words[0])
		list, known := allowed[name]
		if !known {
			t.Errorf("package %s is not in the table of doc/DESIGN.md", name)
		}
		for _, imported := range words[1:] {
			if strings.HasPrefix(imported, "backtowork/") && !slices.Contains(strings.Fields(list), short(imported)) {
				t.Errorf("%s imports %s", name, short(imported))
			}
		}
	}
}

func short(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "backtowork/"), "internal/")
}
