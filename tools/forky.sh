#!/usr/bin/env bash
# The memory suite on another CPython, with Debian forky's jemalloc:
#   tools/forky.sh 3.14 [PYTEST ARGUMENTS]     tools/forky.sh remove
# The root lives in .forky/. What is mounted in it is mounted in a namespace of the run's own
# and ends with the run, however that ends. The exit status is pytest's, or 69 where there
# can be no such root or no such Python in it; stderr tells why.
set -eu

CHECKOUT=$(cd "$(dirname "$0")/.." && pwd)
FORKY=$CHECKOUT/.forky
ROOT=$FORKY/root
# jeprof is in libjemalloc-dev.
PACKAGES="gcc libc6-dev libjemalloc2 libjemalloc-dev mount"
COPIED="packages tests tools pyproject.toml requirements.lock"
# How uv reaches its index from here; nothing else of this environment gets in.
PASSED="CI UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_HTTP_TIMEOUT
    http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY"
# Also ends, with the namespace of processes, whatever a test may have left running.
ISOLATED="unshare --mount --pid --fork --kill-child --mount-proc"

say() { echo "forky: $*" >&2; }
fail() { say "$*"; exit 1; }
unavailable() { say "$*"; exit 69; }

# Run a command, and show what it printed only if it fails.
quietly() {
    "$@" >"$FORKY/log" 2>&1 </dev/null || { cat "$FORKY/log" >&2; return 1; }
}

need_privileges() {
    [ "$(uname -s)" = Linux ] || unavailable "a Debian root takes Linux"
    [ "$(id -u)" = 0 ] || unavailable "making a Debian root takes root"
    $ISOLATED true 2>/dev/null || unavailable "namespaces are not allowed here"
}

need_debootstrap() {
    command -v debootstrap >/dev/null && return
    command -v apt-get >/dev/null || unavailable "debootstrap is missing, and so is apt-get"
    say "installing debootstrap"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update; apt-get install --yes debootstrap debian-archive-keyring; } \
        >"$FORKY/log" 2>&1 </dev/null ||
        unavailable "debootstrap is missing: apt-get install debootstrap"
}

# Print the first of this machine's own mirrors that has forky.
mirror() {
    local answer=$FORKY/InRelease uri
    for uri in $(apt-get indextargets --format '$(REPO_URI)' | grep -E '^https?:' | sort -u); do
        rm -f "$answer"
        if /usr/lib/apt/apt-helper -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
            download-file "${uri%/}/dists/forky/InRelease" "$answer" >/dev/null 2>&1; then
            echo "${uri%/}"
            return
        fi
    done
    return 1
}

make_root() {
    local from
    [ -d "$ROOT" ] && return
    need_debootstrap
    from=$(mirror) || unavailable "no mirror that apt knows has forky, or none can be reached"
    say "making a Debian forky root, in about a minute"
    rm -rf --one-file-system "$ROOT.part"
    mkdir -p "$FORKY/debs" # what an interrupted run has fetched serves the next one
    [ -n "${http_proxy:-}" ] || eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    export http_proxy # debootstrap asks apt for a detected proxy only, not for a fixed one
    # A debootstrap older than forky has no script of that name; sid's is the same.
    quietly $ISOLATED debootstrap --variant=minbase --cache-dir="$FORKY/debs" \
        forky "$ROOT.part" "$from" sid || fail "debootstrap failed"
    # Outside's proxies, and what it makes of a Release file's dates.
    apt-config dump | grep -E '^Acquire::(https?::Proxy[: ]|Check-)' \
        >"$ROOT.part/etc/apt/apt.conf.d/90outside" || true
    mv "$ROOT.part" "$ROOT"
    rm -rf "$FORKY/debs"
}

in_root() { chroot "$ROOT" "$@"; }

mount_all() {
    local file
    mount --rbind /proc "$ROOT/proc"
    mount --rbind /sys "$ROOT/sys"
    mount --rbind /dev "$ROOT/dev"
    for file in resolv.conf hosts; do
        [ -e "/etc/$file" ] || continue
        touch "$ROOT/etc/$file"
        mount --bind "/etc/$file" "$ROOT/etc/$file"
    done
    mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
    mount -t tmpfs tmpfs "$ROOT/mnt"
}

copy_in() {
    local uv certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} settings
    uv=$(PATH="$CHECKOUT/.tools/bin:$PATH" command -v uv) || fail "uv is missing: make .tools/bin/uv"
    mkdir -p "$ROOT/mnt/bin" "$ROOT/mnt/checkout" "$ROOT/mnt/home/.config/uv"
    cp "$uv" "$ROOT/mnt/bin/uv"
    [ ! -f "$certificates" ] || cp "$certificates" "$ROOT/mnt/certificates.pem"
    for settings in /etc/uv/uv.toml "${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml"; do
        [ ! -f "$settings" ] || cp "$settings" "$ROOT/mnt/home/.config/uv/uv.toml"
    done
    # A copy: what the suite and the builds write must not land in the checkout.
    tar -C "$CHECKOUT" --exclude=__pycache__ --exclude=build --exclude='*.egg-info' \
        --exclude='*.so' -cf - $COPIED | tar -C "$ROOT/mnt/checkout" --no-same-owner -xf -
}

installed() {
    local states
    states=$(in_root dpkg-query --show --showformat '${db:Status-Status}\n' "$@" 2>/dev/null) &&
        ! grep -qvx installed <<<"$states"
}

add_packages() {
    local python=python$1 wanted
    wanted="$PACKAGES $python lib$python-dev"
    installed $wanted && return
    say "adding $python"
    export DEBIAN_FRONTEND=noninteractive
    local apt="in_root apt-get --yes --no-install-recommends
        -o Acquire::https::CAInfo=/mnt/certificates.pem -o Dpkg::Options::=--force-unsafe-io"
    quietly in_root dpkg --configure -a || fail "dpkg cannot finish what was interrupted"
    quietly $apt update || unavailable "the mirror of .forky/root cannot be reached"
    in_root apt-cache show "$python" >/dev/null 2>&1 || unavailable "forky has no $python"
    quietly $apt --fix-broken install $wanted || fail "apt-get install failed"
    quietly in_root apt-get clean
}

run_suite() {
    local name given=()
    for name in $PASSED; do
        [ -z "${!name:-}" ] || given+=("$name=${!name}")
    done
    [ ! -f "$ROOT/mnt/certificates.pem" ] || given+=(SSL_CERT_FILE=/mnt/certificates.pem)
    in_root /usr/bin/env -i HOME=/mnt/home LANG=C.UTF-8 UV_PYTHON_DOWNLOADS=never \
        UV_CACHE_DIR=/var/cache/uv PATH=/mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin "${given[@]}" \
        bash /mnt/checkout/tools/forky-suite.sh "$@"
}

remove() {
    [ -d "$FORKY" ] || return 0
    if grep -qF " $FORKY/" /proc/self/mountinfo; then
        fail "something is mounted in .forky; it stays: see /proc/self/mountinfo"
    fi
    rm -rf --one-file-system "$FORKY"
}

locked() {
    exec 9>"$FORKY/lock"
    flock 9
    "$@"
    exec 9>&-
}

case ${1:-} in
remove)
    remove
    ;;
[0-9].[0-9]*)
    need_privileges
    mkdir -p "$FORKY"
    locked make_root
    exec $ISOLATED bash "$0" --isolated "$@"
    ;;
--isolated)
    shift
    mount_all
    copy_in
    locked add_packages "$1"
    run_suite "$@"
    ;;
*)
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
    ;;
esac
