package test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backtowork/internal/failover"
)

// TestRepoParameters checks what users can read of a package's parameters against what the program
// knows: each parameter is in the README or in a package that is there to be copied, and README's
// table has no other.
func TestRepoParameters(t *testing.T) {
	t.Parallel()
	var texts strings.Builder
	for _, file := range []string{"README.md", "packages/dummy", "packages/linux-test"} {
		text, err := os.ReadFile("../" + file)
		if err != nil {
			t.Fatal(err)
		}
		texts.Write(text)
	}
	var names []string
	for _, p := range failover.Parameters() {
		names = append(names, p.Name)
		said := strings.ReplaceAll(p.Name, "NODE", "web_1") // as in the packages
		if p.Doc == "" || !regexp.MustCompile(`\b`+said+`\b`).MatchString(texts.String()) {
			t.Errorf("users are not told of %s", p.Name)
		}
	}
	_, table, _ := strings.Cut(texts.String(), "\n| parameter | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	known := regexp.MustCompile("[|`] ?`([a-z_0-9]+)=").FindAllStringSubmatch(table, -1)
	if len(known) < 5 {
		t.Fatalf("the table of README.md is not found, or has only %v", known)
	}
	for _, word := range known {
		if !slices.Contains(names, word[1]) {
			t.Errorf("README.md tells of %s, which nobody reads", word[1])
		}
	}
}
