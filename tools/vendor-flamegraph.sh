#!/usr/bin/env bash
# Bundle the flame-graph page's library anew, from the versions that tools/flamegraph pins:
#   tools/vendor-flamegraph.sh
# It needs npm and a network, and only whoever changes a version needs to run it: what it
# writes is committed. To take other versions, edit package.json, and then
#   npm install --package-lock-only --omit-lockfile-registry-resolved
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd)
vendored=$checkout/packages/profiles/src/endoscope_profiles/flamegraph_page/vendored
bundle=d3-flame-graph.min.js
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$checkout"/tools/flamegraph/* "$work"
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund

# The page has a style of its own: the library's sheet stays out.
node_modules/.bin/esbuild library.js --bundle --minify --format=iife \
    --global-name=flameGraphLibrary --target=es2020 --loader:.css=empty \
    --legal-comments=none --metafile=inputs.json --outfile=$bundle

# Every package that the bundle has something of, by the bundler's own account.
packages=$(grep -o 'node_modules/[^/"]*' inputs.json | sort -u)
for package in $packages; do
    version=$(node -p "require('./$package/package.json').version")
    printf '%s %s\n\n' "${package#node_modules/}" "$version"
    cat "$package/LICENSE"
    printf '\n%s\n\n' ------------------------------------------------------------------------
done >LICENSE

mkdir -p "$vendored"
cp $bundle LICENSE "$vendored"
cd "$vendored"
sha256sum $bundle LICENSE >SHA256SUMS
