# The newcomer's two commands: make demo, make test. Nothing but Python 3.10 or newer is needed.
# They install into .venv first; what they need for that is in tools/set_up.sh.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto
FUZZ_SECONDS ?= 60
DATA := $(if $(LAPILLI_TEST_DATA),$(LAPILLI_TEST_DATA),../shared)
MODELS ?= $(wildcard $(DATA)/today $(DATA)/models)
COVERAGE ?= --write
MUTANTS ?= 25
SET_UP := PYTHON="$(PYTHON)" sh tools/set_up.sh

.PHONY: demo test test-browser lint format long grid bench coverage digests docs fuzz mesa-check mutants clean

$(BIN)/python:
	@$(SET_UP) environment "$(VENV)"

$(VENV)/.demo: $(BIN)/python pyproject.toml
	@$(SET_UP) install "$(VENV)" all
	@touch "$@"

$(VENV)/.dev: $(BIN)/python pyproject.toml
	@$(SET_UP) install "$(VENV)" dev
	@touch "$@"

demo: $(VENV)/.demo  ## install and read handwritten digits on the emulated NPU
	$(BIN)/python -m lapilli demo

test: $(VENV)/.dev  ## install and run the tests
	@echo "Running the tests: two to six minutes on two cores."
	$(BIN)/python -m pytest -n $(JOBS) -q

test-browser: $(VENV)/.dev  ## the profile's page in a real Chromium (Debian: apt install chromium)
	LAPILLI_BROWSER=1 $(BIN)/python -m pytest -q tests/browser

lint: $(VENV)/.dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

format: $(VENV)/.dev
	$(BIN)/python -m ruff format .

long: $(VENV)/.dev  ## every generated case instead of the sample
	$(BIN)/python -m pytest -n $(JOBS) -q -m "long or not long" --long

grid: $(VENV)/.dev  ## some 13,600 generated models on the emulator against LiteRT, with a summary
	$(BIN)/python tools/grid.py

fuzz: $(VENV)/.dev  ## damaged command streams and models: 20,000, and a minute of them
	$(BIN)/python tools/fuzz_streams.py
	$(BIN)/python tools/fuzz_models.py --seconds $(FUZZ_SECONDS)

bench: $(VENV)/.dev  ## compile and emulation times beside the figures aimed at
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/worst_cases.py
	$(BIN)/python benchmarks/accuracy.py

coverage: $(VENV)/.dev  ## whole models and structures: what the NPU does, MODELS="folder ..."
	$(BIN)/python tools/coverage.py $(MODELS) $(COVERAGE)

digests: $(VENV)/.dev  ## accept the program digests as they are now
	$(BIN)/python tests/digests.py

docs: $(VENV)/.dev  ## regenerate the generated documents
	$(BIN)/python tools/make_operator_table.py
	$(BIN)/python tools/make_schedule_page.py
	$(BIN)/python tools/make_cuts_page.py
	$(BIN)/python tools/make_command_reference.py
	$(BIN)/python tools/make_glossary.py
	$(BIN)/python tools/make_man_page.py
	$(BIN)/python tools/make_python_reference.py
	$(BIN)/python tools/make_architecture_picture.py

mesa-check: $(VENV)/.dev  ## Mesa's driver, from Debian's packages, on the emulated NPU
	$(BIN)/python tools/mesa_check.py
	$(BIN)/python tools/mesa_grid.py

mutants: $(VENV)/.dev  ## small wrong changes, one at a time: does a test notice?
	$(BIN)/python tools/mutants.py --count $(MUTANTS)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
