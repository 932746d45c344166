# build, test, lint, install, demo, chaos, bench: see README.md

PREFIX  ?= /opt/shell-cluster-suite/back-to-work
DESTDIR ?=
HOME_DIR = $(DESTDIR)$(PREFIX)
MAN      = $(HOME_DIR)/share/man/man8
COMMANDS = back-to-work service btwctl
DEX      = dex-lock dex-init dex-release dex-show dex-previous dex-exec dex-wait dex-server-init dex-server dex-servers
UTILS    = set-shell gethostip gethexip pgrep pkill setsid arping od sleep keygen

build:
	utils/build -ldflags '-s -w'

test: # what takes longest begins first
	go test -race -timeout 20m ./internal/lockserver ./test/lab ./testscripts ./...

lint:
	.ci/lint

# doc/man, from what the commands' --help says
man:
	go test ./internal/cli -run TestManPages -count=1 -man.write

# An installed tree: the links point at the binary itself. What is there in conf/,
# dex-lock/conf/ and packages/ is the site's own, and stays. The dex commands are in bin/, which is
# first in the PATH of scripts, and in the lock directory, if that is ours.
install: build
	mkdir -p $(HOME_DIR)/bin $(HOME_DIR)/conf $(HOME_DIR)/log $(HOME_DIR)/modules $(HOME_DIR)/packages $(HOME_DIR)/utils $(MAN)
	cp bin/btw $(HOME_DIR)/bin/btw.new && mv -f $(HOME_DIR)/bin/btw.new $(HOME_DIR)/bin/btw
	for c in $(COMMANDS) ; do ln -sfn bin/btw $(HOME_DIR)/$$c || exit 1 ; done
	for c in $(DEX) ; do ln -sfn btw $(HOME_DIR)/bin/$$c || exit 1 ; done
	for c in $(UTILS) ; do ln -sfn ../bin/btw $(HOME_DIR)/utils/$$c || exit 1 ; done
	cp utils/cidr2mask utils/cidr2hexmask utils/lab $(HOME_DIR)/utils/
	mkdir -p $(HOME_DIR)/utils/systemd $(HOME_DIR)/utils/openrc
	for f in utils/systemd/* utils/openrc/* ; do \
	   sed 's|/opt/shell-cluster-suite/back-to-work|$(PREFIX)|g' $$f > $(HOME_DIR)/$$f || exit 1 ; done
	chmod 755 $(HOME_DIR)/utils/openrc/*
	cp doc/man/*.8 $(MAN)/
	ln -sfn service.8 $(MAN)/btwctl.8
	for c in back-to-work $(DEX) keygen set-shell ; do ln -sfn btw.8 $(MAN)/$$c.8 || exit 1 ; done
	cp modules/* $(HOME_DIR)/modules/
	ln -sfn ../modules $(HOME_DIR)/packages/modules
	for p in packages/* ; do \
	   [ -d $$p ] || [ -e $(HOME_DIR)/$$p ] || cp $$p $(HOME_DIR)/packages/ || exit 1 ; done
	if [ -d $(HOME_DIR)/../dex-lock ] ; then $(BESIDE) ; else $(WITHIN) ; fi

# A lock directory beside the home is the site's, and left alone: one of ours would be another, with
# other locks.
BESIDE = echo "install: $(PREFIX)/../dex-lock is there, and left as it is; our dex commands are in $(PREFIX)/bin" ; \
	[ ! -d $(HOME_DIR)/dex-lock ] || [ -L $(HOME_DIR)/dex-lock ] || \
	   echo "install: $(PREFIX)/dex-lock is there too: it counts if it is configured, or was run; if not, remove it"
WITHIN = mkdir -p $(HOME_DIR)/dex-lock/conf || exit 1 ; \
	for c in $(DEX) ; do ln -sfn ../bin/btw $(HOME_DIR)/dex-lock/$$c || exit 1 ; done ; \
	[ -e $(HOME_DIR)/dex-lock/conf/lock_servers ] || cp dex-lock/conf/lock_servers $(HOME_DIR)/dex-lock/conf/

demo:
	utils/demo

# The lock service in virtual time, with faults: HOURS of a cluster, from seed SEED on. For a night:
# make simulate HOURS=20000 SEED=$$(date +%s) LENGTH=30m (without quiet times)
HOURS  ?= 200
SEED   ?= 1
LENGTH ?= 1h
simulate:
	go test ./internal/lockserver -count=1 -timeout=0 -v -run 'TestSimulation' \
	   -sim.hours=$(HOURS) -sim.from=$(SEED) -sim.length=$(LENGTH)

# the whole cluster: nodes, deadmen, scripts, lock servers
simulate-cluster:
	go test ./internal/sim/cluster -count=1 -timeout=0 -v -run 'TestCluster' \
	   -sim.hours=$(HOURS) -sim.from=$(SEED)

# random faults on hosts of namespaces: make chaos SECONDS=8h CHAOSFLAGS='-d DIRECTORY'
SECONDS ?= 180
chaos:
	utils/chaos $(CHAOSFLAGS) $(SECONDS)

# BENCHFLAGS=-quick leaves etcd out
bench:
	go build -o bin/bench ./cmd/bench && exec bin/bench $(BENCHFLAGS)

.PHONY: build test lint man install demo simulate simulate-cluster chaos bench
