package native

// textTables are calls, a line each, to be held against the real programs: of texts and names.
var textTables = []string{
	`
	grep foo
	grep -q foo
	grep -c foo
	grep -v foo
	grep -vc foo
	grep -i FOO
	grep -w foo
	grep -w fo.
	- grep -wo fo.
	grep -x foo
	grep -F foo.bar
	grep -Fx foo
	grep -E 'foo|abc'
	grep -E '^(foo|abc)$'
	grep 'foo\|abc'
	grep '^foo'
	grep 'o$'
	grep -s foo missing
	grep foo missing abc
	grep -q foo abc missing
	grep -c foo abc nonl
	grep -h foo abc nonl
	grep -H foo abc
	grep -n foo abc
	grep -o 'fo*' abc
	grep -l foo abc nonl
	grep -m1 foo
	grep -m 1 -c . abc
	grep -e foo -e abc
	grep -- -x
	grep ''
	- grep -v ''
	grep foo abc -q
	grep foo empty
	- grep foo latin
	- grep foo utf8
	- grep foo nul
	grep '[[:space:]]bar' abc
	grep '[0-9]\{1,3\}\.[0-9]' abc
	grep -E '[0-9]{1,3}\.[0-9]+' abc
	grep 'a*' abc
	grep '*a' abc
	grep '^*a' abc
	grep 'a^b' abc
	grep 'a$b' abc
	- grep '$)*' abc
	- grep 'a$|' abc
	grep -E '(a|b)+c?' abc
	grep '\(fo*\) bar' abc
	grep '\bbar' abc
	grep '\w\s\w' abc
	grep --quiet foo
	grep --count foo
	- grep '\(a\)\1' abc
	- grep -E 'a{' abc
	- grep -E '*a' abc
	- grep -P foo abc
	- grep -r foo sub
	- grep -A1 foo abc
	- grep foo sub
	- grep foo fifo
	- grep foo big
	- grep '[a' abc
	- grep '\(a' abc
	- grep
	- grep -w '' abc
	- grep café abc
	grep '\<foo\>' abc
	grep -o '\<foo\>\|\<bar\>' abc
	- grep '\<f*' abc
	- grep 'o*\>' abc
	- grep '\<' abc
	- grep '.\>' abc
	grep -- foo - abc
	`, `
	sed -n 1p
	sed p
	sed -n '$p'
	sed 1d
	sed '$d'
	sed -n '2,3p'
	sed '/foo/d'
	sed -n '/foo/p'
	sed -n '/foo/,/bar/p'
	sed '/foo/!d'
	sed s/foo/X/
	sed s/o/X/g
	sed s/o/X/2
	sed 's/o*/x/g'
	sed 's/\(f\)\(o\)/\2\1/'
	sed -E 's/(f)(o+)/\2\1/'
	sed -n 's/foo/X/p'
	sed 's/foo/[&]/;s/abc/\&/'
	- sed 's|/|\||g'
	sed 's|/|-|g'
	sed 's/\//-/g'
	sed 's,\,,-,g'
	sed 's,/.*,,'
	sed -e s/a/b/ -e s/b/c/
	sed 's/.*inet \([0-9.]*\).*/\1/'
	sed 's/^[ 	]*//'
	sed 's/[[:space:]]*$//'
	sed -n '/foo/{s/o/0/g;p}'
	sed -n '/foo/{s/o/0/;p;}'
	sed =
	sed y/abc/xyz/
	- sed '$!d;2,$s/a/x/'
	- sed '3{2,/b/y/abc/xyz/}'
	sed '1,2{/foo/d;s/a/x/}'
	sed '2,1p'
	sed '/foo/,1p'
	sed '2,/foo/p'
	sed '$,2p'
	sed '/foo/,$d'
	sed -n 2p abc numbers
	sed s/a/b/ missing abc
	sed s/a/X/ nonl abc
	sed -n '$p' nonl abc
	sed s/FOO/x/I
	sed 's/a\n/x/'
	sed 's/a/x\ty/'
	sed 's/\./\n/'
	- sed q
	sed q abc
	sed 2q numbers
	sed -n '/foo/{p;q}' abc
	sed -n '/foo/{s/o/0/;p;q;}' abc
	sed '/foo/q;s/a/b/' abc
	sed '$q' nonl
	- sed q3 abc
	- sed q abc numbers
	- sed 1,2q abc
	- sed -i s/a/b/ abc
	- sed G
	- sed 's/a/\U&/'
	- sed 's/\(a\)\1/x/'
	- sed 's/a/b/w out'
	- sed 's/a/b/e'
	- sed 0,/a/d
	- sed '1~2d'
	- sed 2,+1d
	- sed s/a/b
	- sed -s p
	- sed 's/[/]/x/'
	- sed -f x
	- sed
	- sed 's//x/'
	- sed a
	`, `
	cut -d: -f1
	cut -d : -f 1,3
	cut -d: -f2- passwd
	cut -d: -f-2 passwd
	cut -s -d: -f2 passwd
	cut -f2 tabs
	cut -c1-3
	cut -b2 abc
	cut -d ' ' -f 2
	cut -d: -f1 missing passwd
	cut -d: -f3,1 nonl passwd
	cut -c 2-
	- cut -d: passwd
	- cut -f0 passwd
	- cut -d:: -f1 passwd
	- cut --complement -f1 passwd
	- cut -f 3-2 passwd
	`, `
	head -1
	head -n 2
	head -n2 numbers
	head -c 3
	head numbers
	head
	head missing
	head -n 0
	head -n 1 nonl
	tail -1
	tail -n 2
	tail -n +2
	tail -c 3
	tail -c +3
	tail -n 0
	tail -n 0 missing
	tail -c 0 abc
	tail -n +0 abc
	tail numbers
	tail -n 1 nonl
	tail -n +3 numbers
	tail missing
	- head -n -1
	- head abc numbers
	- tail -f abc
	- tail -5k abc
	- tail abc numbers
	wc -l
	wc -c
	wc -w abc
	wc -l numbers
	wc -l missing
	- wc
	- wc -lw
	- wc -l abc numbers
	cat
	cat abc
	cat abc missing nonl
	cat - abc
	cat -
	- cat -n
	- cat sub
	- cat big
	- cat fifo
	`, `
	tr a-z A-Z
	tr '[:lower:]' '[:upper:]'
	tr -d '\n'
	tr -d 'o'
	tr -s ' '
	tr -s o x
	tr '\n' ' '
	tr -cd '[:digit:]'
	tr -dc 0-9
	tr : '\n'
	tr -d '[:space:]'
	tr '[a-z]' '[A-Z]'
	tr -s '[:space:]' '\n'
	tr -c a-z '\n'
	tr -cs 'a-zA-Z' '\n'
	tr '\011' ' '
	tr a-c x
	tr -d -c a
	- tr a
	- tr a '[x*3]'
	- tr -t abc d
	- tr z-a x
	- tr '[:alpha:]' a-b
	- tr '[=a=]' b
	- tr -ds a b
	`, `
	basename /usr/bin/sort
	basename include/stdio.h .h
	basename /
	basename //
	basename ''
	basename a/
	basename a//
	basename .h .h
	basename abc abc
	basename -- -x
	- basename -s .h a.h
	- basename
	- basename a b c
	dirname /usr/bin
	dirname a
	dirname a/
	dirname a//b
	dirname /
	dirname //
	dirname //a
	dirname /a
	dirname ''
	dirname a/b/ c
	dirname .
	dirname ..
	- dirname -z a
	uname
	uname -s
	uname -n
	uname -r
	uname -m
	uname -v
	uname -o
	uname -sr
	uname -n -s
	- uname -a
	- uname -p
	- uname x
	hostname
	hostname -s
	- hostname -f
	- hostname -i
	- hostname x
	true
	false
	true -x
	- true --help
	sleep 0
	sleep 0.01
	sleep 0.001s 0
	sleep 0m
	- sleep
	- sleep x
	- sleep infinity
	`, `
	date +%Y-%m-%d
	date +%Y%m%d%H
	date -u +%F
	date '+%a %A %b %B %e %j'
	date '+%y %C %u %w %V %G'
	date '+%Z %z'
	date +%p
	date +100%%
	date '+%D %n %t x'
	- date -d now
	- date +%-d
	- date +%U
	- date -s x
	- date x
	`,
}
