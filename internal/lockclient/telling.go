package lockclient

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"backtowork/internal/api"
)

// silent is what it is known by in the log that the lock servers do not answer, whatever they are asked.
const silent = "silent"

// sayRarely tells of an error that comes again and again, seldom.
func (s *Session) sayRarely(what, name string, err error) {
	s.client.repeats.Tell(s.client.Log, slog.LevelWarn, what, what, "lock", name, "reason", err)
}

// sayAnswered tells, where it was told that the servers do not answer, that they do.
func (s *Session) sayAnswered() {
	s.client.repeats.TellOver(s.client.Log, silent, "the lock servers answer again")
}

// patient is for how long renewals may get no answer before that is told: an election takes a second or two. There
// must be time left to do something about it.
func patient(timeout time.Duration) time.Duration {
	return min(max(5*time.Second, timeout/4), timeout/2)
}

// sayNotRenewed tells that the servers do not answer to renewals, before a lock is lost for it.
func (s *Session) sayNotRenewed(locks []*Held, reason error) {
	now, left, unheard, tell := s.client.Clock.Now(), time.Duration(1<<62), time.Duration(0), false
	var names []string
	for _, h := range locks {
		h.mu.Lock()
		left, unheard = min(left, h.end().Left(now)), max(unheard, now.Longest(h.sent))
		tell = tell || now.Longest(h.sent) >= patient(h.times.Timeout)
		h.mu.Unlock()
		names = append(names, h.Name)
	}
	slices.Sort(names)
	if len(names) > 5 {
		names = append(names[:4], fmt.Sprintf("%d more", len(names)-4))
	}
	if !tell {
		s.client.repeats.Tell(s.client.Log, slog.LevelDebug, "not renewed", "not renewed: it is tried again", "locks", strings.Join(names, " "), "reason", reason)
		return
	}
	s.client.repeats.Tell(s.client.Log, slog.LevelWarn, silent,
		fmt.Sprintf("warning: the lock servers do not answer, since %d s: what runs under the lock is stopped in %d s, unless they do",
			int(unheard.Seconds()), int(max(0, left).Seconds())), "lock", strings.Join(names, " "), "reason", reason)
}

// unconfirmed is why a lock is lost at the end of its lease.
const unconfirmed = "the lock servers have not answered in time"

// inWords is why a lock is lost that the servers refused to renew.
func inWords(refused api.Code) string {
	switch refused {
	case api.CodeOther:
		return "another node has it"
	case api.CodeNotHolder:
		return "the lock servers know of no lock of this node's any more: it was released or adopted"
	case api.CodeEnded:
		return "its renewals came too late for the lock servers"
	case api.CodeTwoHosts:
		return "another host has this one's node name: give one of them another in its conf/node_name"
	}
	return string(refused)
}
