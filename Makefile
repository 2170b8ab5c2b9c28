# `make demo` and `make test` set themselves up in .venv; `make help` lists all targets.

PYTHON ?= python3
VENV ?= .venv
SEED ?= 1
FUZZ_EXAMPLES ?= 100000
BENCH ?=
CHAOS ?=
SOAK ?=

BIN := $(VENV)/bin
RUN := $(if $(filter-out 1,$(SEED)),demo-$(SEED),demo)

# A run starts half a dozen Python processes; without bytecode each of them would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-cuda test-root fuzz bench results scale chaos soak docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed ## distil two teachers into one student; SEED=2 for another run
	@if [ -f runs/$(RUN)/evaluation.json ]; then \
		echo "runs/$(RUN) is finished; '$(BIN)/distill runs --delete $(RUN)' makes room for another one"; \
		cat runs/$(RUN)/table.md; \
	elif [ -f runs/$(RUN)/config.yaml ]; then \
		exec $(BIN)/distill run --resume runs/$(RUN); \
	else \
		exec $(BIN)/distill run --config docs/examples/demo.yaml --name $(RUN) --seed $(SEED); \
	fi

test: $(VENV)/.installed-test ## linter, formatter, type checker, import rules, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not fuzz and not root" --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-cuda: $(VENV)/.installed-test ## what needs a CUDA device; skipped, with the reason, where there is none
	$(BIN)/pytest -m cuda

test-root: $(VENV)/.installed-test ## launch Ray on hosts made of network namespaces; needs root
	$(BIN)/pytest -m root

fuzz: $(VENV)/.installed-test ## decode FUZZ_EXAMPLES mutated chunks
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest -m fuzz

bench: $(VENV)/.installed ## measure this machine against bare loops; BENCH="--only buffer" passes options on
	$(BIN)/distill bench $(BENCH)

results: $(VENV)/.installed ## tables, plots and README's results from the scores in results/
	$(BIN)/distill experiment --render --readme README.md

# It takes about an hour, on a machine that does nothing else. What was measured before is not measured again.
scale: $(VENV)/.installed ## what more actors bring, and the plan for many of them, into results/scale and docs/scaling.md
	$(BIN)/distill scale --out results/scale/emulators --actors 1,2,4 --repeats 5 --no-learn
	$(BIN)/distill scale --out results/scale/emulators-learning --actors 1,2,4 --repeats 5
	$(BIN)/distill scale --out results/scale/simulated --simulate-env 20 --actors 1,10,100,200,400,1000 --no-learn
	$(BIN)/distill scale --out results/scale/shards --simulate-env 20 --actors 200,1000 --redis-shards 1,2,4 --no-learn
	$(BIN)/distill scale --out results/scale/simulated-learning --simulate-env 20 --actors 10,100,1000
	$(BIN)/distill scale --out results/scale/simulated --render --page docs/scaling.md

chaos: $(VENV)/.installed-test ## break runs on purpose, and check what is lost; CHAOS="--seconds 60 --short" passes options on
	$(BIN)/python -m tests.chaos --seed $(SEED) --mutations --out results/chaos.json $(CHAOS)

soak: $(VENV)/.installed-test ## train for 70 minutes, and see whether anything grows in the last 30
	$(BIN)/python -m tests.chaos.soak --out results/soak.json $(SOAK)

docs: $(VENV)/.installed ## build the documentation as a site, build/site/index.html; every link is checked
	$(BIN)/pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build

# An environment of another name, as VENV= or the shell gives it, is somebody's own.
clean: ## remove .venv, builds and caches; runs/ stays
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .ruff_cache .import_linter_cache
	find actors cluster distill learner tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One editable install serves every target; the test extra is added to it. A .venv that is already there is kept, so
# that a user can put a PyTorch build of his own choice into it first.
$(VENV)/.installed: pyproject.toml
	@$(BIN)/pip --version >/dev/null 2>&1 || $(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or \
		sys.exit("Python 3.11 or newer is needed, found %d.%d; name one: make PYTHON=python3.12 TARGET" % v)'
	@$(BIN)/pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@
