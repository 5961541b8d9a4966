#!/usr/bin/env bash
# Install what heap profiles need of the system, if it is missing and we may; else say how.
#   tools/install-system-packages.sh PYTHON
# jemalloc and a C compiler are used; jeprof is for the tests. Never fails: without any of it
# everything else works.
set -eu

python=$1
packages=()
lacks() { packages+=("$@"); }

headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q 'libjemalloc\.so\.2' || lacks libjemalloc2
command -v jeprof >/dev/null || lacks libjemalloc-dev
command -v cc >/dev/null || lacks gcc libc6-dev
[ -e "$headers/Python.h" ] || lacks "libpython$version-dev"
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
echo "Without these, heap profiles show less. Type:" >&2
echo "  sudo $install" >&2
