package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func globFiles(pattern string) []string {
	list, _ := filepath.Glob(pattern)
	return list
}

// shipped are the packages or modules of this tree.
func shipped(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	for _, f := range globFiles("../../" + dir + "/*") {
		if fi, err := os.Stat(f); err == nil && fi.Mode().IsRegular() {
			files = append(files, f)
		}
	}
	if len(files) < 5 {
		t.Fatalf("%s: only %q", dir, files)
	}
	return files
}

// TestShippedPackages: status and echo of all that we ship can be interpreted.
func TestShippedPackages(t *testing.T) {
	for _, f := range shipped(t, "packages") {
		scripts, found := CheckAll(f, os.ReadFile, globFiles, "status", "echo")
		for _, x := range found {
			t.Errorf("%s: %s", f, x)
		}
		if len(scripts) < 2 && filepath.Base(f) != "dummy" {
			t.Errorf("%s: sources nothing", f)
		}
		for _, s := range scripts[1:] {
			if !strings.Contains(s.Path, "modules/") {
				t.Errorf("%s sources %s", f, s.Path)
			}
		}
	}
	for _, f := range shipped(t, "modules") {
		if _, found := CheckAll(f, os.ReadFile, globFiles, "status", "echo"); len(found) > 0 {
			t.Errorf("%s: %v", f, found)
		}
	}
}

// original is a package in the style of the original's: parameters, one long case, modules by the system's name.
const original = `#!/bin/sh
cd ${0%/*}
pkg=$(basename $0)
pace=5 ; timeout=40
vip_ip_0=127.0.0.1
vip_netdev_0=lo
other=$(expr 1 + 2)

os=$(uname)
num_check=0
failed_check=0
ret=0

vip_check() {
   ip addr show dev $1 | grep -q "inet $2/"
   return $?
}

case "$1" in
   start)
      . modules/old.$os
      sleep 100 &
      echo $! > /tmp/$pkg.pid
      trap 'kill $$' TERM
      ;;
   stop)
      . modules/old.$(uname)
      kill $(cat /tmp/$pkg.pid)
      exit $ret
      ;;
   status)
      i=0
      while true ; do
         eval ip=\$vip_ip_$i
         eval dev='$'vip_netdev_$i
         if [ -z "$ip" ] ; then break ; fi
         num_check=$((num_check+1))
         vip_check $dev $ip
         if [ $? -ne 0 ] ; then
            failed_check=$(($failed_check+1))
         fi
         i=$(($i+1))
      done
      . modules/old.$os
      . modules/old.$(uname)
      if [ $failed_check -eq 0 ] ; then
         exit 0
      elif [ $failed_check -lt $num_check ] ; then
         exit 2
      fi
      exit 1
      ;;
   echo)
      eval echo \$$2
      ;;
   *)
      echo "Usage: $0 { start | stop | status }"
      ;;
esac
`

const originalModule = `
old_list="a b c"
for x in $old_list ; do
   num_check=` + "`expr $num_check + 1`" + `
   case $1 in
      start) echo starting $x & ;;
      stop) kill -9 $! ;;
      status)
         if test -f ./$x -o ! -d /proc ; then
            echo $x is here >&2
         else
            failed_check=$((failed_check + 1))
         fi ;;
   esac
done
`

// allLinux is a package that uses all modules for Linux.
const allLinux = `#!/bin/sh
cd "${0%/*}" || exit 3
vip_ip_0=10.0.2.12 vip_prefix_0=24 vip_network_0=10.0.2.0 vip_ip_1=fd00::1 vip_prefix_1=64 vip_netdev_1=eth0
fs_dev_0=/dev/nosuch/data fs_dir_0=/ fs_dev_1=server:/x fs_dir_1=/proc
drbd_res_0=r0 drbd_vol_0_0=0 drbd_dir_0_0=/mnt/r0
nfs_dir_0=/srv nfs_client_0_0=10.0.2.0/24 nfs_opt_0_0=rw
pr_disk_0=/dev/null
os=Linux
case $1 in
 echo) eval "echo \"\${$2:-}\"" ;;
 status)
   num_check=0 failed_check=0
   for m in $MODULES ; do
      . "modules/$m.$os"
   done
   echo "$num_check $failed_check"
   exit 2 ;;
esac
`

// stub answers for the tools of other systems: what FILES/tool has, and its status.
const stub = `#!/bin/sh
[ "${0##*/}" = uname ] && { echo "$SYSTEM"; exit 0; }
cat "$ANSWERS/${0##*/}" 2>/dev/null || exit 1
`

