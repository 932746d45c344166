//go:build rulesoff

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A test build switches off what conf/rules_off of its tree says, as JSON: {"Servers":{"Birth":true}}.
func init() {
	exe, err := os.Executable()
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(filepath.Join(filepath.Dir(exe), "../conf/rules_off")); err == nil {
			err = json.Unmarshal(text, &rulesOff)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "error: rules_off:", err)
		os.Exit(1)
	}
}
