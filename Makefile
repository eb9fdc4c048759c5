# `make demo` shows the whole line on real ECGs; `make test` runs every test. Both install into .venv when needed.
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
PEERS := build/peers
OUT ?= demo-output
JOBS ?= 2

export RAY_USAGE_STATS_ENABLED = 0

.DEFAULT_GOAL := help
.PHONY: help install demo test test-unit test-cluster test-data bench bench-dtw bench-knn bench-step bench-rates bench-neighbours bench-corpus bench-plan bench-learning bench-duplicates bench-cuda fuzz lint fmt clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## install into .venv, if anything changed

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found; install Python 3.11 or 3.12, or run: make PYTHON=<python> $(MAKECMDGOALS)"; exit 5; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: install ## the whole line on real bundled ECGs, on this machine
	$(BIN)/hemometric demo --out $(OUT)

test: test-unit test-cluster ## every test that needs nothing but this folder

test-unit: install ## tests without Ray
	$(BIN)/python -m pytest -q -m 'not data' -n $(JOBS) --dist loadfile tests/unit tests/test_architecture.py

test-cluster: install ## tests with real Ray nodes and real kills
	$(BIN)/python -m pytest -q -m 'not data' tests/cluster tests/jobs tests/trials

test-data: install ## tests on the real files of HEMOMETRIC_DATA
	@test -d "$(HEMOMETRIC_DATA)" || { echo "set HEMOMETRIC_DATA to the folder of real ECG files"; exit 2; }
	HEMOMETRIC_DATA="$(HEMOMETRIC_DATA)" $(BIN)/python -m pytest -q -m data

bench: bench-dtw ## the same

bench-dtw: install $(PEERS)/.installed ## DTW against dtaidistance, tslearn and aeon, and against the limit of a core
	$(BIN)/python tests/benchmarks/bench_dtw.py --peers $(PEERS)/bin/python --json build/bench_dtw.json

$(PEERS)/.installed: tests/benchmarks/requirements-peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench-knn: install ## median beats, and what nearest neighbours tell of a diagnosis, on PTB-XL in HEMOMETRIC_DATA
	@test -d "$(HEMOMETRIC_DATA)" || { echo "set HEMOMETRIC_DATA to the folder of real ECG files"; exit 2; }
	mkdir -p build
	HEMOMETRIC_DATA="$(HEMOMETRIC_DATA)" $(BIN)/python tests/benchmarks/bench_beats.py --json build/bench_beats.json
	HEMOMETRIC_DATA="$(HEMOMETRIC_DATA)" $(BIN)/python tests/benchmarks/bench_knn.py --json build/bench_knn.json

bench-step: install ## what mining costs a training step, on this machine
	mkdir -p build
	$(BIN)/python tests/benchmarks/bench_step.py --json build/bench_step.json

bench-rates: install ## how often two-rate mining takes the right positive, on the real ECGs of HEMOMETRIC_DATA
	@test -d "$(HEMOMETRIC_DATA)" || { echo "set HEMOMETRIC_DATA to the folder of real ECG files"; exit 2; }
	mkdir -p build
	HEMOMETRIC_DATA="$(HEMOMETRIC_DATA)" $(BIN)/python -W ignore tests/benchmarks/bench_rates.py --json build/bench_rates.json

bench-neighbours: install ## neighbour graphs: exact, killed and resumed, recall, core-hours for millions; takes an hour
	@test -d "$(HEMOMETRIC_DATA)" || { echo "set HEMOMETRIC_DATA to the folder of real ECG files"; exit 2; }
	HEMOMETRIC_DATA="$(HEMOMETRIC_DATA)" $(BIN)/python tests/benchmarks/bench_neighbours.py --work build/neighbours --json build/bench_neighbours.json

bench-corpus: install ## ingest against a plain loop, over sizes up to 100,000 ECGs (33 GB in build/corpus), reading, a million rows
	$(BIN)/python tests/benchmarks/bench_corpus.py --work build/corpus --json build/bench_corpus.json

bench-plan: ## hours and bytes for 5.4 million ECGs, from the figures of bench-corpus and bench-duplicates
	$(BIN)/python tests/benchmarks/plan_corpus.py build/bench_corpus.json build/bench_duplicates.json

bench-learning: install ## losses, Ray and memory in pretraining
	$(BIN)/python tests/benchmarks/bench_learning.py --json build/bench_learning.json

bench-duplicates: install ## the search for the same tracing among up to 100,000
	$(BIN)/python tests/benchmarks/bench_duplicates.py --json build/bench_duplicates.json

bench-cuda: install ## DTW on a CUDA device against all cores of the CPU, soft-DTW, and the limit of the card
	mkdir -p build
	$(BIN)/python tests/benchmarks/bench_cuda.py --json build/bench_cuda.json

fuzz: install ## 10,000 mutations of a file of each format
	HEMOMETRIC_MUTATIONS=10000 $(BIN)/python -m pytest -q -n $(JOBS) --timeout 3000 tests/unit/vendors/test_every_format.py -k flipped

lint: install ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: install ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was built
	rm -rf .venv build dist $(OUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis platform/*.egg-info
