# Two commands set everything up: `make demo` runs the main job on in-memory servers, `make test` passes the tests.
.PHONY: build demo test matrix soak histories teeth link servers bench fuzz lint vulncheck release reproducible clean

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN := bin/influxmirror

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=$(VERSION)" -o $(BIN) ./cmd/influxmirror

demo: build
	$(BIN) demo --for 30s

# The real InfluxDB servers are built once, into a cache outside the repository; later this is quick.
servers:
	@test/servers/build.sh

# Unit, contract, CLI and embedded-server tests, and the same against real servers. Without cargo the real ones are left out, except in CI.
test:
	@if test/servers/build.sh >/dev/null; then :; \
	elif [ "$$CI" = true ]; then echo "the real InfluxDB servers could not be built" >&2; exit 1; \
	else echo "left out: tests against real InfluxDB servers (they need cargo to build)"; fi
	CGO_ENABLED=0 go vet ./...
	CGO_ENABLED=0 go test -timeout 30m ./...

# Many more of the histories and failing calls that `make test` tries some of.
HISTORIES ?= 2000
histories:
	CGO_ENABLED=0 go test -count=1 -timeout 60m -run 'Histories|KeptSeeds|Chains|SameSeed|FailingCalls' ./test/sim -histories $(HISTORIES) -long 6 -seeds 200 -chains 400 -again 20 -calls 5000

# Every planted bug has to be caught by the test it names. `make test` tries a few of them, others each day.
teeth:
	CGO_ENABLED=0 go test -count=1 -timeout 30m -v -run Teeth ./test/teeth -bugs 0

# Copies across slow, long and lossy links between two network namespaces. `make test` does the shortest.
LINKS ?= 5
link: servers
	CGO_ENABLED=0 go test -count=1 -timeout 90m -v ./test/link -profiles $(LINKS)

# 8 million samples between two real servers, against what those servers need at least.
bench: build servers
	go run ./test/bench -binary $(BIN) -ratio 0.6 -cpu 0.15 -memory 128

# A number of runs, not a time: go test calls it a failure when the time ends in the middle of one.
FUZZTIME ?= 50000x
fuzz:
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $$p || exit 1; done; done

# Every direction between 1.6.7, 1.13.2, 2.7.12 and a directory; rewrites the table in README.md.
matrix: servers
	go test -count=1 ./test/matrix -update

# Everything that draws lots, with lots of its own, round after round until the hours are over; the first failure ends it.
HOURS ?= 1
soak: servers
	@end=$$(($$(date +%s) + $(HOURS) * 3600)); round=0; seed=$$(date +%s); \
	while :; do round=$$((round + 1)); seed=$$((seed + 1000)); echo "round $$round, seed $$seed"; \
		go test -count=1 -timeout 60m ./test/matrix -run Matrix -all -seed $$seed || exit 1; \
		go test -count=1 -timeout 3h ./test/sim -run '^Test(Turning)?Histories$$' -seed $$seed -seeds 50 || exit 1; \
		make --no-print-directory fuzz FUZZTIME=200000x || exit 1; \
		[ $$(date +%s) -lt $$end ] || break; \
	done; echo "$$round rounds, nothing failed"

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go mod verify

# Is anything that is linked and called known to be vulnerable? Needs https://vuln.go.dev.
vulncheck:
	@tools/vulncheck.sh

# Static binaries, checksums, a bill of materials, the licences, and a signature if SIGNING_KEY names a private key of ssh: docs/release.md.
TARGETS ?=
release:
	tools/release/build.sh $(VERSION) dist $(TARGETS)

# Built twice, in different directories, a release is the same to the byte.
reproducible:
	@tools/release/check.sh

clean:
	rm -rf bin
