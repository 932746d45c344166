package lint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// aHost has everything but what is called nosuch.
var aHost = Host{
	HasCommand: func(name string) bool { return name != "nosuchcommand" },
	Exists:     func(path string) bool { return !strings.Contains(path, "/nosuch") },
	IsModule:   func(name string) bool { return name != "nosuch.Linux" },
	System:     "Linux",
	Native:     func(name string) bool { return name != "curl" },
}

// elsewhere are the rules that no look at the text of one script finds.
var elsewhere = []string{"parameter", "node", "shellcheck"}

// The examples of each rule are its tests.
func TestRules(t *testing.T) {
	t.Parallel()
	vip, err := os.ReadFile("../../modules/vip.Linux")
	if err != nil {
		t.Fatal(err)
	}
	read := Read{Known: []string{"pace", "timeout", "fs_dir_"}, Modules: []string{string(vip)}}
	for _, r := range Rules() {
		if slices.Contains(elsewhere, r.Name) {
			continue
		}
		found := func(text string) []Finding {
			all := append(File("p", r.Kind, []byte(text), aHost), Parameters("p", []byte(text), read)...)
			return slices.DeleteFunc(all, func(f Finding) bool { return f.Rule != r.Name })
		}
		bad := found(r.Bad)
		if len(bad) == 0 {
			t.Errorf("%s: nothing is found in %q", r.Name, r.Bad)
		}
		for _, f := range bad {
			t.Log(f)
			if f.Level != r.Level {
				t.Errorf("%s: the level is %s", r.Name, f.Level)
			}
		}
		if good := found(r.Good); len(good) > 0 {
			t.Errorf("%s: in the good example is found %v", r.Name, good)
		}
		if ignored := found(r.Bad + "\n# lint: ignore " + r.Name + "\n"); len(ignored) > 0 && r.Name != "syntax" {
			t.Errorf("%s: though it is to be ignored: %v", r.Name, ignored)
		}
	}
}

// In what we ship nothing is wrong.
func TestShipped(t *testing.T) {
	t.Parallel()
	for dir, kind := range map[string]Kind{"packages": Package, "modules": Module} {
		paths, err := filepath.Glob("../../" + dir + "/*")
		if err != nil || len(paths) == 0 {
			t.Fatal(paths, err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range File(path, kind, text, aHost) {
				t.Error(f)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"fs_dev_", "fs_dir_", "pace", "stop_timeout", "vip_ip_", "vip_netdev_"}
	for name, want := range map[string]string{
		"vip_netdv_0": "vip_netdev_0", "pase": "pace", "stop_time_out": "stop_timeout", "fs_dvi_1": "fs_dev_1", "something": "", "vip_1": "",
	} {
		if got := nearest(name, names); got != want {
			t.Errorf("%s: %q is near, want %q", name, got, want)
		}
	}
}

// shellcheck is told what shell it is, and is not asked about what no shell runs.
func TestDialect(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"#!/bin/sh\n": "sh", "#!/bin/bash -e\n": "bash", "#!/usr/bin/env ksh93\n": "ksh", "#!/bin/ash\n": "dash",
		"#!/usr/bin/perl\n": "", "true\n": "",
	} {
		if got := Dialect([]byte(text), Other); got != want {
			t.Errorf("%q is for %q, want %q", text, got, want)
		}
	}
	if got := Dialect([]byte("true\n"), Module); got != "sh" {
		t.Errorf("a module is for %q", got)
	}
}

// What an ordinary admin writes is no finding.
func TestNoFalseAlarm(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"#!/usr/bin/perl\nmy $a = shift; if ($a eq 'status') { nosuchcommand }\n",
		"#!/bin/sh\ni=0\nwhile [ $i -lt 10 ] ; do i=`expr $i + 1` ; sleep 1 ; done\n",
		"#!/bin/sh\nfor a in 1 2 ; do [ $a -eq 2 ] ; done\nn=$#\n[ $n -ge 1 ]\n",
		"#!/bin/sh\n# f\374r\ntrue\n",
		"#!/bin/ksh\nprint up\n",
	} {
		host := aHost
		host.HasCommand = func(name string) bool { return name != "nosuchcommand" && name != "my" && name != "print" }
		if got := File("p", Other, []byte(text), host); len(got) > 0 {
			t.Errorf("in %q it finds %v", text, got)
		}
	}
	for _, text := range []string{
		"#!/bin/sh\ni=$1\n[ $i = 1 ]\n", "#!/bin/sh\ni=0\nread -r i\n[ $i = 1 ]\n", "#!/bin/sh\nfor i in $x ; do [ $i = 1 ] ; done\n",
	} {
		if got := File("p", Other, []byte(text), aHost); len(got) != 1 || got[0].Rule != "unquoted-test" {
			t.Errorf("in %q it finds %v", text, got)
		}
	}
}
