# Two commands do it all: make up, make test. Each sets up what it needs, on a bare machine too.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up down clean status test chaos cluster bench rebuild drill docs lint ci

help: ## this list
	@sed -nE 's/^([a-z]+):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

up: ## build, start everything, send 100,000 events through and count them at every hop
	@integration/up/up.sh

down: ## stop and remove all containers; the data stay
	@integration/up/down.sh

clean: ## the same, and the data go too
	@integration/up/down.sh --volumes

status: ## containers, their health and memory
	@integration/up/status.sh

test: ## unit tests, and the tests on the real stack
	@integration/up/test.sh

chaos: ## every fault on the real stack, and a table of what they did [SEED=N] [MINUTES=N] [ONLY=faults|features]
	@integration/up/chaos.sh

cluster: ## three brokers, DataNodes and Cassandra nodes, each killed in turn while events flow [VICTIMS='kafka stream']
	@integration/up/cluster.sh

bench: ## measures beside peers, on the real stack; results in docs/benchmarks
	@integration/up/bench.sh

rebuild: ## empty PostgreSQL and Cassandra and fill them again from the raw files on HDFS; asks first (YES=1: does not)
	@integration/up/rebuild.sh

drill: ## practise backup and restore by the commands of docs/operations.md; destroys data, asks first (YES=1: does not)
	@integration/up/drill.sh

docs: ## the pages of dbt on every table: http://localhost:8081, and as one file, target/dbt-docs.html
	@integration/up/docs.sh

lint: ## formatting and lints of Rust, Python, SQL and shell; licences of dependencies
	@integration/up/lint.sh

ci: ## what CI runs: lint, up, test
	@bash .ci/run
