# What the README's commands run. PYTHON may name another interpreter: make demo PYTHON=python3.12
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

.PHONY: demo test lint requirements

# Runtime only (no TensorFlow), then a verdict on the song that comes with the project.
demo: .venv/runtime.done
	$(BIN)/genregenie classify examples/demo.ogg

# Everything, into the same environment, then the default tests.
test: .venv/dev.done
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: .venv/dev.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.venv/pyvenv.cfg:
	$(PYTHON) -m venv .venv

.venv/runtime.done: .venv/pyvenv.cfg requirements/runtime.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(PYTHON) -c "open('.venv/runtime.done', 'w').close()"

.venv/dev.done: .venv/pyvenv.cfg requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(PYTHON) -c "open('.venv/dev.done', 'w').close(); open('.venv/runtime.done', 'w').close()"

# Pins: dev.txt is all of it; the others are cut from the same versions.
requirements:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 --all-extras pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 -c requirements/dev.txt --extra train pyproject.toml -o requirements/train.txt
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 -c requirements/dev.txt --extra web pyproject.toml -o requirements/web.txt
