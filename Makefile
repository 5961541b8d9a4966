# `make demo` walks the whole road with the leaky service; `make test` runs every test.
# Both set up what they need: .tools/ (uv), .venv/ (everything), Debian's jemalloc and gcc.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
ATHERIS_VERSION := 3.0.0
FUZZ_TARGETS := reading_a_dump reading_pprof reading_anything
FUZZ_SECONDS ?= 600
BIN := .venv/bin

export UV_PYTHON_DOWNLOADS := never
# The launcher, the demo and the tests set these themselves, and only where they belong.
unexport LD_PRELOAD MALLOC_CONF PYTHONMALLOC

NATIVE := packages/memory/setup.py $(wildcard packages/memory/native/*.[ch])
MEMBERS := $(wildcard packages/*/pyproject.toml examples/*/pyproject.toml)

.PHONY: demo test torture matrix fuzz lint tox lock system system-for-tests clean

demo: .venv/native
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/leaky-service/demo.sh

test: .venv/native | system-for-tests
	$(BIN)/python -m pytest

# What runs for minutes, and `make test` leaves out.
torture: .venv/native
	$(BIN)/python -m pytest -m torture $(ARGS)

# The memory suite on this CPython and on those of Debian forky, which takes root; one of
# them: `make tox ARGS="-e cp314 -- -x"`.
matrix: .venv/native
	PATH="$(CURDIR)/.tools/bin:$$PATH" $(BIN)/tox -m matrix $(ARGS)

# Hunts for input that is read wrongly, for ten minutes in each way of reading, or so many as
# `make fuzz FUZZ_SECONDS=60` says. What it finds lies in .fuzz/found/.
fuzz: .fuzz/venv
	@mkdir -p .fuzz/found $(FUZZ_TARGETS:%=.fuzz/corpus/%)
	@for target in $(FUZZ_TARGETS); do \
	    nice .fuzz/venv/bin/python tests/fuzz/fuzz.py $$target -max_total_time=$(FUZZ_SECONDS) \
	        -artifact_prefix=.fuzz/found/ .fuzz/corpus/$$target tests/fuzz/corpus/$$target || exit 1; \
	done

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy packages/*/src

# Each package alone, as a wheel, in an environment of its own; `make tox ARGS="-e memory"`.
tox: .venv/native
	PATH="$(CURDIR)/.tools/bin:$$PATH" $(BIN)/tox $(ARGS)

# Resolve anew, to the newest versions that the packages allow.
lock: $(UV)
	rm -f uv.lock
	$(UV) export --quiet --all-packages --all-groups --no-emit-workspace --no-header \
	    --no-annotate --format requirements.txt --output-file requirements.lock

system:
	@bash tools/install-system-packages.sh $(PYTHON)

system-for-tests:
	@bash tools/install-system-packages.sh $(PYTHON) tests

$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .tools \
	    --upgrade uv==$(UV_VERSION)

.venv: $(UV) requirements.lock $(MEMBERS) | system
	$(UV) venv --quiet --clear --python $(PYTHON) .venv
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps $(patsubst %/pyproject.toml,-e %,$(MEMBERS))
	@touch .venv

# Not in .venv: atheris is for few Pythons, and nothing else needs it.
.fuzz/venv: $(UV) packages/profiles/pyproject.toml
	$(UV) venv --quiet --clear --python $(PYTHON) .fuzz/venv
	$(UV) pip install --quiet --python .fuzz/venv atheris==$(ATHERIS_VERSION) -e packages/profiles
	@touch .fuzz/venv

# An editable install compiles once; again when the C code has changed.
.venv/native: $(NATIVE) | .venv
	$(UV) pip install --quiet --python .venv --no-deps --reinstall-package endoscope-memory \
	    --editable packages/memory
	@touch $@

clean:
	@bash tools/forky.sh remove
	rm -rf .venv .tools .tox .demo .fuzz
