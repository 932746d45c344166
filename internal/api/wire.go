// Package api is what lock servers and their clients say to one another, as JSON under /v1/ (doc/api.md): requests,
// answers with the codes of refusals, and what servers and nodes tell of themselves. It is read by programs of other
// versions: a field never changes its meaning, and what is new may be absent.
package api

import (
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"time"

	"backtowork/internal/lock"
)

// LeaderHeader and ClusterHeader stand in every answer of a server: the lock_servers entry of
// the leader, as far as that server knows it, and the id of its cluster.
const (
	LeaderHeader  = "Btw-Leader"
	ClusterHeader = "Btw-Cluster"
)

// WaitLimit is how long a server lets a client wait. It is short, because a client that waits
// on a host that vanished learns of it only then.
const WaitLimit = 1500 * time.Millisecond

// An AcquireRequest asks for a lock, once.
//
// The asker's own session may have the lock already: by an earlier request whose answer was lost, or
// from before it lost the lock. Then Own is the term that it was told, and it takes the next term. If
// the lock is free or another's, Known is the term that the asker knows it in; nil means any. A request
// that names a term changes nothing if it comes late, when the lock is in another term.
//
// With From it is an adoption (rule 18): the asker gets the lock at once or not at all. It takes the
// lock in term Own from the session From of the same node; or from its own session, as without From.
type AcquireRequest struct {
	Name    string     `json:"name"`
	Owner   lock.Owner `json:"owner"`
	Times   lock.Times `json:"times"`
	Own     uint64     `json:"own,omitempty"`
	Known   *uint64    `json:"known,omitempty"`
	Cluster string     `json:"cluster,omitempty"` // id of the cluster that the node knows; "" for none yet
	Floor   uint64     `json:"floor,omitempty"`   // the last term in which the node had the lock, in whatever cluster
	Was     string     `json:"was,omitempty"`     // the session by which it had it then
	Host    string     `json:"host,omitempty"`    // tells this host from another with the same node name
	From    string     `json:"from,omitempty"`    // the session that is adopted from
	// OnlyFenced says that it is not enough if the holder is silent: it must have been powered off.
	OnlyFenced bool `json:"only_fenced,omitempty"`
}

// An AcquireAnswer says whether the asker got the lock. If it did not, and the lock is its own or in
// another term than it knew, it may ask again with that term. Where Stranger is set nothing was done,
// because the node knows another cluster. Where Refused is set nothing was done either: Refused says
// why, and what to do.
type AcquireAnswer struct {
	Granted  bool   `json:"granted"`
	Stranger bool   `json:"stranger,omitempty"`
	Refused  string `json:"refused,omitempty"`
	Code     Code   `json:"code,omitempty"` // of Refused
	State
}

// A State is a lock as one server sees it.
type State struct {
	Lock   lock.Lock `json:"lock"`
	Left   int64     `json:"left_ms,omitempty"`   // milliseconds until the holder may be taken for gone; only an open leader knows, and not of a blocked lock
	Silent int64     `json:"silent_ms,omitempty"` // milliseconds that the holder was not heard for, in an answer to an acquire or a wait
	Heard  bool      `json:"heard,omitempty"`     // it was heard then, by this leader: else Silent is since that began to lead
}

// A RenewRequest renews many locks of one session at once.
type RenewRequest struct {
	Session string    `json:"session"`
	Locks   []Renewal `json:"locks"`
	Host    string    `json:"host,omitempty"` // as in an AcquireRequest
}

// A Renewal is the renewal of one lock.
type Renewal struct {
	Name string `json:"name"`
	Term uint64 `json:"term"`
}

// A RenewAnswer says for each lock of the request, in order, what stands against it: "" if
// it is renewed.
type RenewAnswer struct {
	Refused []string `json:"refused"`
	Codes   []Code   `json:"codes,omitempty"` // one for each lock if any is refused, else none; an older server sends none at all: see Refusal
}

// A ReleaseRequest gives a lock back.
type ReleaseRequest struct {
	Name    string `json:"name"`
	Term    uint64 `json:"term"`
	Session string `json:"session"`
}

// A ChangeRequest changes the times that a holder lives by.
type ChangeRequest struct {
	ReleaseRequest
	Seq   uint64     `json:"seq"` // of the lock, as the holder knows it
	Times lock.Times `json:"times"`
}

