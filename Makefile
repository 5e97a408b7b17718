# What the README's commands run. PYTHON may name another interpreter: make demo PYTHON=python3.12
ifeq ($(OS),Windows_NT)
PYTHON ?= py
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif

.PHONY: demo test lint audit requirements
.NOTPARALLEL:
# Tests start some thousand processes: what Python has compiled for one serves the others.
unexport PYTHONDONTWRITEBYTECODE

# Runtime only (no TensorFlow), then a verdict on the song that comes with the project.
demo:
	@$(PYTHON) install.py
	$(BIN)/genregenie classify examples/demo.ogg

# Everything, into the same environment, then the default tests.
test:
	@$(PYTHON) install.py --dev
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"

lint:
	@$(PYTHON) install.py --dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Pins, their ages and known advisories.
audit:
	@$(PYTHON) install.py --dev
	-$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/python -m benchmarks.supply_chain

# Pins: dev.txt is all of it; the others are cut from the same versions.
requirements:
	@$(PYTHON) install.py --dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 --all-extras pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 -c requirements/dev.txt --extra train pyproject.toml -o requirements/train.txt
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 -c requirements/dev.txt --extra web pyproject.toml -o requirements/web.txt
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 -c requirements/dev.txt --extra scale --extra web pyproject.toml -o requirements/scale.txt
