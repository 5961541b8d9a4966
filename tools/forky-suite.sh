#!/usr/bin/env bash
# Inside forky.sh's root, on its copy of the checkout: wheels, an environment, the suite.
set -eu

version=$1
shift
python=/mnt/venv/bin/python
cd /mnt/checkout

# Offline first: what an earlier run has fetched will do, and a missing file is told at once.
cached() {
    local command=$1
    shift
    uv $command --offline "$@" >/mnt/log 2>&1 || uv $command "$@" >/mnt/log 2>&1 ||
        { cat /mnt/log >&2; exit 1; }
}

suites=()
for package in core memory profiles; do
    [ -d "packages/$package" ] || continue
    # uv's cache of a folder does not notice an edited module, and this builds every time.
    cached build --wheel --python "/usr/bin/python$version" --out-dir /mnt/wheels "packages/$package"
    cp /mnt/log "/mnt/$package.log"
    if [ "$package" != core ] && [ -d "tests/$package" ]; then
        suites+=("tests/$package")
    fi
done
case " $*" in *" tests/"*) suites=() ;; esac

uv venv --quiet --python "/usr/bin/python$version" /mnt/venv
cached "pip install" --python $python --constraint requirements.lock \
    --group pyproject.toml:test /mnt/wheels/*.whl
# setup.py lets a wheel do without it; here that would leave the point of the run untested.
$python -c "import endoscope_memory._native" || {
    cat /mnt/memory.log >&2
    echo "the C extension of endoscope-memory was not built, or cannot be imported" >&2
    exit 1
}
$python -VV
PATH="/mnt/venv/bin:$PATH" exec $python -m pytest "${suites[@]}" "$@"
