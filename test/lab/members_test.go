//go:build linux

package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
)

// dex runs a command of the tree on a host, which must succeed.
func (l *lab) dex(host string, args ...string) string {
	l.t.Helper()
	return l.lab(append([]string{"exec", "-w", labHome, host}, args...)...)
}

// listOn writes lock_servers on hosts, and has their servers read it.
func (l *lab) listOn(list string, hosts ...string) {
	l.t.Helper()
	for _, host := range hosts {
		must(l.t, os.WriteFile(filepath.Join(l.dir, host, labHome, "dex-lock/conf/lock_servers"), []byte(list+"\n"), 0o644))
	}
	for _, host := range hosts {
		l.dex(host, "dex-lock/dex-server-init")
	}
}

// voters waits until dex-servers on host says that the voters are those of list, and that nothing
// differs.
func (l *lab) voters(host, list string, within time.Duration) {
	l.t.Helper()
	var said []byte
	defer func() {
		if l.t.Failed() {
			l.t.Logf("dex-servers on %s: %s", host, said)
		}
	}()
	l.await(within, "the voters are "+list, func() bool {
		cmd := exec.Command(l.repo+"/utils/lab", "exec", "-w", labHome, host, "dex-lock/dex-servers", "-o", "json")
		cmd.Env = append(os.Environ(), "LAB_NAME="+l.name)
		var exit *exec.ExitError
		var err error
		if said, err = cmd.Output(); errors.As(err, &exit) && exit.ExitCode() == 1 {
			return false
		}
		must(l.t, err)
		var all struct {
			Leader  string `json:"leader"`
			Servers []struct {
				Address string `json:"address"`
				Voter   string `json:"voter"`
			} `json:"servers"`
		}
		must(l.t, json.Unmarshal(said, &all))
		var voters []string
		for _, s := range all.Servers {
			if s.Voter == "yes" {
				voters = append(voters, s.Address)
			}
		}
		return all.Leader != "" && len(voters) == len(all.Servers) && api.SameServers(voters, strings.Fields(list))
	})
}

// Under a package that runs: three servers grow to five, a dead one is replaced, one is wiped while
// it is down and one while it runs, and the cluster shrinks to three others. The package never moves.
func membersChange(t *testing.T, tr tree) {
	l := newLab(t, tr, 5, []string{"quick"}, map[string]string{
		"conf/cluster_nodes":         "h1 h2 h3 h4 h5",
		"dex-lock/conf/lock_servers": "h1 h2 h3",
	})
	for _, host := range []string{"h1", "h2", "h3"} {
		l.dex(host, "dex-lock/dex-server-init")
	}
	l.start("h3", "quick")
	active, _ := l.runsOn("quick", 10*time.Second)
	l.listOn("h1 h2 h3 h4 h5", "h1", "h2", "h3", "h4", "h5")
	l.voters("h1", "h1 h2 h3 h4 h5", 30*time.Second)

	l.crash("h5")
	l.listOn("h1 h2 h3 h4", "h1", "h2", "h3", "h4")
	l.voters("h1", "h1 h2 h3 h4", 40*time.Second)

	state := filepath.Join(l.dir, "h4", labHome, "dex-lock/state")
	l.crash("h4")
	must(t, os.RemoveAll(state))
	l.lab("boot", "h4")
	l.dex("h4", "dex-lock/dex-server-init")
	l.voters("h1", "h1 h2 h3 h4", 40*time.Second)

	must(t, os.RemoveAll(state)) // while it runs: it notices at its next start
	l.stays(3*time.Second, "the package runs", func() bool { return l.runs("quick", active) })
	l.crash("h4")
	l.lab("boot", "h4")
	l.dex("h4", "dex-lock/dex-server-init")
	l.voters("h1", "h1 h2 h3 h4", 40*time.Second)

	l.listOn("h2 h3 h4", "h1", "h2", "h3", "h4")
	l.voters("h2", "h2 h3 h4", 40*time.Second)
	if on := l.where("quick", seesState, "running"); !slices.Equal(on, []string{active}) {
		t.Errorf("the package runs on %v, want still %s", on, active)
	}
	const left = "dex-server: the lock server h1 does not run, and lock_servers does not name this host"
	l.await(10*time.Second, "h1 has left, and says so", func() bool { return l.dex("h1", "sh", "-c", "dex-lock/dex-server --status 2>&1 || :") == left })
}

// Three hosts on each of which the README was tried alone become one cluster.
func membersJoin(t *testing.T, tr tree) {
	hosts := []string{"h1", "h2", "h3"}
	l := newLab(t, tr, 3, []string{"quick"}, map[string]string{"dex-lock/conf/lock_servers": "localhost"})
	for _, host := range hosts {
		must(t, os.Remove(filepath.Join(l.dir, host, labHome, "conf/cluster_key")))
		l.dex(host, "dex-lock/dex-init")
		l.dex(host, "dex-lock/dex-lock", "quick", "20")
	}
	for _, host := range hosts {
		must(t, os.WriteFile(filepath.Join(l.dir, host, labHome, "conf/cluster_key"), []byte(tr.key+"\n"), 0o600))
		must(t, os.WriteFile(filepath.Join(l.dir, host, labHome, "dex-lock/conf/lock_servers"), []byte("h1 h2 h3\n"), 0o644))
	}
	for _, host := range hosts {
		l.await(10*time.Second, "the server of "+host+" has the new key", func() bool {
			log, err := os.ReadFile(filepath.Join(l.dir, host, labHome, "log/dex-server.log"))
			return err == nil && bytes.Contains(log, []byte("the cluster key has changed"))
		})
	}
	l.refused("h1", "dex-server-init", `has a cluster of its own, as localhost, which lock_servers does not name: h1 h2 h3`)
	l.refused("h1", "dex-server-init --join", `the lock quick is held, by h1`)
	for _, list := range []string{"localhost", "h1 h2 h3"} {
		for _, host := range hosts {
			must(t, os.WriteFile(filepath.Join(l.dir, host, labHome, "dex-lock/conf/lock_servers"), []byte(list+"\n"), 0o644))
			if list == "localhost" {
				l.dex(host, "dex-lock/dex-release", "quick")
			}
		}
	}
	for _, host := range hosts {
		l.dex(host, "dex-lock/dex-server-init", "--join")
	}
	l.voters("h1", "h1 h2 h3", 20*time.Second)
	l.refused("h2", "dex-server-init --join", `there is nothing to join: h1 is in the same cluster`)
	for _, host := range hosts {
		l.start(host, "quick")
	}
	l.runsOn("quick", 20*time.Second) // T+S+m after the new cluster was met
}

// refused wants a dex command on a host to fail with that reason.
func (l *lab) refused(host, command, reason string) {
	l.t.Helper()
	args := append([]string{"exec", "-w", labHome, host}, strings.Fields("dex-lock/"+command)...)
	cmd := exec.Command(l.repo+"/utils/lab", args...)
	cmd.Env = append(os.Environ(), "LAB_NAME="+l.name)
	if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), reason) {
		l.t.Errorf("%s on %s: %v, %s; want that %s", command, host, err, said, reason)
	}
}
