package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What admins' scripts do in other ways than the examples of the rules: where it is found, and what is right.
func TestAdmins(t *testing.T) {
	t.Parallel()
	status := func(body string) string {
		return "#!/bin/sh\nF=/srv/f\ncase $1 in\n start) true ;;\n stop) true ;;\n status)\n" + body + "\n;; esac\n"
	}
	start := func(body string) string {
		return "#!/bin/bash\ndo_start() {\n" + body + "\n}\nmain() { case $1 in start) do_start ;; stop) : ;; status) : ;; esac ; }\nmain \"$@\"\n"
	}
	for _, test := range []struct{ name, text, want string }{
		{"the action in a variable", "#!/bin/sh\naction=$1\nshift\ncase \"$action\" in\n start) : ;;\n status) rm x ;;\nesac\n", "4:1 no-branch, 6:10 status-changes"},
		{"functions called as the action", "#!/bin/bash\nstart() { :; }\nstop() { :; }\nstatus() { touch x; }\ncase ${1:-} in start|stop|status) \"$1\" ;; esac\n", "4:12 status-changes"},
		{"a chain of ifs", "#!/bin/sh\nif [ \"$1\" = start ] ; then :\nelif [ \"$1\" = stop ] ; then :\nelif [ \"$1\" = status ] ; then echo up\nfi\n", "4:31 status-prints"},
		{"tests before &&", "#!/bin/sh\n[ \"$1\" = start ] && touch x\n[ \"$1\" = stop ] && rm x\n[ \"$1\" = status ] && [ -e x ]\n", ""},
		{"all handed on", "#!/bin/sh\ncase $1 in\n start) : ;;\n *) exec /etc/init.d/d \"$1\" ;;\nesac\n", ""},
		{"patterns", "#!/bin/sh\ncase $1 in\n [Ss]tart*|start) : ;;\n st[ao]*) : ;;\nesac\n", ""},
		{"another status", "#!/bin/sh\ncase $1 in\n start) systemctl status x ;;\n stop) : ;;\nesac\n", "2:1 no-branch"},
		{"status repairs", status("pgrep -x d >/dev/null || /etc/init.d/d restart\ndrbdadm primary r0\nfuser -k /srv\nsed -i s/a/b/ x"), "7:26 status-changes, 8:1 status-changes, 9:1 status-changes, 10:1 status-changes"},
		{"status writes", status("date >$F\ndate >>$F\ndate >/tmp/x.$$ ; rm -f /tmp/x.$$"), "7:7 status-changes"},
		{"status only looks", status("dd if=/dev/sda of=/dev/null count=1\nkill -s 0 1\nmount | grep -q /srv\nsystemctl is-active -q d\nip -o addr show dev lo | grep -q 127"), ""},
		{"status prints", status("ps -ef | grep d | grep -v grep\nif pgrep d ; then echo up ; else echo down ; exit 1 ; fi"), "7:19 status-prints, 8:4 status-prints, 8:19 status-prints"},
		{"status explains", status("f() { echo \"$1\" ; exit 1 ; }\npgrep d >/dev/null || f down\nx=$(ps) || exit 1\n[ \"$x\" ]"), ""},
		{"a start in a function", start("cd /srv && ./run &\n echo $! >/run/pid"), "3:1 start-not-ready"},
		{"a start by su", start("su - d -c \"/srv/run &\""), "3:11 start-not-ready"},
		{"a start by start-stop-daemon", start("start-stop-daemon --start --background --exec /srv/run\nreturn 0"), "3:1 start-not-ready"},
		{"a start that waits", start("/srv/run &\nuntil /srv/ping ; do sleep 1 ; done\narping -U 10.0.0.1 &"), ""},
		{"commands by way of others", "#!/bin/sh\nnohup nosuchcommand &\ntimeout -k 5 10 nosuchcommand\nLC_ALL=C nice -n 5 nosuchcommand\ncommand -p ls\n", "2:7 missing-command, 3:17 missing-command, 4:20 missing-command"},
		{"functions of others", "#!/bin/sh\n. ./lib.sh\nnosuchcommand\n", ""},
		{"a command in a variable", "#!/bin/sh\nD=/usr/nosuch\n$D/bin/d\nE=/usr/nosuch/e\n[ -x $E ] && $E\n", "3:1 missing-command"},
		{"a file in a variable", "#!/bin/sh\nN=d\nC=/etc/nosuch/$N.conf\nd -c $C\ncat >/etc/nosuch/e\nd -c /etc/nosuch/e\n", "4:6 missing-path"},
		{"a file where the package is", "#!/bin/sh\nfs_dir_0=/opt/p\n/opt/p/nosuch -c /opt/p/nosuch.conf\n", ""},
		{"mount points", "#!/bin/sh\nfs_dir_0=/nosuch/a\nfs_dir_1=/nosuch/a/b\nmount -t ext4 /dev/x /nosuch/c\nmkdir -p /nosuch/d\nmount /dev/x /nosuch/d\nmount -t nfs\n", "2:10 mount-point, 4:22 mount-point"},
		{"numbers", "#!/bin/sh\nvip_ip_0=1\nvip_ip_1=1\nvip_prefix_1=2\nfs_dir_1=/tmp\nfs_opt_0=1\nfs_opt_2=1\n", "5:1 parameter-gap"},
		{"quotes", "#!/bin/sh\nn=$(ps | wc -l)\np=/run/$n.pid\nh=$(hostname)\n[ -f $p ] && [ -n $h ] && [ $n -gt 1 ] && [ x$1 = xa ] && [ ! -e $0.off ] && [ $1 = a ]\n", "5:80 unquoted-test"},
		{"words in [[", "#!/bin/bash\nn=1\n[[ n -eq 1 ]]\n[[ $n -eq up ]]\n", "4:11 word-as-number"},
		{"words in variables", "#!/bin/sh\nup=running\n[ \"$1\" -ne \"$up\" ]\n", "3:12 word-as-number"},
		{"cd", "#!/bin/sh\ncd /srv\n[ $? -eq 0 ] || exit 1\ncd /\ncd /x\ntrue\n", "5:1 unchecked-cd"},
		{"cd where errors end it", "#!/bin/sh -e\ncd /srv\ntrue\n", ""},
		{"an endless for", "#!/bin/bash\nfor ((;;)); do true; done\nfor ((i = 0; i < 3; i++)); do true; done\n", "2:1 endless-loop"},
		{"only sh's", "#!/bin/sh\n((true) ; true)\nlet i++ # one\nlocal x=1\nread -r a\necho -n x\n[ a -nt b ]\n", "3:1 bashism"},
		{
			"bash's", "#!/bin/sh\nx+=1\nVG[0]=1\necho {a,b} $RANDOM $((i++))\nread -p x y\nset -o pipefail\ntrap : SIGTERM\nkill -SIGHUP 1\necho -e x |& cat\nprint x\n",
			"2:1 bashism, 3:1 bashism, 4:6 bashism, 4:12 bashism, 4:24 bashism, 5:6 bashism, 6:8 bashism, 7:8 bashism, 8:6 bashism, 9:1 bashism, 9:6 bashism, 10:1 bashism",
		},
		{"a script that is none", "#!/usr/bin/env -S X=1 nosuchcommand -x\nif x:\n", "1:23 interpreter"},
	} {
		kind := KindOf("p", []byte(test.text))
		if strings.Contains(test.name, "mount") || strings.HasPrefix(test.text, "#!/bin/sh\nvip") {
			kind = Package
		}
		var got []string
		for _, f := range File("p", kind, []byte(test.text), aHost) {
			if f.Rule != "fork" && (f.Rule != "no-branch" || strings.Contains(test.text, "case")) {
				got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Col, f.Rule))
			}
		}
		if got := strings.Join(got, ", "); got != test.want {
			t.Errorf("%s: it finds\n%s, want\n%s", test.name, got, test.want)
		}
	}
}