// A BlockRequest says why a lock must stay with its holder.
type BlockRequest struct {
	ReleaseRequest
	Reason string `json:"reason"` // one line of at most [lock.MaxReason] bytes
}

// An UnblockRequest frees a blocked lock that a person has seen in that Term and Session. If it comes from another
// node than the holder's, it also says that the holder's node is off; it is refused as long as that node is heard.
type UnblockRequest struct {
	ReleaseRequest
	Node string `json:"node"` // that asks: for the log
}

// A FenceRequest asks for the permission to power off the node of a silent holder. Session and Term say which holder.
type FenceRequest struct {
	ReleaseRequest
	By    lock.Owner `json:"by"`
	Limit int64      `json:"limit_ms"`       // milliseconds that it may take
	Host  string     `json:"host,omitempty"` // as in an AcquireRequest
	Was   string     `json:"was,omitempty"`  // as in a WaitRequest
	// Required says that the asker may get the lock in no other way than by a fence.
	Required bool `json:"required,omitempty"`
	// Declared says that a person has seen that the node is off: none of its sessions may have been heard.
	Declared bool `json:"declared,omitempty"`
}

// A FenceAnswer gives the permission, or not. If it is not Granted, nothing was done.
type FenceAnswer struct {
	Granted bool `json:"granted"`
	State
}

// A FencedRequest says what came of a fencing.
type FencedRequest struct {
	ReleaseRequest
	By string `json:"by"` // the session that fenced
	OK bool   `json:"ok"` // the holder's node is off
}

// A SettledRequest says that what the lock is for has started well, so that the nodes that lost the lock by silence
// need not be named to later holders any more. With Node it is a person's word that this one node is off, and says
// nothing of the others.
type SettledRequest struct {
	ReleaseRequest
	Node string `json:"node,omitempty"`
}

// A ChangedAnswer says whether a release or another change was made, and how the lock is now. Where Refused is
// set nothing was done, and it says why.
type ChangedAnswer struct {
	Changed bool      `json:"changed"`
	Refused string    `json:"refused,omitempty"`
	Lock    lock.Lock `json:"lock"`
}

// A WaitRequest asks to be told when it makes sense to ask for a lock.
type WaitRequest struct {
	Name string `json:"name"`
	Term uint64 `json:"term"`           // of the holder that is waited for
	Node string `json:"node,omitempty"` // that waits
	Host string `json:"host,omitempty"` // as in an AcquireRequest
	// Fence asks for an answer also when the holder may be powered off. OnlyFenced asks for none when
	// the holder is only silent. StandBy is the session that waits. It is set only if nothing of what
	// the lock is for is alive on the node, except what that session itself runs under the lock.
	Fence      bool   `json:"fence,omitempty"`
	OnlyFenced bool   `json:"only_fenced,omitempty"`
	StandBy    string `json:"stand_by,omitempty"`
	Was        string `json:"was,omitempty"` // the session that had the lock last on this host, as its disk says; the host may have another node name since then
}

// A Report is what a node says of its files, to find differences by: checksums, and what its
// manager read of the package. "" and nil are from an older version, which does not tell them.
type Report struct {
	Node       string            `json:"node"`
	Package    string            `json:"package"`
	Servers    string            `json:"lock_servers"`
	Script     string            `json:"script"`
	Version    string            `json:"version,omitempty"`     // of the program
	Watchdog   string            `json:"watchdog,omitempty"`    // the device that conf/watchdog names
	AllModules string            `json:"all_modules,omitempty"` // one checksum over all
	Modules    map[string]string `json:"modules,omitempty"`     // checksums, by name
	Params     map[string]string `json:"params,omitempty"`      // as the manager lives by them
	Cut        bool              `json:"cut,omitempty"`         // there was too much to tell: Modules, and Params if need be, are left out
	// Looked is how many milliseconds before it told this the node looked for what the package needs there: Lacks is
	// what it did not find. 0 is not looked.
	Looked int64  `json:"looked_ms,omitempty"`
	Lacks  []Lack `json:"lacks,omitempty"` // at most [MostLacks]
	More   int    `json:"more,omitempty"`  // so many others were not told
	// Age is set by the server that is asked: milliseconds since it was told, at least 1. An older server sets none.
	Age int64 `json:"age_ms,omitempty"`
}

