#!/usr/bin/env bash
# Install jemalloc, and jeprof for the tests, if they are missing and we may; else say how.
set -eu

found() { PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q 'libjemalloc\.so\.2'; }

install="apt-get install --yes --quiet libjemalloc2 libjemalloc-dev"
if found && command -v jeprof >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo --non-interactive true 2>/dev/null; then
    as_root="sudo "
else
    as_root=none
fi
if [ "$as_root" != none ] && command -v apt-get >/dev/null; then
    echo "installing Debian's libjemalloc2"
    ${as_root}apt-get update --quiet >/dev/null && ${as_root}$install >/dev/null || true
fi
if ! found; then
    echo "jemalloc is missing: without it, heap profiling is not available. Type:" >&2
    echo "  sudo $install" >&2
fi
