package lint

import (
	"bytes"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

var bom = []byte("\xef\xbb\xbf")

// parsed is a script's text as it is parsed: without what is no shell's, which rules of their own find. A shell takes
// bytes that are no UTF-8 as they come, the parser does not: it sees letters in their places.
func parsed(text []byte) []byte {
	text = bytes.TrimPrefix(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), bom)
	if utf8.Valid(text) {
		return text
	}
	text = slices.Clone(text)
	for i, c := range text {
		if c >= utf8.RuneSelf {
			text[i] = 'x'
		}
	}
	return text
}

// parse parses the script as a shell that knows more than dash: what dash does not know is for a rule to say. What only
// dash can read, as ((a) ; b), is no fault of its script, and what only ksh can read is none of ksh's.
func (s *script) parse() {
	if Nested(s.text) > mostNested {
		s.fault = errors.New("it is nested too deeply to be looked at")
		return
	}
	s.source = parsed(s.text)
	variants := []syntax.LangVariant{syntax.LangBash}
	switch _, posix := s.isShell(); {
	case posix || s.kind == Module:
		variants = append(variants, syntax.LangPOSIX)
	case Dialect(s.text, s.kind) == "ksh":
		variants = append(variants, syntax.LangMirBSDKorn)
	}
	for _, v := range variants {
		file, err := syntax.NewParser(syntax.Variant(v)).Parse(bytes.NewReader(s.source), s.path)
		if err == nil {
			s.file, s.fault = file, nil
			return
		}
		s.fault = cmpErr(s.fault, err)
	}
}

// cmpErr is the first of two errors.
func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

var nesting = regexp.MustCompile(`[({})]|\b(?:if|fi|case|esac|while|until|for|do|done)\b`)

// mostNested is more than a parser that calls itself for what is nested has stack for.
const mostNested = 5000

// Nested is how deep the parts of a script are nested, at most: brackets in words are counted, too.
func Nested(text []byte) (deepest int) {
	depth := 0
	for _, at := range nesting.FindAllIndex(text, -1) {
		switch string(text[at[0]:at[1]]) {
		case "(", "{", "if", "case", "while", "until", "for":
			depth++
			deepest = max(deepest, depth)
		case ")", "}", "fi", "esac", "done":
			depth = max(0, depth-1)
		}
	}
	return deepest
}

var ignoreLine = regexp.MustCompile(`(?m)(?:^|\s)#\s*lint:\s*ignore\s+(.+)$`)

func (s *script) ignored() []string { return Ignored(s.text) }

// Ignored is the rules that a script says are not for it.
func Ignored(text []byte) (names []string) {
	for _, m := range ignoreLine.FindAllSubmatch(text, -1) {
		names = append(names, strings.FieldsFunc(string(m[1]), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\r' })...)
	}
	return names
}

// interpreter is what the first line names, "" where it names none.
func (s *script) interpreter() string {
	line, _, _ := bytes.Cut(s.text, []byte("\n"))
	line, ok := bytes.CutPrefix(bytes.TrimSuffix(bytes.TrimPrefix(line, bom), []byte("\r")), []byte("#!"))
	fields := strings.Fields(string(line))
	switch {
	case !ok || len(fields) == 0:
		return ""
	case filepath.Base(fields[0]) == "env":
		for _, word := range fields[1:] { // env -S NAME=VALUE bash -e
			if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
				return word
			}
		}
	}
	return fields[0]
}

// isShell says whether a shell runs the script, and posix whether one that knows no more than dash.
func (s *script) isShell() (shell, posix bool) {
	switch name := filepath.Base(s.interpreter()); name {
	case ".", "sh", "dash", "ash":
		return true, true
	case "bash", "ksh", "ksh93", "mksh", "lksh", "oksh":
		return true, false
	}
	return false, false
}

// Dialect is the shell that runs a script, as shellcheck calls it; "" where that is none that it knows.
func Dialect(text []byte, kind Kind) string {
	s := &script{text: text}
	switch name := filepath.Base(s.interpreter()); name {
	case ".": // no first line names one
		if kind == Other {
			return ""
		}
		return "sh"
	case "sh", "bash", "dash", "ksh":
		return name
	case "ash":
		return "dash"
	case "ksh93", "mksh", "lksh", "oksh":
		return "ksh"
	}
	return ""
}