// MostLacks and LongestLack bound what a report has of them; a reason is cut to LongestLack bytes.
const (
	MostLacks   = 20
	LongestLack = 200
)

// A Lack is what a package needs and a node does not have.
type Lack struct {
	File   string `json:"file"`
	Line   uint   `json:"line"`
	Col    uint   `json:"column"`
	Level  string `json:"level"`
	Reason string `json:"reason"`
	Rule   string `json:"rule"` // of service lint
}

// A Status is what a server says of itself.
type Status struct {
	Entry   string            `json:"entry"`             // as it stands in lock_servers
	ID      string            `json:"id"`                // of this server in its cluster
	Cluster string            `json:"cluster"`           // "" while it is in none
	Marked  bool              `json:"marked"`            // it was in a cluster once
	List    []string          `json:"list"`              // its lock_servers
	Role    string            `json:"role"`              // leader, follower, candidate, or waiting
	Leader  string            `json:"leader"`            // entry of the leader, as far as it knows
	Term    uint64            `json:"raft_term"`         // raft's
	Last    uint64            `json:"last"`              // index of the last log entry it has
	Applied uint64            `json:"applied"`           // index of the last log entry applied
	Open    bool              `json:"open"`              // it is the leader, and speaks for the servers
	Waiting string            `json:"waiting,omitempty"` // what it waits for
	Birth   []string          `json:"birth,omitempty"`   // ids of the servers that its cluster began with
	Servers []Member          `json:"servers,omitempty"` // of its cluster now, as far as it knows
	Lost    bool              `json:"lost,omitempty"`    // it lost its state, and waits to be a server again
	Seen    map[string]uint64 `json:"seen,omitempty"`    // how often each other server had started, by id, when it was heard last
	Disk    string            `json:"disk,omitempty"`    // what is wrong with its disk: it was slow in the last minute
	Entries int               `json:"entries,omitempty"` // the newest version of log entries that it knows; absent is 1
	Passing bool              `json:"passing,omitempty"` // it was started for packages of its host, and ends with the last
	Ending  bool              `json:"ending,omitempty"`  // it is about to
	PID     int               `json:"pid"`               // of its process
	Version string            `json:"version"`           // of the program
}

// A Member is a server of a cluster.
type Member struct {
	ID      string `json:"id"`
	Voter   bool   `json:"voter"`
	Silence int64  `json:"silence_ms,omitempty"` // milliseconds since the leader heard from it: only the leader knows, of the others
}

// An ErrorAnswer says why a request was not served.
type ErrorAnswer struct {
	Error string `json:"error"`
	Code  Code   `json:"code,omitempty"` // where there is one for it
	// Unknown is set where the change may or may not have been made.
	Unknown bool `json:"unknown,omitempty"`
}

// Locks is every lock that was ever held, by name, as one server sees them.
type Locks struct {
	Locks map[string]State `json:"locks"`
}

// Servers is what the lock servers say of themselves.
type Servers struct {
	Servers []Asked `json:"servers"`
}

// An Asked is what a server said when another asked it, or why it said nothing.
type Asked struct {
	Entry  string  `json:"entry"`
	Status *Status `json:"status,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// A Health says whether locks can be had and kept now, as one server sees it.
type Health struct {
	Healthy bool   `json:"healthy"`
	Entry   string `json:"entry"`            // of the server that says so
	Leader  string `json:"leader,omitempty"` // entry of the leader that a majority has just confirmed
	Error   string `json:"error,omitempty"`  // why it is not healthy
}

// CheckSession says whether session can be the name of a session: it has 8 to 100 bytes.
func CheckSession(session string) error {
	if len(session) < 8 || len(session) > 100 {
		return fmt.Errorf("cannot use %q as a session", session)
	}
	return nil
}

// SameServers says whether two lists name the same lock servers, in whatever order.
func SameServers(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// URL is the URL of a path of the server called entry. Not every entry can stand in a URL
// (fe80::1), so it stands there in hex.
func URL(entry, path string) string {
	return "https://" + hex.EncodeToString([]byte(entry)) + path
}

// EntryOf undoes URL: it is the entry that URL was given, taken from addr, the host:port that net/http wants dialled.
func EntryOf(addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	entry, err := hex.DecodeString(host)
	return string(entry), err
}