var answers = map[string]string{
	"ip":         "2: eth0@if3: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue\n    inet 10.0.2.12/24 brd 10.0.2.255 scope global eth0:vip0\n       valid_lft forever\n",
	"ifconfig":   "em0: flags=8843<UP,BROADCAST,RUNNING> mtu 1500\n\tinet 10.0.2.12 netmask 0xffffff00 broadcast 10.0.2.255\n\tstatus: active\nlo0: flags=8049<UP,LOOPBACK> mtu 1\n\tinet 127.0.0.1 netmask 0xff000000\n",
	"netstat":    "Name      Mtu  Network         Address         Ipkts Opkts\nlan0      1500 10.0.2.0        10.0.2.5        1     2\nlan0:1    1500 10.0.2.0        10.0.2.12       1     2\n",
	"drbdadm":    "Primary/Secondary\nUpToDate/UpToDate\n",
	"sg_persist": "  PR generation=0x3, Reservation follows:\n    Key=0xb7db6b8c1f\n    scope: LU_SCOPE,  type: Write Exclusive, registrants only\n",
	"exportfs":   "/srv\n\t\t10.0.2.0/24(sync,wdelay,hide,rw,secure,no_root_squash)\n",
	"vim-cmd":    "Vmid  Name  File\n1  web [d] web.vmx\nPowered on\n",
	"netsh":      "Configuration for interface \"Local Area Connection\"\r\n    IP Address: 10.0.2.12\r\n",
	"scu":        "Reservation Key: 0xb7db6b8c1f\n",
	"nwmgr":      "lan0 UP 10\n",
	"arping":     "",
}

// home makes a tree with all packages, modules and stubs.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"packages", "modules"} {
		for _, f := range shipped(t, kind) {
			if filepath.Base(f) == "umount.Linux" { // only fs and drbd source it, and not for status
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			write(kind+"/"+filepath.Base(f), string(b))
		}
	}
	write("packages/original", original)
	write("packages/all-linux", allLinux)
	write("modules/old.Linux", originalModule)
	write("bin/uname", stub)
	for tool, text := range answers {
		write("bin/"+tool, stub)
		write("answers/"+tool, text)
	}
	if err := os.Symlink("../modules", dir+"/packages/modules"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPackageTwins: status and echo of all packages, on all systems, by both.
func TestPackageTwins(t *testing.T) {
	needDash(t)
	dir := home(t)
	systems := []string{"Linux", "OpenBSD", "FreeBSD", "HP-UX", "CYGWIN_NT-5.1", "Plan9"}
	modules := "vip fs drbd nfs pr"
	for _, path := range globFiles(dir + "/packages/*-*") {
		for _, system := range systems {
			packageTwin(t, dir, filepath.Base(path), system, modules)
		}
	}
	if packageTwin(t, dir, "linux-test", "Linux", "") < 2 {
		t.Error("linux-test: mvdan.cc/sh runs it")
	}
	packageTwin(t, dir, "dummy", "Linux", "")
	packageTwin(t, dir, "original", "Linux", "")
	for m := range strings.FieldsSeq(modules) {
		packageTwin(t, dir, "all-linux", "Linux", m)
	}
	for tool := range answers { // and where the tools answer nothing, with status 1
		os.Remove(dir + "/answers/" + tool)
	}
	packageTwin(t, dir, "linux-test", "Linux", "")
	for m := range strings.FieldsSeq(modules) {
		packageTwin(t, dir, "all-linux", "Linux", m)
	}
}

func packageTwin(t *testing.T, dir, pkg, system, modules string) (quickRuns int) {
	t.Helper()
	path := "packages/" + pkg
	scripts, found := CheckAll(dir+"/"+path, os.ReadFile, globFiles, "status", "echo")
	if len(found) > 0 {
		t.Errorf("%s: %v", pkg, found)
		return 0
	}
	s := setting{dir: dir, source: readScript, env: append(testEnv(dir),
		"PATH="+dir+"/bin:/usr/bin:/bin:/usr/sbin:/sbin", "SYSTEM="+system, "ANSWERS="+dir+"/answers", "MODULES="+modules)[1:]}
	for _, args := range [][]string{{"status"}, {"echo", "pace"}, {"echo", "nosuch"}, {"echo", "vip_ip_0"}, {"echo", "1"}, {}} {
		s.args = append([]string{path}, args...)
		there := s.dash(t, "")
		for _, s.slow = range []bool{false, true} {
			here := s.interpret(t, scripts[0])
			if here.decline != "" || !here.same(there) {
				t.Errorf("%s %q on %s: %+v, dash: %+v", pkg, args, system, here, there)
			}
		}
	}
	return scripts[0].quick.taken
}
