# The newcomer's two commands: make demo, make test. Nothing but Python 3.10 or newer is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto
FUZZ_SECONDS ?= 60

.PHONY: demo test test-browser lint format long bench digests docs fuzz mesa-check clean

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

test-browser: $(VENV)/.dev  ## the profile's page in a real Chromium (Debian: apt install chromium)
	LAPILLI_BROWSER=1 $(BIN)/python -m pytest -q tests/browser

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .

long: $(VENV)/.dev  ## every generated case instead of the sample
	$(BIN)/python -m pytest -n $(JOBS) -q -m "long or not long" --long

grid: $(VENV)/.dev  ## some 6,400 generated models on the emulator against LiteRT, with a summary
	$(BIN)/python tools/grid.py

fuzz: $(VENV)/.dev  ## damaged command streams and models: 20,000, and a minute of them
	$(BIN)/python tools/fuzz_streams.py
	$(BIN)/python tools/fuzz_models.py --seconds $(FUZZ_SECONDS)

bench: $(VENV)/.dev  ## compile and emulation times beside the figures aimed at
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/accuracy.py

digests: $(VENV)/.dev  ## accept the program digests as they are now
	$(BIN)/python tests/digests.py

docs: $(VENV)/.dev  ## regenerate the generated documents
	$(BIN)/python tools/make_operator_table.py
	$(BIN)/python tools/make_command_reference.py
	$(BIN)/python tools/make_architecture_picture.py

mesa-check: $(VENV)/.dev  ## Mesa's driver, from Debian's packages, on the emulated NPU
	$(BIN)/python tools/mesa_check.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
