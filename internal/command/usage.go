package command

import (
	"regexp"
	"slices"
	"strings"
)

// Parts takes a usage apart: its first line without "Usage: ", the text, and the example.
func Parts(usage string) (synopsis, text, example string) {
	synopsis, text, _ = strings.Cut(strings.TrimPrefix(usage, "Usage: "), "\n")
	text, example, _ = strings.Cut(text, "\nExample: ")
	return synopsis, strings.Trim(text, "\n"), strings.TrimSuffix(example, "\n")
}

var option = regexp.MustCompile(`(?m)(?:^|[\s\[(])(--[a-z][a-z-]*|-[A-Za-z])\b`)

// OptionsOf lists the options that a usage names, in their order.
func OptionsOf(usage string) (names []string) {
	synopsis, text, _ := Parts(usage)
	for _, found := range option.FindAllStringSubmatch(synopsis+"\n"+text, -1) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return names
}
