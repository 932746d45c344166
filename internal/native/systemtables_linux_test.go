package native

// systemTables are calls like those of textTables, of files, accounts and processes.
var systemTables = []string{
	`
	mountpoint -q /
	mountpoint -q /proc
	mountpoint /proc
	mountpoint -q .
	mountpoint .
	mountpoint -q missing
	mountpoint missing
	mountpoint -q abc
	mountpoint -q subs
	- mountpoint -d /
	- mountpoint
	stat -c %s abc
	stat -c '%n %a %u %g %h' abc numbers sub
	stat -c %F abc empty sub link fifo
	stat -c %Y abc
	stat -L -c %F link
	stat -c '%i %b %X %Z' abc
	stat -c %s missing
	stat -c 100%% abc
	- stat abc
	stat -c %U:%G abc
	- stat -c %A abc
	- stat -c %5s abc
	- stat -c %x abc
	- stat -f /
	ls abc
	ls sub
	ls missing
	ls .
	ls
	ls -a
	ls -A .
	ls -d sub
	ls -d .
	ls -1 sub
	ls link
	ls dangling
	ls subs
	ls 'a b'
	- ls -l
	- ls abc sub
	df -P /proc
	df /proc
	df -k /proc
	df -P /dev
	- df
	- df -h .
	- df -P missing
	`, `
	test -f abc
	test -f missing
	test -d sub
	test -e dangling
	test -L dangling
	test -h abc
	test -s empty
	test -s abc
	test -r abc
	test -w abc
	test -x abc
	test -x numbers
	test -p fifo
	test -n ''
	test -z ''
	test ''
	test
	test a
	test ! a
	test a = a
	test a != a
	test -f = -f
	test ! = !
	test 1 -eq 1
	test 01 -eq 1
	test 2 -gt 10
	test -1 -lt 0
	test ! -f abc
	test ! 1 -eq 1
	test abc -ef link
	[ a = a ]
	[ -f abc ]
	[ ]
	- [ a
	- test a -eq 1
	- test a -a b
	- test -t 0
	- test a = b -o c
	`, `
	id -u
	id -g
	id -ru
	id -u root
	id -g root
	id -un
	id -nu
	id -gn
	- id
	- id root
	- id -u nosuchuser
	- id -G
	getent passwd root
	getent passwd 0
	getent group root
	getent ahostsv4 10.1.2.3
	? getent ahostsv4 localhost
	? getent hosts 127.0.0.1
	- getent passwd nosuchuser
	- getent passwd
	- getent hosts nosuchhost.invalid
	- getent ahostsv4 nosuchhost.invalid
	- getent ahostsv4 10.1
	? getent ahostsv4 127.1
	pgrep -x nosuchprogram
	pgrep -c nosuchprogram
	pgrep nosuch
	pgrep -u root -x nosuch
	pgrep -P 4194303
	pkill -0 -x nosuchprogram
	pkill -x nosuchprogram
	- pgrep
	- pgrep averyveryverylongname
	- pgrep -u nosuchuser x
	- pgrep -t tty1 x
	- pgrep 'a\1'
	- pkill -9
	pidof nosuchprogram
	- pidof /bin/sh
	- pidof -x sh
	- pidof
	ps -p 4194303
	ps -p 1 -o comm=
	ps -o pid= -p 1
	ps -p 1 -o args=
	ps -p1 -o ppid=
	- ps
	- ps -ef
	- ps -p 0
	- ps -p 1 -o stat=
	- ps -p 1,2
	kill -0 1
	kill -0 4194303
	kill -0 1 4194303
	kill -s 0 4194303
	kill -TERM 4194303
	- kill
	- kill -l
	- kill -0 -1
	- kill -9 0
	- kill -FOO 1
	`,
}
