package lockclient

import (
	"testing"
	"time"
)

// Of the renewals in a quarter of the timeout one is written to the lock's files.
func TestNotEachRenewalIsNoted(t *testing.T) {
	holds(t, func(t *testing.T, c *Client, h *Held) { // for 9 s
		for _, want := range []string{"1", "1", "1", "4", "4", "4", "7"} {
			if err := h.session.files.Sync(); err != nil {
				t.Fatal(err)
			}
			if words, err := h.session.files.HTSP("p"); err != nil || words[2] != want {
				t.Errorf("after %d renewals the file says %v, %v, want seq %s", h.seq-1, words, err, want)
			}
			time.Sleep(time.Second)
			h.renewed(c.Clock.Now(), "")
		}
	})
}
