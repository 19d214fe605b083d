# The two commands of the README: `make demo` and `make test`. Both first create the environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.ready

.PHONY: setup demo test fuzz lint docs bench clean

setup: $(STAMP)

# make setup CPU=1: PyTorch's builds for the CPU, without CUDA's libraries, which are most of the download.
ifdef CPU
TORCH := --torch-backend cpu
SELECT := grep -Ev '^(cuda|nvidia|triton)'
else
SELECT := cat
endif

# --no-deps: the files are complete closures; resolving again would pull an OpenCV that needs libGL.
$(STAMP): pyproject.toml setup.py $(wildcard requirements/*.txt)
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "EVA Vision needs Python 3.11 or later; name one with: make PYTHON=python3.12 setup")'
	test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	$(SELECT) requirements/base.txt | $(UV) pip install --python $(BIN)/python --no-deps $(TORCH) -r - -r requirements/demo.txt
	$(BIN)/python -c 'import detectron2' 2>/dev/null || \
		$(UV) pip install --python $(BIN)/python --python-version 3.10 --no-deps --require-hashes -r requirements/detectron2.txt
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(STAMP)

demo: setup
	$(BIN)/python -m tools demo-detection --output output/demo

# TESTS selects a part of the suite. One thread per process: with small tensors, more threads mostly wait for each other.
# A process of pytest-xdist that crashes ends the run: after a replacement, the scheduler can wait for ever (pytest-xdist 3.8).
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder --max-worker-restart=0 $(TESTS)

# Mutated files of every family; `make fuzz ROUNDS=10000 SEED=7 FAMILIES="images videos"` runs less, other ones, or some families.
ROUNDS ?= 2000
SEED ?= 0
fuzz: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --rounds $(ROUNDS) --seed $(SEED) $(FAMILIES)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# The site, in output/site; a warning is an error.
docs: setup
	$(BIN)/python -W ignore -m sphinx --fail-on-warning --keep-going --quiet -b html -c docs/site . output/site

# About 35 minutes on two cores; writes benchmarks/RESULTS.md and the figures that README and docs cite.
bench: setup
	$(UV) pip install --python $(BIN)/python --no-deps -r requirements/bench.txt
	$(BIN)/python -m benchmarks

clean:
	rm -rf output build dist .pytest_cache .ruff_cache .mypy_cache
