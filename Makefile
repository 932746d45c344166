# build, test, lint, install, demo, chaos, bench: see README.md

PREFIX  ?= /opt/shell-cluster-suite/back-to-work
DESTDIR ?=
export PREFIX DESTDIR

build:
	utils/build -ldflags '-s -w'

# What only computes, for one goroutine at a time, is not watched by the race detector, which would make the tests of
# lock servers much dearer: ciphers, and raft's encoding. All of ours is watched, and of others' all that has goroutines or
# locks: raft, bbolt, net/http, crypto/tls. A process of the tests that ends waits 50 ms, not a second, for races to come.
UNWATCHED = crypto/internal/... github.com/hashicorp/go-msgpack/v2/...
test: # what takes longest begins first
	GORACE=atexit_sleep_ms=50 go test -race $(UNWATCHED:%=-gcflags=%=-race=false) $(TESTFLAGS) -timeout 20m \
	   ./test/lab ./internal/lockserver ./testscripts ./internal/sim/cluster ./internal/script ./internal/shell ./...

lint:
	.ci/lint

# doc/man, from what the commands' --help says
man:
	go test ./internal/cli -run TestManPages -count=1 -man.write

# utils/install says what is replaced and what is kept
install: build
	utils/install
uninstall:
	utils/install --uninstall

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

# a node with a thousand packages, as root, in a network of its own: BENCHFLAGS='-n 200 -only auto'
bench-thousand:
	go build -o bin/bench ./cmd/bench
	exec unshare --net sh -c 'ip link set lo up && exec bin/bench many "$$@"' sh $(BENCHFLAGS)

# clinit beside supervisord and runit (apt-get install supervisor runit), as root: BENCHFLAGS='-n 100 -rounds 1'
bench-clinit: build
	go build -o bin/bench ./cmd/bench && exec bin/bench clinit $(BENCHFLAGS)

.PHONY: build test lint man install uninstall demo simulate simulate-cluster chaos bench bench-thousand bench-clinit
