# make run      the server on this machine, with data in ./latchkey-data
# make test     everything that must hold; installs what it needs on Debian
# make simulation  20,000 random schedules of a cluster on virtual time, and the model of its protocol
# make histories   three processes on a PostgreSQL under each kind of fault, judged by what callers saw: at most three minutes
# make versions the same store and cluster on PostgreSQL 14, 16, 17 and 18, which come from npm
# make bench    what a decision costs
# make fuzz     each fuzz target for FUZZTIME
# make torture  a million requests while the server is killed twenty times; then, for hours, what can happen to
#               many nodes: also in pieces, such as make torture-faults INJECTIONS=10 FAULTS='kill -9'
# make mutants  shows that the tests find each of seventeen planted bugs

GO       ?= go
FUZZTIME ?= 20s

.PHONY: run build test simulation histories versions bench fuzz torture torture-healthy torture-faults torture-faults-3s torture-promotions mutants setup

run:
	$(GO) run ./cmd/latchkey serve

build:
	$(GO) build -trimpath -o bin/latchkey ./cmd/latchkey

setup:
	scripts/setup

test: setup
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) test -race -timeout 20m ./...
	@echo "Snippets of docs/clients that ran:"; cat docs/testdata/runs.txt
	$(GO) test -run Alloc . ./jwt

# 20,000 schedules, and the model's larger worlds: without the race detector, which make test plays a part of them under.
simulation:
	$(GO) test -timeout 30m -run 'TestModel|TestSimulation|TestReplay' -v ./replica

# Three processes on a PostgreSQL, and faults: with nothing beside them that takes their time away.
histories:
	LATCHKEY_HISTORIES=1 $(GO) test -timeout 15m -run '^(TestHistory|TestPromotion)$$' -v ./cmd/latchkey

versions:
	scripts/postgres-versions

bench:
	$(GO) test -run '^$$' -bench . -benchmem . ./jwt ./guard ./sqlite ./client ./journal ./replica ./postgres ./cmd/latchkey
	LATCHKEY_ROLL_TIME=1 $(GO) test -timeout 30m -run 'TestRollTime|TestVerifyTime|TestNodeCount' -v ./cmd/latchkey

fuzz:
	scripts/fuzz $(FUZZTIME)

torture:
	LATCHKEY_TORTURE=1000000 $(GO) test -timeout 60m -run TestNothingIsLostToKills -v ./cmd/latchkey
	$(MAKE) torture-healthy torture-faults torture-faults-3s torture-promotions

# Each prints its seed: SEED=… makes the same schedule again.
VERIFIES   ?= 1000000
INJECTIONS ?= 200
FAULTS     ?= .
HISTORY     = LATCHKEY_SEED=$(SEED) $(GO) test -timeout 24h -v ./cmd/latchkey -run

torture-healthy:
	LATCHKEY_TORTURE_VERIFIES=$(VERIFIES) $(HISTORY) TestTortureHealthy

torture-faults:
	LATCHKEY_TORTURE_LEASE=300ms LATCHKEY_TORTURE_INJECTIONS=$(INJECTIONS) LATCHKEY_TORTURE_FAULTS='$(FAULTS)' $(HISTORY) TestTortureFaults

torture-faults-3s:
	LATCHKEY_TORTURE_LEASE=3s LATCHKEY_TORTURE_INJECTIONS=$$(( ($(INJECTIONS) + 9) / 10 )) LATCHKEY_TORTURE_FAULTS='$(FAULTS)' $(HISTORY) TestTortureFaults

torture-promotions:
	LATCHKEY_TORTURE_LEASE=300ms LATCHKEY_TORTURE_PROMOTIONS=$(INJECTIONS) $(HISTORY) TestTorturePromotions
	LATCHKEY_TORTURE_LEASE=3s LATCHKEY_TORTURE_PROMOTIONS=$$(( ($(INJECTIONS) + 9) / 10 )) $(HISTORY) TestTorturePromotions

mutants:
	scripts/mutants
