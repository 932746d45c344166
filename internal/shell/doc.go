// Package shell interprets scripts as dash would run them, with mvdan.cc/sh behind a layer that
// makes up for what that does otherwise: the syntax tree is rewritten, and builtins, opens and
// commands are answered here. doc/DESIGN.md section 7 says who may run what with it.
//
// What cannot be had that way is declined, twice over:
//
//   - Check and CheckAll say, from the text alone, what would need the real shell. All that they do
//     not know to be right is a finding.
//   - A statement with a finding is a trap in the tree that is run. So is what only shows at run time: code
//     that eval makes up, a number that dash takes for an error, a file that cannot be opened. Run then
//     ends with an error, ErrDeclined, and the caller runs the real shell from the start.
//
// So what CheckAll leaves out because a script called with "status" never comes there (reach.go) is
// never interpreted wrongly where that was a mistake: it is not interpreted at all.
//
// A run that was declined may have begun to act and to write: only what may be done twice is
// for this package, and its output counts once Run has returned without error.
//
//	script.go   a parsed script            check*.go   what is declined, by the rules in rules.go
//	reach.go    what "status" comes to     rewrite.go  the tree that is run; guard.go, case.go and status.go belong to it
//	run.go      a run, and its bounds      call.go     each command, before it is run
//	exec.go     commands and programs      options.go  set -e and set -u
//	quick*.go   what most runs are done by instead
//	the rest    one builtin each
package shell
