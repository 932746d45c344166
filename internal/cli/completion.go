package cli

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"backtowork/internal/applet"
	"backtowork/internal/command"
)

const completionUsage = `Usage: service completion bash

Prints what bash needs to complete the verbs, the options and the packages of service, and of
the other commands, with the Tab key. In ~/.bashrc:
  . <(/opt/shell-cluster-suite/back-to-work/service completion bash)

Example: . <(./service completion bash)
`

// serviceCompletion prints a script for a shell.
func serviceCompletion(_ context.Context, env *command.Env, args []string) error {
	if len(args) != 1 || args[0] != "bash" {
		return command.UsageError("completion is there for one shell: bash")
	}
	_, err := fmt.Fprint(env.Stdout, completion(commands()))
	return err
}

// completion is the script for bash: what may follow each command and verb is known by the tables and the usages.
func completion(all []command.Command) string {
	var own []string
	for _, c := range all {
		for _, name := range c.Names {
			if command.Find(applet.Commands(), name) == nil && name != "service" {
				own = append(own, name)
			}
		}
	}
	cases := fmt.Sprintf("    btw:*) words+=(%s) ;;\n", strings.Join(Names(), " "))
	for _, c := range all {
		if len(c.Verbs) == 0 {
			cases += follows(c.Names, "*", c.Usage)
			continue
		}
		var verbs []string
		for _, v := range c.Verbs {
			verbs = append(verbs, v.Name)
			cases += follows(c.Names, v.Name, v.Usage)
		}
		cases += fmt.Sprintf("    %s) words+=(%s) ;;\n", patterns(c.Names, ""), strings.Join(verbs, " "))
	}
	return strings.NewReplacer("    CASES\n", cases, "NAMES", strings.Join(own, " ")).Replace(completionScript)
}

// packageOperand is how a package is called where a usage says what a command takes. (REGEX is what names match.)
var packageOperand = regexp.MustCompile(`[ [](P|PACKAGE|package-name|REGEX)\b`)

// follows is the case of what may follow verb of the command called names, if that is more than --help.
func follows(names []string, verb, usage string) string {
	does := ""
	if options := command.OptionsOf(usage); len(options) > 0 {
		does += " words+=(" + strings.Join(options, " ") + ")"
	}
	if synopsis, _, _ := command.Parts(usage); packageOperand.MatchString(synopsis) {
		does += " packages=yes"
	}
	if does == "" {
		return ""
	}
	return fmt.Sprintf("    %s)%s ;;\n", patterns(names, verb), does)
}

func patterns(names []string, verb string) string {
	var all []string
	for _, name := range names {
		all = append(all, name+":"+verb)
	}
	return strings.Join(all, " | ")
}

const completionScript = `# Completion for the commands of back-to-work in bash; made by service completion bash.

# _btw_home COMMAND sets home to the directory that COMMAND belongs to.
_btw_home () {
   local called real
   called=$(type -P -- "${1/#\~/$HOME}") && real=$(readlink -f -- "$called") || return
   for home in "${called%/*}" "${called%/*}/.." "${real%/*}/.." ; do
      [[ ! -d $home/packages ]] || return 0
   done
   return 1
}

_btw () {
   local home='' name=${1##*/} at=1 verb='' words=(--help) packages='' w
   [[ $name != btw || $COMP_CWORD -eq 1 ]] || name=${COMP_WORDS[1]} at=2
   [[ $COMP_CWORD -le $at ]] || verb=${COMP_WORDS[at]}
   case $name:$verb in
    CASES
   esac
   if [[ $packages ]] && { [[ ${BTW_HOME:-} ]] || _btw_home "$1" ; } ; then
      for w in "${BTW_HOME:-$home}"/packages/* ; do
         [[ ! -f $w || ! -x $w ]] || words+=("${w##*/}")
      done
   fi
   COMPREPLY=()
   for w in "${words[@]}" ; do
      if [[ $w == "$2"* && ( $w != -* || $2 == -* ) ]] ; then # options where one is begun
         printf -v w %q "$w"
         COMPREPLY+=("$w")
      fi
   done
}

complete -o default -F _btw btw ./service NAMES
if (_btw_home service) ; then # many systems have another command of that name
   complete -o default -F _btw service
fi
`
