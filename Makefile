# The tools that are run by version are not dependencies of belay itself.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME = 20s

.PHONY: build test quick crash lint bench bench-data fuzz demo readme picture

build: ## the binary, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o belay ./cmd/belay

test: ## every test, nothing skipped; installs and starts what is missing (Debian)
	@.ci/test

quick: ## the tests that this machine can run, and how many were skipped and why
	@go test -json ./... | go run .ci/count/main.go

crash: ## kill belay at every point of its runs, and plant a failure in every step, not only in some (hours; PART=2/4 a quarter; ALL=paragraphs the steps that a plan writes once, once); the number of points is printed
	@BELAY_CRASH_ALL=$(or $(ALL),1) BELAY_CRASH_PART=$(PART) go test -run 'Crash|Killed|FailEveryStep|FluxerUpgrade|CoAI|KubernetesPlans|Swarm' -v -timeout 180m ./cmd/belay ./steps/engine

lint: ## go vet, gofmt, staticcheck, and golangci-lint where it is installed
	@go vet ./... ./.ci/count
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	@go run $(STATICCHECK) ./... ./.ci/count
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: depguard, exhaustive and the rest of .golangci.yaml were not run"; fi

bench: ## figures; see README
	@go test -run '^$$' -bench . -benchmem ./...

bench-data: ## moving databases and files, against the usual tools in the same run; a gigabyte, some minutes
	@.ci/install bench
	@BELAY_MYSQL=$$(.ci/newer sid mysql-server-core mysql-client-core) || BELAY_MYSQL=none; export BELAY_MYSQL; \
	  BELAY_BENCH_DATA=1 go test -run '^TestBench' -bench Data -benchtime 1x -timeout 60m -v ./steps/postgres ./steps/mysql ./steps/redis ./steps

fuzz: ## every fuzz target for FUZZTIME
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
	  { grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go 2>/dev/null || true; } | sed 's/^func //' | while read -r target; do \
	    (cd "$$dir" && go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) .) || exit 1; \
	  done || exit 1; \
	done

demo: ## a migration on three pretend servers
	@go run ./cmd/belay demo

readme: ## the README's table of kinds, made anew
	@go test ./cmd/belay -run TestReadmeTableOfKinds -update-readme

picture: ## the README's picture, made anew from the real binary (needs tmux)
	@.ci/picture/take
