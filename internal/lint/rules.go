package lint

import "mvdan.cc/sh/v3/syntax"

// A Rule is one thing that can be wrong.
type Rule struct {
	Name    string
	Level   Level
	Explain string // what goes wrong, and what to do instead
	Kind    Kind   // of the examples
	Bad     string // a script in which it is wrong
	Good    string // the same, right

	find func(s *script, at finder) // nil: found by other means than a look at one file
}

// A finder takes note of a finding.
type finder func(pos syntax.Pos, reason string, args ...any)

// Rules is all of them.
func Rules() []Rule { return rules }

var rules = []Rule{
	{
		Name: "syntax", Level: Error, find: notParsed,
		Explain: "No shell can read the script. It is read as far as the fault, perhaps, and what comes after is never run.",
		Bad:     "#!/bin/sh\ncase $1 in\n start) echo up ;;\n", Good: "#!/bin/sh\ncase $1 in\n start) echo up ;;\nesac\n", Kind: Other,
	},
	{
		Name: "carriage-return", Level: Error, find: carriageReturns,
		Explain: "The file has the line ends of DOS. A shell takes the \\r for a part of the last word: the interpreter is not found, names of files and case patterns do not match. Convert it: sed -i 's/\\r$//' FILE.",
		Bad:     "#!/bin/sh\r\ntrue\r\n", Good: "#!/bin/sh\ntrue\n", Kind: Other,
	},
	{
		Name: "bom", Level: Error, find: byteOrderMark,
		Explain: "The file begins with a byte order mark, which some editors write. Its first line is then no #! line, and the first command is not found. Save it as UTF-8 without one.",
		Bad:     "\xef\xbb\xbf#!/bin/sh\ntrue\n", Good: "#!/bin/sh\ntrue\n", Kind: Other,
	},
	{
		Name: "interpreter", Level: Error, find: noInterpreter,
		Explain: "The program that the first line names is not on this host. The script cannot be run at all.",
		Bad:     "#!/usr/local/bin/nosuchshell\ntrue\n", Good: "#!/bin/sh\ntrue\n", Kind: Other,
	},
	{
		Name: "bashism", Level: Error, find: bashisms,
		Explain: "The first line says sh, and this is only known to bash or ksh. Where sh is dash it fails, or means something else, without a word perhaps. Write it as POSIX has it, or say #!/bin/bash; what the sh of HP-UX has, as typeset, print and set -A, is ksh: say #!/bin/ksh.",
		Bad:     "#!/bin/sh\nif [[ $1 == start ]] ; then echo up ; fi\n", Good: "#!/bin/sh\nif [ \"$1\" = start ] ; then echo up ; fi\n", Kind: Other,
	},
	{
		Name: "no-branch", Level: Error, find: noBranch,
		Explain: "The package does nothing of its own for start, stop or status. Without status nobody sees that it is down; without stop it cannot leave this host, and its lock is blocked.",
		Bad:     "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\nesac\n",
		Good:    "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\n status) true ;;\nesac\n",
	},
	{
		Name: "missing-module", Level: Error, find: missingModules,
		Explain: "The module that is sourced is not in modules/ here. A POSIX shell ends there with status 2, so the start fails on this host.",
		Bad:     "#!/bin/sh\nos=$(uname)\n. modules/nosuch.$os\n", Good: "#!/bin/sh\nos=$(uname)\n. modules/vip.$os\n", Kind: Other,
	},
	{
		Name: "missing-command", Level: Warning, find: missingCommands,
		Explain: "A command is not in the PATH that scripts get on this host. Install it, or say its full path. (What a test with command -v guards is not looked for.)",
		Bad:     "#!/bin/sh\nnosuchcommand -q\n", Good: "#!/bin/sh\ncommand -v nosuchcommand >/dev/null && nosuchcommand -q\n", Kind: Other,
	},
	{
		Name: "missing-path", Level: Warning, find: missingPaths,
		Explain: "A file that is read or sourced by its full path, or given to a command as its configuration, is not on this host. Copy it to every node, or look for it first, with [ -e FILE ].",
		Bad:     "#!/bin/sh\n. /etc/nosuch.conf\nmydaemon -c /etc/nosuch/d.conf\n", Good: "#!/bin/sh\n[ ! -e /etc/nosuch.conf ] || . /etc/nosuch.conf\nmydaemon -c /etc/d.conf\n", Kind: Other,
	},
	{
		Name: "fork", Level: Note, find: forks,
		Explain: "Status calls a command that the worker (see set-shell) does not do itself: each run starts a process for it, on every node, every few seconds. What it does itself: cat, grep, ip, pgrep, sed, test and the like. An option that it does not know costs a process, too; service status counts them.",
		Bad:     "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\n status) curl -fs http://localhost ;;\nesac\n",
		Good:    "#!/bin/sh\ncase $1 in\n start) curl -fs http://localhost ;;\n stop) true ;;\n status) grep -q up /run/state ;;\nesac\n",
	},
	{
		Name: "endless-loop", Level: Warning, find: endlessLoops,
		Explain: "A loop without an end, a limit or a sleep takes a whole processor, and the action ends only by its timeout. Count the tries, and sleep between them.",
		Bad:     "#!/bin/sh\nwhile ! ping -c 1 db ; do : ; done\n", Good: "#!/bin/sh\nn=0\nwhile ! ping -c 1 db && [ $n -lt 10 ] ; do n=$((n + 1)) ; sleep 1 ; done\n", Kind: Other,
	},
	{
		Name: "status-changes", Level: Warning, find: statusChanges,
		Explain: "Status runs every few seconds, on nodes that do not have the package too. It must only look: what it repairs, starts or removes there happens beside the node that has the package.",
		Bad:     "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\n status) rm -f /data/stale.pid ;;\nesac\n",
		Good:    "#!/bin/sh\ncase $1 in\n start) rm -f /data/stale.pid ;;\n stop) true ;;\n status) [ -e /data/pid ] ;;\nesac\n",
	},
	{
		Name: "status-prints", Level: Note, find: statusPrints,
		Explain: "What status prints goes into the package's log each time. Print only when something is wrong, and to stderr.",
		Bad:     "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\n status) echo checking ; true ;;\nesac\n",
		Good:    "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\n status) true || echo 'not well' >&2 ;;\nesac\n",
	},
	{
		Name: "status-background", Level: Warning, find: statusBackground,
		Explain: "Status leaves a process behind each time it runs. Wait for it, or do without.",
		Bad:     "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\n status) sleep 5 & ;;\nesac\n",
		Good:    "#!/bin/sh\ncase $1 in\n start) true ;;\n stop) true ;;\n status) sleep 1 & wait ;;\nesac\n",
	},
	{
		Name: "start-not-ready", Level: Warning, find: startNotReady,
		Explain: "Start ends with a command in the background, and nothing waits until that works. The first status may find it not up yet, and the package fails over, again and again. Wait in start until it answers.",
		Bad:     "#!/bin/sh\ncase $1 in\n start) mydaemon & ;;\n stop) true ;;\n status) true ;;\nesac\n",
		Good:    "#!/bin/sh\ncase $1 in\n start) mydaemon & \n  for i in 1 2 3 4 5 ; do [ -S /run/my ] && exit 0 ; sleep 1 ; done ; exit 1 ;;\n stop) true ;;\n status) true ;;\nesac\n",
	},
	{
		Name: "module-exit", Level: Warning, find: moduleExit,
		Explain: "A module is sourced: exit ends the whole stop of the package, and what other modules would have stopped goes on. Set ret=1 and go on.",
		Bad:     "case $1 in\n stop) umount /data || exit 1 ;;\nesac\n", Good: "case $1 in\n stop) umount /data || ret=1 ;;\nesac\n", Kind: Module,
	},
	{
		Name: "word-as-number", Level: Error, find: wordsAsNumbers,
		Explain: "-eq, -ne, -lt and their like compare numbers. With a word the test fails with status 2, so neither branch is the right one. Use = and != for words.",
		Bad:     "#!/bin/sh\n[ \"$1\" -eq start ] && echo up\n", Good: "#!/bin/sh\n[ \"$1\" = start ] && echo up\n", Kind: Other,
	},
	{
		Name: "unquoted-test", Level: Warning, find: unquotedTests,
		Explain: "A variable that is empty, or has a blank in it, makes the test another one, or an error. Put it in double quotes.",
		Bad:     "#!/bin/sh\n[ $x = yes ] && echo up\n", Good: "#!/bin/sh\n[ \"$x\" = yes ] && echo up\n", Kind: Other,
	},
	{
		Name: "unchecked-cd", Level: Warning, find: uncheckedCD,
		Explain: "Where cd fails, the script goes on in another directory: rm and tar then work there. Write cd DIR || exit 1.",
		Bad:     "#!/bin/sh\ncd /data\nrm -rf tmp\n", Good: "#!/bin/sh\ncd /data || exit 1\nrm -rf tmp\n", Kind: Other,
	},
	{
		Name: "parameter", Level: Error, Kind: Package,
		Explain: "back-to-work cannot use the value of a parameter, and does not start the package.",
		Bad:     "#!/bin/sh\npace=4s\n", Good: "#!/bin/sh\npace=4\n",
	},
	{
		Name: "parameter-gap", Level: Warning, find: parameterGaps, Kind: Package,
		Explain: "Modules count from 0 and stop at the first number that is not set: what comes after the gap is never set up. Give the numbers anew, without a gap.",
		Bad:     "#!/bin/sh\nvip_ip_0=10.0.0.1\nvip_ip_2=10.0.0.2\n", Good: "#!/bin/sh\nvip_ip_0=10.0.0.1\nvip_ip_1=10.0.0.2\n",
	},
	{
		Name: "parameter-unknown", Level: Warning, Kind: Package,
		Explain: "A parameter is set that neither back-to-work, nor a module that the package sources, nor the package itself reads. A slip of the finger, most likely: the value has no effect.",
		Bad:     "#!/bin/sh\nvip_netdv_0=eth0\nvip_ip_0=10.0.0.1\n. modules/vip.Linux\n", Good: "#!/bin/sh\nvip_netdev_0=eth0\nvip_ip_0=10.0.0.1\n. modules/vip.Linux\n",
	},
	{
		Name: "mount-point", Level: Error, find: missingMountPoints, Kind: Package,
		Explain: "The directory that a file system is to be mounted on is not there on this host: mount fails, and the start with it. Make it on every node.",
		Bad:     "#!/bin/sh\nfs_dir_0=/nosuch/directory\n", Good: "#!/bin/sh\nfs_dir_0=/tmp\n",
	},
	{
		Name: "node", Level: Note, Kind: Package,
		Explain: "Of another node (--all-nodes) it is said that nothing is missing, or why that is not known. Run back-to-work there, or service lint --all-nodes P: its word is kept for three minutes.",
		Bad:     "#!/bin/sh\nnosuchcommand\n", Good: "#!/bin/sh\ntrue\n",
	},
	{
		Name: "shellcheck", Level: Warning, Kind: Other,
		Explain: "shellcheck, where it is installed, has found it; its number says more: https://www.shellcheck.net/wiki/SCNNNN.",
		Bad:     "#!/bin/sh\nrm -rf \"$dir/\"*\necho $(ls)\n", Good: "#!/bin/sh\nls\n",
	},
}
