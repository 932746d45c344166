package cli

import (
	"backtowork/internal/lockclient"
	"backtowork/internal/lockserver"
)

// rulesOff are the rules of doc/SAFETY.md that are switched off: none. Only test builds, with the tag
// rulesoff, can have others.
var rulesOff struct {
	Servers lockserver.Off
	Clients lockclient.Off
}
