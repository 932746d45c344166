package cli

import (
	"errors"
	"testing"

	"backtowork/internal/api"
	"backtowork/internal/conf"
)

func TestNoLeader(t *testing.T) {
	t.Parallel()
	says := func(entry, leader, waiting string) answer[api.Status] {
		return answer[api.Status]{server: entry, value: api.Status{Leader: leader, Waiting: waiting}}
	}
	silent := func(entry string) answer[api.Status] {
		return answer[api.Status]{server: entry, err: errors.New("no route")}
	}
	for _, row := range []struct {
		answers []answer[api.Status]
		want    string
	}{
		{[]answer[api.Status]{says("h1", "h2", ""), silent("h2")}, ""},
		{[]answer[api.Status]{says("h1", "", "h2 to be reached"), silent("h2"), silent("h3")}, "lock servers h2, h3 (h2: no route; h3: no route)"},
		{[]answer[api.Status]{says("h1", "", "its disk"), says("h2", "", "")}, "the lock servers: h1 waits for its disk"},
		{[]answer[api.Status]{says("h1", "", ""), says("h2", "", "")}, "the lock servers to choose a leader"},
	} {
		if got := noLeader(row.answers); got != row.want {
			t.Errorf("noLeader is %q, want %q", got, row.want)
		}
	}
}

// Who waits for lock servers, and has one here that does not run, as on a copied tree, is told how to learn why.
func TestOwnIsDown(t *testing.T) {
	t.Parallel()
	s := &site{Site: conf.Site{Home: t.TempDir(), LockDir: t.TempDir(), Node: "h1"}, servers: []conf.Server{{Entry: "h1", Host: "h1"}}}
	if got := s.ownIsDown(); got != "; this host's does not run: dex-lock/dex-server-init starts it, or says why it cannot" {
		t.Errorf("on a lock server it says %q", got)
	}
	s.servers = []conf.Server{{Entry: "192.0.2.1", Host: "192.0.2.1"}}
	if got := s.ownIsDown(); got != "" {
		t.Errorf("on a host that has none it says %q", got)
	}
}
