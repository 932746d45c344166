package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/failover"
)

var writeMan = flag.Bool("man.write", false, "write doc/man anew (make man)")

// The man pages say what --help says: one is written for each command with verbs, one for all others.
func TestManPages(t *testing.T) {
	t.Parallel()
	others := page{name: "btw", about: "the commands of back-to-work, a failover toolkit"}
	pages := []*page{&others}
	all := commands()
	slices.SortFunc(all, func(a, b command.Command) int { return strings.Compare(a.Names[0], b.Names[0]) })
	for _, c := range all {
		if len(c.Verbs) == 0 {
			others.add(c.Names[0], c.Usage)
			continue
		}
		_, text, _ := command.Parts(c.Usage)
		about, _, _ := strings.Cut(strings.TrimSpace(text), ".\n")
		p := &page{name: c.Names[0], about: about, also: c.Names[1:]}
		for _, v := range c.Verbs {
			p.add(v.Name, v.Usage)
		}
		if p.name == "service" {
			p.more = parameters()
		}
		pages = append(pages, p)
	}
	for _, p := range pages {
		text, path := p.mdoc(), filepath.Join("../../doc/man", p.name+".8")
		old, _ := os.ReadFile(path)
		if _, rest, _ := strings.Cut(string(old), "\n"); rest == text { // all but the date
			continue
		}
		if !*writeMan {
			t.Errorf("%s is not what --help says: make man", path)
			continue
		}
		text = time.Now().UTC().Format(".Dd January 2, 2006\n") + text
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A page is a man page: of a command with verbs, or of several commands.
type page struct {
	name, about string
	also        []string // the other names of the command
	synopses    string   // each on a line
	sections    string
	more        string // sections before the examples
	examples    string
}

// parameters is the section about what a package script says of itself.
func parameters() string {
	text := ".Sh PARAMETERS OF PACKAGES\n" + prose("What a package script says when it is asked with echo NAME. Times are seconds. "+
		"Of a list (NAME_0, NAME_1 ...) the first is named here.\n") + ".Bl -tag -width Ds\n"
	for _, p := range failover.Parameters() {
		text += ".It " + escaped(p.Name+"="+p.Default) + "\n" + escaped(p.Doc) + "\n"
	}
	return text + ".El\n"
}

// add adds a verb or a command.
func (p *page) add(name, usage string) {
	synopsis, text, example := command.Parts(usage)
	p.synopses += synopsis + "\n"
	p.sections += ".Ss " + escaped(name) + "\n" + literal(synopsis+"\n") + ".Pp\n" + prose(text)
	p.examples += example + "\n"
}

// mdoc is the page without its first line, the date.
func (p *page) mdoc() string {
	names := ".Nm " + p.name
	for _, name := range p.also {
		names += " ,\n.Nm " + name
	}
	other := "service"
	if p.name == other {
		other = "btw"
	}
	return fmt.Sprintf(".\\\" made from the usages of the commands: make man\n.Dt %s 8\n.Os\n.Sh NAME\n%s\n.Nd %s\n"+
		".Sh SYNOPSIS\n%s.Sh DESCRIPTION\n%s%s.Sh EXAMPLES\n%s.Sh SEE ALSO\n.Xr %s 8\n",
		strings.ToUpper(p.name), names, p.about, literal(p.synopses), p.sections, p.more, literal(p.examples), other)
}

// prose is text in paragraphs. Lines that are indented stay as they are.
func prose(text string) (out string) {
	block := ""
	end := func() {
		if block != "" {
			out += literal(block)
		}
		block = ""
	}
	for line := range strings.Lines(text + "\n") {
		if strings.HasPrefix(line, " ") {
			block += strings.TrimPrefix(line, "  ")
			continue
		}
		end()
		if line == "\n" {
			line = ".Pp\n"
		} else {
			line = escaped(line)
		}
		out += line
	}
	end()
	return strings.TrimSuffix(out, ".Pp\n")
}

// literal is lines that stay as they are.
func literal(lines string) string {
	return ".Bd -literal -offset indent -compact\n" + escaped(lines) + ".Ed\n"
}

// escaped is text that troff is to print as it is.
func escaped(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "~", `\(ti`, "^", `\(ha`, "\n.", "\n\\&.").Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
