# `make demo` walks the whole road with the leaky service; `make test` runs every test.
# Both set up what they need: .tools/ (uv), .venv/ (everything), Debian's libjemalloc2.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin

export UV_PYTHON_DOWNLOADS := never
# The launcher, the demo and the tests set these themselves, and only where they belong.
unexport LD_PRELOAD MALLOC_CONF PYTHONMALLOC

MEMBERS := $(wildcard packages/*/pyproject.toml examples/*/pyproject.toml)

.PHONY: demo test lint tox lock jemalloc clean

demo: .venv jemalloc
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/leaky-service/demo.sh

test: .venv jemalloc
	$(BIN)/python -m pytest

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy packages/*/src

# Each package alone, as a wheel, in an environment of its own; `make tox ARGS="-e memory"`.
tox: .venv jemalloc
	PATH="$(CURDIR)/.tools/bin:$$PATH" $(BIN)/tox $(ARGS)

# Resolve anew, to the newest versions that the packages allow.
lock: $(UV)
	rm -f uv.lock
	$(UV) export --quiet --all-packages --all-groups --no-emit-workspace --no-header \
	    --no-annotate --format requirements.txt --output-file requirements.lock

jemalloc:
	@bash tools/install-jemalloc.sh

$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .tools \
	    --upgrade uv==$(UV_VERSION)

.venv: $(UV) requirements.lock $(MEMBERS)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps $(patsubst %/pyproject.toml,-e %,$(MEMBERS))
	@touch .venv

clean:
	rm -rf .venv .tools .tox .demo
