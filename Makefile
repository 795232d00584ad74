# `make` sets up .venv from the lock file and builds data/dataset; `make help` lists the rest.
# Needed: Python >= 3.11 with its venv module, git, make.
#   make PYTHON=/opt/python3.12/bin/python3    another interpreter
#   make VENV=/tmp/env                         another place for the environment

VENV = .venv
PYTHON = python3.13 python3.12 python3.11 python3.14 python3 python
# The first that works. Each is run, not just looked up: a version manager's shim can stand on PATH without its
# Python, and a Linux system's Python can lack ensurepip.
python = $(firstword $(foreach p,$(PYTHON),$(call usable,$(p))))
usable = $(shell $(1) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(1))

BIN = $(VENV)/bin
# stages say `python stages/…`: the environment's python has to be the first on PATH
RUN = PATH="$$(cd "$(BIN)" && pwd):$$PATH"
PYTEST = $(RUN) python -m pytest
# By file: what tests of one file share is made once. (xdist 3.8 does not keep its groups together under pytest 9.)
PARALLEL = -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: all env repro hooks check lint quick test torture fuzz bench bench-large label-studio audit deps lock clean help
.DELETE_ON_ERROR:

all: repro

env: $(VENV)/.installed  ## the environment alone

repro: env  ## the dataset (the default)
	@[ -s .dvc/tmp/rwlock ] || rm -f .dvc/tmp/rwlock  # a DVC that was killed left it empty, and would refuse to work
	@[ ! -e dvc.lock ] || [ -s dvc.lock ] || git checkout --quiet HEAD -- dvc.lock  # the same
	@$(RUN) dvc repro || { for batch in data/raw/*.dvc; do \
	  [ ! -e "$$batch" ] || [ -e "$${batch%.dvc}" ] || { echo 'make: batches are missing here; fetch them: $(BIN)/dvc pull' >&2; break; }; \
	done; exit 1; }

hooks: env  ## DVC's Git hooks: checkout follows git checkout, push precedes git push
	@$(RUN) bash .ci/hooks

# In `make check test` the whole suite follows: its quick part is not run twice.
check: lint $(if $(filter test,$(MAKECMDGOALS)),,quick)  ## ruff, mypy and the quick tests

lint: env
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy stages/mondegreen

quick: env
	@$(PYTEST) $(PARALLEL) -m 'not dvc'

test: env  ## the whole test suite
	@$(PYTEST) $(PARALLEL)

torture: env  ## what the suite leaves out because it takes minutes
	@TORTURE=1 $(PYTEST) $(PARALLEL) tests/test_build_faults.py tests/test_kills.py tests/test_faults.py \
	  tests/test_weather.py tests/test_release.py tests/test_erasing.py tests/test_transfer.py tests/test_security.py

fuzz: env  ## ten minutes of inputs that nobody would write
	@FUZZ=600 $(PYTEST) tests/test_fuzz.py -s

bench: env  ## measures against floors, in one run
	@$(RUN) python tests/bench/bench.py

bench-large: env  ## a million cases, and 10 GB of audio: half an hour, 60 GB of disk
	@$(RUN) python tests/bench/bench.py --only million hours

label-studio:  ## holds tasks and imports against Label Studio's own SDK, in build/label-studio
	@python=$(python); [ -n "$$python" ] || { echo 'make: no Python >= 3.11 with venv' >&2; exit 1; }; \
	[ -x build/label-studio/bin/python ] || "$$python" -m venv build/label-studio; \
	build/label-studio/bin/python -m pip install -qq --disable-pip-version-check label-studio-sdk==2.1.2
	@build/label-studio/bin/python tests/sdk/label_studio.py

audit:  ## asks PyPI's advisory database about every pinned dependency; needs the network
	@python=$(python); [ -n "$$python" ] || { echo 'make: no Python >= 3.11 with venv' >&2; exit 1; }; \
	[ -x build/audit/bin/python ] || "$$python" -m venv build/audit; \
	build/audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit==2.10.1
	@build/audit/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

deps: env  ## lists in dvc.yaml the code that each stage imports
	@$(RUN) python tests/closure.py

lock: env  ## resolves the newest versions for every Python at once into requirements.lock
	@$(RUN) uv pip compile --universal --python-version 3.11 --all-extras --upgrade --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --quiet pyproject.toml -o requirements.lock

clean:  ## removes the environment and tools' caches; no data
	@[ ! -e "$(VENV)" ] || [ -f "$(VENV)/pyvenv.cfg" ] || { echo 'make: $(VENV) is no virtual environment: left alone' >&2; exit 1; }
	rm -rf "$(VENV)" build dist stages/mondegreen.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile

# The lock that was installed is kept beside the environment and compared by content: a fresh checkout's new
# modification times alone install nothing again. A changed lock makes a new environment, so nothing old stays in it.
# setuptools goes first: pip then builds the few packages without a wheel, and this project, with the pinned one.
$(VENV)/.locked: requirements.lock
	@if cmp -s requirements.lock "$@"; then touch "$@"; else \
	  set -e; \
	  [ -n "$(python)" ] || { echo 'make: no Python >= 3.11 with venv and ensurepip among: $(PYTHON). Debian and Ubuntu: apt install python3-venv. Elsewhere installed: make PYTHON=/path/to/python' >&2; exit 1; }; \
	  [ ! -e "$(VENV)" ] || [ -f "$(VENV)/pyvenv.cfg" ] || { echo 'make: $(VENV) exists and is no virtual environment: left alone' >&2; exit 1; }; \
	  echo "make: installing pinned dependencies into $(VENV) with $(python); this takes a minute or two"; \
	  $(python) -m venv --clear "$(VENV)"; \
	  sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > "$(VENV)/setuptools.lock"; \
	  for lock in "$(VENV)/setuptools.lock" requirements.lock; do \
	    "$(BIN)/python" -m pip install -qq --disable-pip-version-check --no-build-isolation --require-hashes -r "$$lock"; \
	  done; \
	  cp requirements.lock "$@"; \
	fi

# editable: the command `mondegreen` runs this checkout
$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@"$(BIN)/python" -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch "$@"
