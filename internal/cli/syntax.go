package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unicode"

	"backtowork/internal/command"
	"backtowork/internal/script"
)

// checkLineEnds refuses a package with DOS line ends.
func checkLineEnds(home, name string) error {
	if err := script.CheckLineEnds(home, name); err != nil {
		return command.WithHint(fmt.Errorf("cannot use package %q: %w", name, err), "remove each CR: sed -i 's/\\r$//' FILE")
	}
	return nil
}

// syntaxLimit is how long a shell may take to read one file.
const syntaxLimit = 10 * time.Second

// A complaint is what a shell says against a file of a package.
type complaint struct {
	name              string
	shell, file, said string
}

func (c complaint) Error() string {
	return fmt.Sprintf("package %q: %s -n %s says: %s", c.name, c.shell, c.file, c.said)
}

// checkSyntax returns what the package's own shell says against its script and modules.
func (s *site) checkSyntax(ctx context.Context, name string) (wrong []error, err error) {
	shell, err := s.Shell()
	if err != nil {
		return nil, err
	}
	checks, err := script.SyntaxChecks(s.Home, name, shell.Path)
	if err != nil {
		return nil, fmt.Errorf("cannot read package %q: %w", name, err)
	}
	for _, check := range checks {
		ctx, cancel := context.WithTimeout(ctx, syntaxLimit)
		said, err := complaintOf(ctx, s.Home, check[0], check[1:]...)
		cancel()
		var exit *exec.ExitError
		if errors.As(err, &exit) { // else the shell is not there, which shows when the script is run
			said, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
			if strings.ContainsFunc(said, unicode.IsControl) {
				said = strconv.Quote(said)
			}
			last := len(check) - 1
			wrong = append(wrong, complaint{name, strings.Join(check[:last-1], " "), check[last], said})
		}
	}
	return wrong, nil
}
