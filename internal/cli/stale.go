package cli

import (
	"context"
	"fmt"

	"backtowork/internal/api"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
)

// askLeader asks which lock server speaks for all of them. The function that it returns waits for that: "" for none, as far
// as those that answer know.
func askLeader(ctx context.Context, c *lockclient.Client) func() string {
	leader := make(chan string, 1)
	go func() { // ends by the limit of each question
		for _, a := range askAll[api.Status](ctx, c, "/v1/server") {
			if a.err == nil && a.value.Leader != "" {
				leader <- a.value.Leader
				return
			}
		}
		leader <- ""
	}()
	return func() string { return <-leader }
}

// sayStale says that what was shown may have changed since, where there is no leader. If the lock called name is that of a
// package that runs here, its manager knows for how long that was so.
func (s *site) sayStale(ctx context.Context, leader, name string) {
	if leader != "" {
		return
	}
	since := ""
	if name != "" {
		since = s.silence(ctx, name)
	}
	fmt.Fprintf(s.env.Stdout, "unknown now: no lock server that answers has a leader, and what is above may have changed since.%s\n", since)
}

// silence is for how long the manager of a package has heard nothing of the lock servers, if that is too long, or why it
// does not ask them.
func (s *site) silence(ctx context.Context, name string) string {
	return silentFor(s.state(ctx, name))
}

func silentFor(is manager.Answer) string {
	switch {
	case is.Waits != "":
		return fmt.Sprintf(" waits_for=%q;", is.Waits)
	case is.Silent == 0:
		return ""
	}
	return fmt.Sprintf(" lock_servers_silent=%ds;", is.Silent)
}

// state is how the manager of a package says that it is; zero where it does not.
func (s *site) state(ctx context.Context, name string) manager.Answer {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	is, err := manager.Home(s.Home).Ask(ctx, name, manager.Request{What: manager.State})
	if err != nil {
		return manager.Answer{}
	}
	return is
}
