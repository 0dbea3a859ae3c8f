# latentloop: every target sets up .venv when it is missing or stale, then does its work.
#   make PYTHON=python3.12 ...     another interpreter for a new .venv
#   make CONSTRAINTS= ...          leave out the CPU build of PyTorch (for GPU users)

PYTHON ?= python3
CONSTRAINTS ?= deploy/constraints-cpu.txt
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PERF_STAMP := $(VENV)/.ready-perf
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CONSTRAIN := $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
PACKAGES := simulators models loop
# One thread per process unless a process says otherwise: two processes with two threads each on two cores are many times slower.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
TEST_PROCESSES ?= 2
DEMO := campaigns/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: help demo test check perf format clean venv

help:
	@echo "make demo    run the published problem on Ray and write its report (about a minute; the first time sets up .venv)"
	@echo "make test    run the tests (SLOW=1: the slow ones too)"
	@echo "make check   format, lint, types, layers"
	@echo "make perf    run the benchmarks side by side with their peers"
	@echo "make clean   remove .venv, caches and demo campaigns"

venv: $(STAMP)

# Stale: older than what is to be installed, or made in another place (a moved folder's scripts point to the old one).
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): pyproject.toml $(CONSTRAINTS) Makefile
	@command -v $(PYTHON) >/dev/null || { echo "latentloop needs Python 3.11 or newer, and there is no $(PYTHON) here; install it, or say make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "latentloop needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1); say make PYTHON=python3.12"; exit 1; }
	@echo "setting up $(VENV) (a few minutes the first time) ..."
	@[ -x $(BIN)/python ] && [ "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" ] || $(PYTHON) -m venv --clear $(VENV)
	@echo "  PyTorch"
	@$(PIP) install $(CONSTRAIN) torch
	@echo "  latentloop and what it needs"
	@$(PIP) install $(CONSTRAIN) -e '.[dev,lab,s3]'
	@echo "$(CURDIR)" > $(STAMP)
	@echo "  done"

# pyroVED asks for torchvision, which it needs for one plot only and which has no CPU build everywhere: it comes without its dependencies.
$(PERF_STAMP): $(STAMP)
	@echo "installing the peers that benchmarks compare with ..."
	@$(PIP) install $(CONSTRAIN) -e '.[dev,lab,s3,perf]'
	@$(PIP) install --no-deps 'pyroved>=0.3'
	@touch $(PERF_STAMP)

demo: $(STAMP)
	@$(BIN)/latentloop run ferrosim-curl --executor ray --store $(DEMO) --report $(DEMO).html

test: $(STAMP)
	@echo "running the tests$(if $(SLOW), with the slow ones) ..."
	@$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile $(if $(SLOW),,-m "not slow") $(PYTEST_ARGS)

check: $(STAMP)
	@echo "ruff format"; $(BIN)/ruff format --check .
	@echo "ruff check"; $(BIN)/ruff check .
	@echo "mypy"; $(BIN)/mypy -p latentloop
	@echo "import-linter"; $(BIN)/lint-imports

format: $(STAMP)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

perf: $(PERF_STAMP)
	@$(BIN)/python tests/performance/run.py $(ONLY)

clean:
	@echo "removing $(VENV), caches and demo campaigns"
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info campaigns/demo-*
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
