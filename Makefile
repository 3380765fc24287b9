# Every verb makes .venv when it is missing; none does anything twice. CI runs nothing but these.
PYTHON ?= python3
BIN := .venv/bin
PRIORS := bass,drums,guitar,piano

.PHONY: setup demo test lint bench results speed prior priors example

setup: .venv/installed

# uv installs torch in seconds where pip takes minutes
.venv/installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing InstGlow and what it needs into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev,render]'
	@touch $@

demo: setup
	@$(BIN)/python benchmarks/demo.py --priors $(PRIORS)

test: setup
	@$(BIN)/pytest

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache > .venv/import-linter.log || { cat .venv/import-linter.log; exit 1; }
	@$(BIN)/mypy

bench: results speed

# DATA=folder of songs (<song>/<stem>.flac); the example alone without it
results: setup
	@$(BIN)/python benchmarks/quality.py examples $(DATA) --write docs/results.md

speed: setup
	@$(BIN)/python benchmarks/speed.py --write docs/speed.md
