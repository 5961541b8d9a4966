#!/usr/bin/env bash
# The whole road in one minute: run the leaky service with diagnostics inside it, send it
# traffic, take heap dumps, download the archive, look into it, and stop what was started.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
results=${DEMO_DIRECTORY:-$PWD/.demo}
port=${DEMO_PORT:-8000}
listen=${DEMO_LISTEN:-127.0.0.1:8089}
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
step() { printf '\n$ %s\n' "$*"; "$@"; }

rm -rf "$results" && mkdir -p "$results"
DIAGNOSTICS_SECRET=$(python -c 'import secrets; print(secrets.token_urlsafe(24))')
export DIAGNOSTICS_SECRET
export ENDOSCOPE_CONFIG=$here/config.yaml
export ENDOSCOPE_LISTEN=$listen
export ENDOSCOPE_OUTPUT_DIRECTORY=$results/output

say "Is everything there?"
step endoscope doctor || true

say "Start the leaky service, with diagnostics inside it"
echo "\$ endoscope run -- python -m leaky_service --port $port"
endoscope run -- python -m leaky_service --port "$port" >"$results/service.log" 2>&1 &
pids+=($!)
python -m leaky_service.traffic --url "http://127.0.0.1:$port" --seconds 3

say "Switch heap profiling on, send traffic, and take a dump now and then"
step endoscope start
for _ in 1 2 3; do
    step python -m leaky_service.traffic --url "http://127.0.0.1:$port" --seconds 4
    step endoscope dump
done

say "Which functions hold the memory?"
step endoscope top --limit 3

say "Which ones grow from dump to dump?"
step endoscope report --growth --limit 2

say "See where things stand"
step endoscope status
step endoscope dumps

say "One archive with everything; first, what would be in it and be masked in it"
step endoscope export --preview
step endoscope export --output "$results"
archive=$(ls "$results"/*.tar.gz)

say "Is it whole? What does it say?"
step endoscope verify "$archive"
step endoscope inspect "$archive"

say "Its newest dump as a flame graph, for a browser, and as a table"
step endoscope report "$archive" --format flamegraph --output "$results"
step endoscope report "$archive" --limit 4

if command -v jeprof >/dev/null; then
    say "The same by jemalloc's own tool"
    dump=$(ls "$results"/output/memory/*.prof | tail -n 1)
    printf '$ jeprof --text %s\n' "$dump"
    jeprof --text "$dump" 2>/dev/null | head -n 8
fi

say "Done: the service is being stopped. The archive and the flame graph lie at"
echo "$archive"
ls "$results"/*.html
