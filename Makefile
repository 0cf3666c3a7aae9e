# Every target works in a fresh clone, with git, make and Python >= 3.11 alone. It creates the virtual
# environment, and updates it after a change of pyproject.toml.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check

.PHONY: help train test test-thorough lowest demos results docs lint clean
.NOTPARALLEL:

help:
	@echo 'make train          train a character language model on the documentation of Python'
	@echo 'make test           run all tests except the tests of the demos'
	@echo 'make test-thorough  run the tests with more random examples, and slow tests'
	@echo 'make lowest         run some tests with the lowest versions of all dependencies'
	@echo 'make demos          run every demo in its quick form, and their tests'
	@echo 'make results        run every demo in full, and write docs/results.md'
	@echo 'make docs           build the documentation site in build/docs'
	@echo 'make lint           check style, docstrings, formatting and types'
	@echo 'make clean          remove the virtual environment and all caches (keeps runs/)'
	@echo
	@echo 'ARGS passes options on:        make train ARGS="my.txt --hidden 256"'
	@echo 'PYTHON names another Python:   make train PYTHON=/usr/bin/python3.12'

train: $(VENV)/train.stamp
	$(VENV)/bin/python -m tinygrad_rnn train $(ARGS)

# One BLAS thread per worker: more threads would only wait for each other. The second run is on the
# fake CuPy, which finds operations that would fail on a GPU.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal
test test-thorough lowest demos: export OMP_NUM_THREADS = 1
test test-thorough lowest demos: export OPENBLAS_NUM_THREADS = 1
test: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest $(PARALLEL) -m 'not demo' $(ARGS)
	$(VENV)/bin/python -m pytest $(PARALLEL) --device strict \
	    --hypothesis-profile=quick -m 'not demo' $(ARGS)

test-thorough: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest $(PARALLEL) --thorough -m 'not demo' $(ARGS)

# Tests of the code that depends on other packages: arrays, files, plots and the terminal.
LOWEST_TESTS := \
    autograd/ops/test_operations autograd/numpy_protocol/test_numpy_protocol autograd/test_random \
    autograd/core/test_graph autograd/recurrence/test_scan autograd/compile/test_changes_between_calls \
    autograd/debug/test_draw autograd/backend/test_fake_cupy tinygrad_rnn/data/test_files \
    tinygrad_rnn/data/test_text_datasets tinygrad_rnn/training/test_serialization \
    tinygrad_rnn/tasks/test_language_modeling tinygrad_rnn/insight/test_plots \
    tinygrad_rnn/test_plotting

lowest: $(VENV)/lowest.stamp
	$(VENV)/lowest/bin/python -m pytest $(PARALLEL) --hypothesis-profile=quick \
	    $(LOWEST_TESTS:%=tests/%.py)

demos: $(VENV)/test.stamp
	$(VENV)/bin/python -m tinygrad_rnn demo --all --quick $(ARGS)
	$(VENV)/bin/python -m pytest $(PARALLEL) -m demo

results: $(VENV)/test.stamp
	$(VENV)/bin/python -m tinygrad_rnn demo --all --seeds 3 --report docs/results.md $(ARGS)

docs: $(VENV)/docs.stamp
	$(VENV)/bin/python -m sphinx -q -W --keep-going -d build/doctrees docs build/docs
	@echo 'Open build/docs/index.html in a browser.'

lint: $(VENV)/dev.stamp
	$(VENV)/bin/python -m ruff check
	$(VENV)/bin/python -m ruff format --check
	$(VENV)/bin/python -m mypy

clean:
	rm -rf $(VENV) build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file marks a complete installation.

$(VENV)/train.stamp: EXTRAS =
$(VENV)/test.stamp: EXTRAS = [test]
$(VENV)/dev.stamp: EXTRAS = [dev]
$(VENV)/docs.stamp: EXTRAS = [docs]

$(VENV)/%.stamp: pyproject.toml | $(VENV)/python.stamp
	@echo 'Installing tinygrad-rnn$(EXTRAS) into $(VENV) ...'
	@$(PIP) install --editable '.$(EXTRAS)'
	@touch $@

# The lowest versions are the bounds in pyproject.toml. Their wheels exist for Python 3.11 and 3.12.
$(VENV)/lowest.stamp: pyproject.toml | $(VENV)/python.stamp
	@$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	    { echo 'The lowest versions need Python 3.11 or 3.12: make clean, then make lowest PYTHON=python3.12' >&2; exit 1; }
	@echo 'Installing the lowest versions of all dependencies into $(VENV)/lowest ...'
	@$(VENV)/bin/python -m venv --clear $(VENV)/lowest
	@grep -oE '"[a-z-]+>=[0-9.]+"' pyproject.toml | tr -d '"' | sed 's/>=/==/' > $(VENV)/lowest/bounds.txt
	@$(VENV)/lowest/bin/python -m pip --disable-pip-version-check install \
	    --constraint $(VENV)/lowest/bounds.txt --only-binary :all: --editable '.[test]'
	@touch $@

$(VENV)/python.stamp:
	@command -v $(PYTHON) >/dev/null || \
	    { echo 'Cannot find $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo '$(PYTHON) lacks its module venv; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@