// Parameters that somebody reads, in other ways than by their name.
func TestParametersRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"#!/bin/sh\nPATH=/bin\ntmp=/tmp/x\ntrap 'rm $tmp' 0\nmy_0=1\ni=0\neval \"x=\\$my_$i\"\n": nil,
		"#!/bin/sh\nOWN=1\n. /etc/own\nvip_ipp_0=1\n":                                            {"vip_ipp_0 is read by nobody: is vip_ip_0 meant?"},
		"#!/bin/sh\r\nOWN=1\r\neval \"echo \\$OWN\"\r\n":                                         nil,
		"#!/usr/bin/python\nx=1\n":                                                               nil,
		"#!/bin/sh\nlost=1\n":                                                                    {"lost is read by nobody, nor exported for a program: take it away"},
	} {
		var got []string
		for _, f := range Parameters("p", []byte(text), Read{Known: []string{"pace", "vip_ip_"}}) {
			got = append(got, f.Reason)
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %q it says %q, want %q", text, got, want)
		}
	}
}

// Functions that call each other with ever more arguments have an end.
func TestManyCalls(t *testing.T) {
	t.Parallel()
	var deep strings.Builder
	for i := range 60 {
		fmt.Fprintf(&deep, "f%d() { f%d ; f%d ; }\n", i, i+1, i+1)
	}
	if found := File("p", Package, []byte("#!/bin/sh\n"+deep.String()+"f60() { : ; }\ncase $1 in start) f0 ;; stop) f0 ;; status) f0 ;; esac\n"), aHost); len(found) > 0 {
		t.Errorf("it finds %v", found)
	}
	nested := "#!/bin/sh\n" + strings.Repeat("while true ; do\n", 4900) + ":\n" + strings.Repeat("done\n", 4900)
	if found := File("p", Other, []byte(nested), aHost); len(found) == 0 {
		t.Error("it finds nothing in loops")
	}
	many := File("p", Other, []byte("#!/bin/sh\n"+strings.Repeat("[ $x = 1 ]\n", 1000)), aHost)
	if n := len(many); n != 100 || !strings.HasSuffix(many[n-1].Reason, " (and 900 more like this)") {
		t.Errorf("of a thousand it tells %d", n)
	}
	text := "#!/bin/sh\nf() { f a \"$@\" \"$@\" ; f b \"$@\" ; }\ncase $1 in start) f ;; stop) f ;; status) f ;; esac\n"
	if found := File("p", Package, []byte(text), aHost); len(found) > 0 {
		t.Errorf("it finds %v", found)
	}
}
