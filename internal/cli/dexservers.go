package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/lockclient"
)

const dexServersUsage = `Usage: dex-servers [-o json]

Shows the lock servers, those of dex-lock/conf/lock_servers and those of the cluster: the id in
the cluster, the address, whether it votes (yes, no, waiting), its role, raft's term, the last
entry of its log, how many entries it lags behind the leader, contact, and its version. Contact
is ok, or for how many seconds the leader has not heard from it. Below it stands what is not as it should be; then the exit status is 1.

With -o json: {"cluster":"...","leader":"h1","file":["h1","h2"],"servers":[{"id":"h1/...",
  "address":"h1","voter":"yes","role":"leader","raft_term":3,"last":17,"lag":0,"contact":0.1,
  "version":"...","lock_servers":["h1","h2"],"waiting":"","error":""}],"problems":["..."]}
A server that does not answer has an error, and null where nothing is known.

Example: dex-lock/dex-servers
`

// A serverView is a lock server, for people and programs.
type serverView struct {
	ID      string   `json:"id"`
	Address string   `json:"address"`
	Voter   string   `json:"voter"` // yes, no, waiting; "" for not known
	Role    string   `json:"role"`
	Term    *uint64  `json:"raft_term"`
	Last    *uint64  `json:"last"`
	Lag     *uint64  `json:"lag"`
	Contact *float64 `json:"contact"` // seconds since the leader heard from it
	Version string   `json:"version"`
	List    []string `json:"lock_servers"`
	Waiting string   `json:"waiting"`
	Error   string   `json:"error"`
}

// A clusterView is all lock servers.
type clusterView struct {
	Cluster  string       `json:"cluster"`
	Leader   string       `json:"leader"`
	File     []string     `json:"file"`
	Servers  []serverView `json:"servers"`
	Problems []string     `json:"problems"`
}

func dexServers(ctx context.Context, env *command.Env) error {
	env, _, asJSON, err := showArgs(env, "o:")
	if err != nil {
		return err
	}
	if len(env.Args) > 0 {
		return command.UsageError("dex-servers takes no arguments")
	}
	s, err := openListed(env)
	if err != nil {
		return err
	}
	s.warnUnread()
	answers, err := s.askServers(ctx)
	if err != nil {
		return err
	}
	view := viewServers(entries(s.servers), s.files.Cluster(), answers)
	if asJSON {
		err = printJSON(env.Stdout, view)
	} else {
		err = view.print(env)
	}
	if err == nil && len(view.Problems) > 0 {
		err = command.Status(1)
	}
	return err
}

// askServers asks the servers of the file, and then those that these name besides.
func (s *site) askServers(ctx context.Context) ([]answer[api.Status], error) {
	all := s.servers
	for {
		var servers []lockclient.Server
		for _, server := range all {
			servers = append(servers, lockclient.Server{Entry: server.Entry, Addr: server.Addr()})
		}
		c, err := s.clientOf(servers...)
		if err != nil {
			return nil, err
		}
		answers := askAll[api.Status](ctx, c, "/v1/server")
		c.Close()
		known := len(all)
		for _, a := range answers {
			for _, m := range a.value.Servers {
				server, err := conf.ParseServer(entryOf(m.ID))
				if err == nil && !slices.ContainsFunc(all, func(o conf.Server) bool { return o.Entry == server.Entry }) {
					all = append(slices.Clip(all), server)
				}
			}
		}
		if len(all) == known {
			return answers, nil
		}
	}
}

// entryOf is what lock_servers called the server with that id.
func entryOf(id string) string {
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		return id[:i]
	}
	return id
}

// viewServers puts together what the servers say. known is the cluster that this node knows.
func viewServers(file []string, known string, answers []answer[api.Status]) clusterView {
	v := clusterView{File: file, Servers: []serverView{}, Problems: []string{}}
	best := authority(known, answers)
	v.Cluster = best.Cluster
	if best.Open {
		v.Leader = best.Entry
	}
	for _, a := range answers {
		v.Servers = append(v.Servers, viewServer(a, best))
	}
	v.problems(best, answers)
	return v
}

