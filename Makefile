# postrider: `make run` starts it, `make test` passes every test.

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
PEERS    ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/postrider-peers
FUZZTIME ?= 3
export POSTRIDER_PEERS := $(PEERS)

.PHONY: run build demo test check peers unit fuzz fuzz-long explain-score worlds systems crash load bench clean

run: build            ## build and start with the built-in safe default
	./bin/postrider serve

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/postrider ./cmd/postrider

demo: build           ## the founding story, live
	./bin/postrider demo

test: peers check unit

check:                ## format, vet, staticcheck
	@test -z "$$(gofmt -s -l . | tee /dev/stderr)" || { echo "gofmt -s would change these files"; exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

unit:                 ## all tests, with the race detector
	$(GO) test -race -timeout 15m ./...
	$(GO) test ./internal/spool/local

peers:                ## unpack the mail servers that the tests talk to
	scripts/peers.sh

fuzz:                 ## each fuzz target for FUZZTIME seconds
	scripts/fuzz.sh $(FUZZTIME)

fuzz-long:            ## ten minutes each; goes on where it ended, by docs/fuzz.tsv
	scripts/fuzz.sh 600 docs/fuzz.tsv

explain-score:        ## how explain does on real bounces, by reporting system
	$(GO) test ./explain -run Score -count=1 -v
	$(GO) test ./test -run Stories -count=1 -v

worlds:               ## a million random chains, loads and possible worlds
	$(GO) test -tags slow -timeout 60m -count=1 ./chain

systems:              ## thousands of random worlds of the whole program, in virtual time
	WORLDS=10000 $(GO) test -run 'TestWorlds$$' -timeout 240m -count=1 ./cmd/postrider

crash:                ## thousands of crashes of the store, of the program, and of the power under it
	CRASHES=5000 $(GO) test -tags slow -run 'Crash|PowerCut' -count=1 -timeout 60m ./internal/spool/local
	$(GO) test -tags slow -count=1 -timeout 180m -v ./test/crash

load:                 ## 50,000 messages that end at one time, 10,000 connections, a host that comes back to 20,000
	$(GO) test -tags slow -count=1 -timeout 60m -v ./test/load

bench: build          ## beside Postfix: bench/README.md
	bench/run

clean:
	rm -rf bin
