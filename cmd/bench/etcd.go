package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// fetchLimit is for the package, and for building the program.
const fetchLimit = 2 * time.Minute

// An etcd is a cluster of three members on the loopback, with the package's default settings: only
// addresses and directories are given.
type etcd struct {
	version   string
	program   string // that uses it
	endpoints []string
	members   map[string]*child // by endpoint
}

// newEtcd starts a cluster in dir. If that fails, e may hold a part of it, which the caller must
// stop.
func newEtcd(ctx context.Context, dir string) (e *etcd, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	binary, err := etcdBinary(ctx, dir)
	if err != nil {
		return nil, err
	}
	e = &etcd{program: filepath.Join(dir, "drive"), members: map[string]*child{}}
	if err := build(ctx, e.program); err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot run etcd: %w", err)
	}
	e.version, _, _ = strings.Cut(strings.TrimPrefix(string(version), "etcd Version: "), "\n")
	return e, e.start(binary, dir)
}

// etcdBinary is the installed one, or one from Debian's package, which is only unpacked: the
// package would start a server of its own.
func etcdBinary(ctx context.Context, dir string) (string, error) {
	if path, err := exec.LookPath("etcd"); err == nil {
		return path, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	fetch := exec.CommandContext(ctx, "sh", "-c", "apt-get -q download etcd-server && dpkg -x etcd-server_*.deb .")
	fetch.Dir = dir
	if out, err := fetch.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("there is no etcd, and Debian's etcd-server cannot be had: %s", lines[len(lines)-1])
	}
	return filepath.Join(dir, "usr/bin/etcd"), nil
}

// build builds the program that uses etcd, from its own module.
func build(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, ".")
	cmd.Dir = "cmd/bench/etcd"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the program that uses etcd: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (e *etcd) start(binary, dir string) error {
	clients, err := freePort()
	if err != nil {
		return err
	}
	peers, err := freePort()
	if err != nil {
		return err
	}
	var cluster []string
	for i := range 3 {
		cluster = append(cluster, fmt.Sprintf("m%d=http://127.0.0.%d:%s", i+1, i+1, peers))
	}
	for i := range 3 {
		name, host := fmt.Sprintf("m%d", i+1), fmt.Sprintf("127.0.0.%d", i+1)
		endpoint, peer := net.JoinHostPort(host, clients), "http://"+net.JoinHostPort(host, peers)
		m, err := startChild(filepath.Join(dir, name+".log"), binary,
			"--name", name, "--data-dir", filepath.Join(dir, name),
			"--listen-client-urls", "http://"+endpoint, "--advertise-client-urls", "http://"+endpoint,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new")
		if err != nil {
			return err
		}
		e.endpoints, e.members[endpoint] = append(e.endpoints, endpoint), m
	}
	return nil
}

// stop ends the members, at once: what they have is thrown away.
func (e *etcd) stop() {
	if e == nil {
		return
	}
	for _, m := range e.members {
		_ = m.cmd.Process.Kill() // it may have ended
		<-m.ended
	}
}

// contestants are the three ways to use etcd: through the leader alone, which is fastest; with a
// stream of its own for each lease; and through any of the members, as its users do.
func (e *etcd) contestants() []*contestant {
	use := func(name, which, streams string, partly bool) *contestant {
		driver := append([]string{e.program, which, streams}, e.endpoints...)
		return &contestant{name, driver, e.members, partly}
	}
	return []*contestant{
		use("etcd, leader", "leader", "one", false),
		use("stream each", "leader", "each", true),
		use("any member", "any", "one", false),
	}
}
