# The newcomer's two commands: make demo, make test. Nothing but Python 3.10 or newer is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto

.PHONY: demo test lint long bench digests docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[all]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[dev]'
	@touch $@

demo: $(VENV)/.demo  ## install and read handwritten digits on the emulated NPU
	$(BIN)/lapilli demo

test: $(VENV)/.dev  ## install and run the tests
	$(BIN)/python -m pytest -n $(JOBS) -q

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

long: $(VENV)/.dev  ## every generated case instead of the sample
	$(BIN)/python -m pytest -n $(JOBS) -q -m "long or not long" --long

grid: $(VENV)/.dev  ## some 6,500 generated models on the emulator against LiteRT, with a summary
	$(BIN)/python tools/grid.py

bench: $(VENV)/.dev  ## compile and emulation times beside the figures aimed at
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/accuracy.py

digests: $(VENV)/.dev  ## accept the program digests as they are now
	$(BIN)/python tests/digests.py

docs: $(VENV)/.dev  ## regenerate the generated documents
	$(BIN)/python tools/make_operator_table.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
