#!/usr/bin/env bash
# Collect an archive from every pod that a label selects:
#   bash collect.sh app=router incident-7 [OPTIONS OF endoscope collect]
# The secret is that of ENDOSCOPE_SECRET.
set -eu

selector=$1 folder=$2
shift 2
forwards=()
trap 'kill "${forwards[@]}" 2>/dev/null || true' EXIT

port=18089
urls=()
for pod in $(kubectl get pods --selector "$selector" --field-selector status.phase=Running --output name); do
    kubectl port-forward "$pod" "$port:8089" >/dev/null &
    forwards+=($!)
    urls+=("http://127.0.0.1:$port")
    echo "$pod: http://127.0.0.1:$port"
    port=$((port + 1))
done
[ ${#urls[@]} -gt 0 ] || { echo "no running pod has the label $selector" >&2; exit 1; }
# A port that is not forwarded yet is asked again, as `--retries` says.
endoscope collect "${urls[@]}" --output "$folder" "$@"
