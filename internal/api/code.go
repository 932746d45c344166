package api

import (
	"errors"

	"backtowork/internal/lock"
)

// A Code is why the servers refuse something, for programs: only it decides. The sentence beside
// it is for people.
type Code string

// The codes of refusals. A client meets others from a later version, and takes them for refusals.
const (
	CodeNotHolder  Code = "not_holder"   // lock.ErrNotHolder
	CodeOther      Code = "other_holder" // lock.ErrOther: kill what runs, at once
	CodeEnded      Code = "lease_ended"  // lock.ErrEnded
	CodeTwoHosts   Code = "two_hosts"    // another host has this one's node name
	CodeRefused    Code = "refused"      // any other refusal; also an older server's in a sentence that is not known here
	CodeNoLeader   Code = "no_leader"
	CodeNoMajority Code = "no_majority"
	CodeBadRequest Code = "bad_request" // asking again does not mend it
	CodeTooMany    Code = "too_many"    // requests
)

// spoken is what stands in [RenewAnswer].Refused. Versions before the codes told a refusal by these
// sentences alone, and understand no others: none of them may ever change.
var spoken = map[Code]string{
	CodeNotHolder: "not the holder",
	CodeOther:     "another holds the lock",
	CodeEnded:     "the lease has ended",
}

// Refuse says that lock i of n is not renewed, and why.
func (a *RenewAnswer) Refuse(i, n int, why error) {
	code := CodeRefused
	switch {
	case errors.Is(why, lock.ErrNotHolder):
		code = CodeNotHolder
	case errors.Is(why, lock.ErrOther):
		code = CodeOther
	case errors.Is(why, lock.ErrEnded):
		code = CodeEnded
	}
	if a.Codes == nil {
		a.Codes = make([]Code, n)
	}
	a.Codes[i], a.Refused[i] = code, spoken[code]
	if a.Refused[i] == "" {
		a.Refused[i] = why.Error()
	}
}

// Refusal is why lock i is not renewed; "" if it is renewed. It understands older servers too, which
// tell it by a sentence only.
func (a RenewAnswer) Refusal(i int) Code {
	if len(a.Codes) == len(a.Refused) && a.Codes[i] != "" {
		return a.Codes[i]
	}
	text := a.Refused[i]
	if text == "" {
		return ""
	}
	for code, sentence := range spoken {
		if text == sentence {
			return code
		}
	}
	return CodeRefused
}