// authority is the answer that knows best what the cluster is: an open leader's, of the cluster
// that this node knows; else that of the server whose raft is the farthest.
func authority(known string, answers []answer[api.Status]) (best api.Status) {
	rank := func(s api.Status) []uint64 {
		bit := func(b bool) uint64 {
			if b {
				return 1
			}
			return 0
		}
		return []uint64{bit(s.Cluster != ""), bit(s.Cluster == known), bit(s.Open), s.Term, s.Last}
	}
	for _, a := range answers {
		if a.err == nil && slices.Compare(rank(a.value), rank(best)) > 0 {
			best = a.value
		}
	}
	return best
}

// viewServer is one server, as it and the leader tell of it.
func viewServer(a answer[api.Status], best api.Status) serverView {
	v := serverView{Address: a.server}
	i := slices.IndexFunc(best.Servers, func(m api.Member) bool { return entryOf(m.ID) == a.server })
	if i >= 0 {
		m := best.Servers[i]
		v.ID, v.Voter = m.ID, "no"
		if m.Voter {
			v.Voter = "yes"
		}
		if best.Open {
			contact := float64(m.Silence) / 1000
			v.Contact = &contact
		}
	}
	if a.err != nil {
		v.Error = lockclient.Reason(a.err)
		return v
	}
	s := a.value
	v.ID, v.Role, v.Version, v.List, v.Waiting = s.ID, s.Role, s.Version, s.List, s.Waiting
	v.Term, v.Last = &s.Term, &s.Last
	if i < 0 || best.Servers[i].ID != s.ID {
		v.Voter, v.Contact = "waiting", nil
	}
	if best.Open && v.Voter != "waiting" {
		lag := best.Last - min(best.Last, s.Last)
		v.Lag = &lag
	}
	return v
}

// problems says what is not as it should be.
func (v *clusterView) problems(best api.Status, answers []answer[api.Status]) {
	say := func(format string, args ...any) { v.Problems = append(v.Problems, fmt.Sprintf(format, args...)) }
	if v.Leader == "" {
		say("no lock server leads")
	}
	for i, a := range answers {
		server := v.Servers[i]
		listed := slices.Contains(v.File, a.server)
		member := slices.ContainsFunc(best.Servers, func(m api.Member) bool { return entryOf(m.ID) == a.server })
		switch {
		case listed && !member && best.Cluster != "":
			say("%s is in lock_servers, but not in the cluster", a.server)
		case !listed:
			say("%s is in the cluster, but not in lock_servers", a.server)
		}
		if a.err != nil {
			say("%s does not answer: %s", a.server, server.Error)
			continue
		}
		if a.value.Cluster != v.Cluster && a.value.Cluster != "" {
			say("%s is in another cluster: %s, not %s (dex-server-init --join there gives that up)", a.server, a.value.Cluster, v.Cluster)
		} else if member && server.Voter == "waiting" {
			say("%s is not the server that the cluster knows by this name: %s", a.server, server.ID)
		}
		if server.Voter == "no" {
			say("%s does not vote yet", a.server)
		}
		if server.Waiting != "" {
			say("%s waits for %s", a.server, server.Waiting)
		}
		if !api.SameServers(server.List, v.File) {
			say("%s has another lock_servers: %s", a.server, strings.Join(server.List, " "))
		}
	}
}

// print shows the table, and what is not as it should be.
func (v *clusterView) print(env *command.Env) error {
	w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "id\taddress\tvoter\trole\tterm\tlast\tlag\tcontact\tversion")
	for _, s := range v.Servers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(s.ID), s.Address, dash(s.Voter), dash(s.Role),
			number(s.Term), number(s.Last), number(s.Lag), s.contact(), dash(s.Version))
	}
	err := w.Flush()
	if len(v.Problems) > 0 {
		_, e := fmt.Fprintf(env.Stdout, "\n%s\n", strings.Join(v.Problems, "\n"))
		err = errors.Join(err, e)
	}
	return err
}

// contact is for people: a leader asks each server now and then, every 5 s where all is well.
func (s serverView) contact() string {
	const usual = 10
	if s.Contact != nil && *s.Contact < usual && s.Error == "" {
		return "ok"
	}
	return tenths(s.Contact)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func number(n *uint64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatUint(*n, 10)
}
