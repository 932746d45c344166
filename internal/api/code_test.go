package api

import (
	"encoding/json"
	"errors"
	"testing"

	"backtowork/internal/lock"
)

// A server of today says a refusal as those of yesterday did, word for word, and its code beside it.
func TestRefusalForOldClients(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why            error
		text, onTheNet string
	}{
		{lock.ErrOther, "another holds the lock", `{"refused":["","another holds the lock"],"codes":["","other_holder"]}`},
		{lock.ErrNotHolder, "not the holder", `{"refused":["","not the holder"],"codes":["","not_holder"]}`},
		{lock.ErrEnded, "the lease has ended", `{"refused":["","the lease has ended"],"codes":["","lease_ended"]}`},
		{errors.New("it rains"), "it rains", `{"refused":["","it rains"],"codes":["","refused"]}`},
	} {
		a := RenewAnswer{Refused: make([]string, 2)}
		a.Refuse(1, 2, row.why)
		b, err := json.Marshal(a)
		if err != nil || string(b) != row.onTheNet {
			t.Errorf("%v is told by %s, %v, want %s", row.why, b, err, row.onTheNet)
		}
		var old struct {
			Refused []string `json:"refused"`
		}
		if err := json.Unmarshal(b, &old); err != nil || old.Refused[0] != "" || old.Refused[1] != row.text {
			t.Errorf("an old client is told %q, %v, want %q", old.Refused, err, row.text)
		}
	}
	if b, err := json.Marshal(RenewAnswer{Refused: []string{""}}); string(b) != `{"refused":[""]}` || err != nil {
		t.Errorf("without a refusal the answer is %s, %v", b, err)
	}
}

// A client understands a server's refusal by its code, and one without codes by its sentence.
func TestRefusal(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]Code{
		`{"refused":[""]}`:                                                      "",
		`{"refused":["another holds the lock"]}`:                                "other_holder",
		`{"refused":["not the holder"]}`:                                        "not_holder",
		`{"refused":["the lease has ended"]}`:                                   "lease_ended",
		`{"refused":["it rains"]}`:                                              "refused",
		`{"refused":["h2 has got it"],"codes":["other_holder"]}`:                "other_holder",
		`{"refused":["it rains"],"codes":["rain"]}`:                             "rain",
		`{"refused":["another holds the lock"],"codes":[]}`:                     "other_holder",
		`{"refused":["it rains"],"codes":[""]}`:                                 "refused",
		`{"refused":["another holds the lock"],"codes":["not_holder","other"]}`: "other_holder",
	} {
		var a RenewAnswer
		if err := json.Unmarshal([]byte(answer), &a); err != nil || a.Refusal(0) != want {
			t.Errorf("%s is understood as %q, %v, want %q", answer, a.Refusal(0), err, want)
		}
	}
}
