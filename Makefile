# Everything from a bare clone, with Python 3.11 or later and make: `make demo`, `make test`.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
EXTRAS_BIN := .venv-extras/bin
EXTRAS_STAMP := .venv-extras/.installed
UV ?= $(shell command -v uv || echo $(BIN)/uv)
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --extra dev

# Unlocked, because each platform has builds of its own.
TORCH := "torch==2.13.*" "transformers>=5" "accelerate>=1" "stable-baselines3>=2.4"

.PHONY: help demo test lint docs pytest test-extras bench examples lock clean

help:
	@echo "make demo         create .venv, install, and plan the bundled sample"
	@echo "make test         create .venv, lint, check types and arrows, build the docs, run the tests"
	@echo "make test-extras  the tests that need the optional dependencies, in .venv-extras"
	@echo "make bench        run every benchmark and write docs/evidence.md"
	@echo "make examples     write the transcripts of README and docs again"
	@echo "make docs         build the documentation into site/"

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: $(STAMP)
	$(BIN)/tonnage plan serving sample_workloads/chat.yaml --cluster sample_workloads/cluster.yaml -o table

test: lint docs pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pytest: $(STAMP)
	$(BIN)/pytest -m "not extras" --cov --cov-report=term

# Apart, because a test of the core must not find the optional tables.
$(EXTRAS_STAMP): requirements-extras.lock pyproject.toml
	test -x $(EXTRAS_BIN)/python || $(PYTHON) -m venv .venv-extras
	$(EXTRAS_BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-extras.lock
	$(EXTRAS_BIN)/python -m pip install --quiet $(TORCH)
	$(EXTRAS_BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

test-extras:
	@if $(MAKE) $(EXTRAS_STAMP); then $(EXTRAS_BIN)/pytest -m extras; \
	else echo "skipped: the optional dependencies cannot be installed here (see above)"; fi

bench: $(STAMP)
	$(BIN)/python -m benchmarks all; status=$$?; $(BIN)/python -m docs.generate; exit $$status

# Writes what the pages' commands print below them; the 70B page needs TONNAGE_REFERENCE_DATA.
examples: $(STAMP)
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.examples
	$(BIN)/python -m docs.example_70b

# Needs uv (https://docs.astral.sh/uv).
lock:
	$(LOCK) pyproject.toml -o requirements.lock > /dev/null
	$(LOCK) --extra dask --extra forecast --extra postgres --extra silicon -c requirements.lock pyproject.toml -o requirements-extras.lock > /dev/null

clean:
	rm -rf .venv .venv-extras build dist site *.egg-info .coverage
