#!/usr/bin/env bash
# Install what is needed of the system, if it is missing and we may; else say how.
#   tools/install-system-packages.sh PYTHON [tests]
# jemalloc and a C compiler are for heap profiles. `tests` adds the tools that what we write is
# compared with: jeprof, pprof (Go's), Chromium, which opens the flame graphs, and wrk, which
# keeps servers busy. Never fails: without any of it everything else works, and tests that miss
# something are skipped.
set -eu

python=$1
for_tests=${2-}
packages=()
lacks() { packages+=("$@"); }
has() { command -v "$1" >/dev/null; }

headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q 'libjemalloc\.so\.2' || lacks libjemalloc2
has cc || lacks gcc libc6-dev
[ -e "$headers/Python.h" ] || lacks "libpython$version-dev"
if [ "$for_tests" = tests ]; then
    has jeprof || lacks libjemalloc-dev
    has go || lacks golang-go
    has chromium || lacks chromium
    has wrk || lacks wrk
fi
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo --non-interactive true 2>/dev/null; then
    as_root="sudo "
else
    as_root=none
fi
install="apt-get install --yes --quiet --no-install-recommends ${packages[*]}"
if [ "$as_root" != none ] && command -v apt-get >/dev/null; then
    echo "installing Debian's ${packages[*]}"
    ${as_root}apt-get update --quiet >/dev/null && ${as_root}$install >/dev/null && exit 0
fi
echo "Without these, heap profiles show less, or tests are skipped. Type:" >&2
echo "  sudo $install" >&2
