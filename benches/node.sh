#!/usr/bin/env bash
# Measures one node: every command of docs/performance.md, one after the other, each report as DIR/<name>.json.
#
#   benches/node.sh DIR [SECONDS]
#
# SECONDS is how long each load is measured, 30 unless given. LONGHAUL names the binary, SCRATCH the directory on whose
# disk the servers keep their data. Nothing else should run on the machine. Goes on after a failure and says at the end
# what has failed.
set -uo pipefail

out=${1:?usage: benches/node.sh DIR [SECONDS]}
seconds=${2:-30}
longhaul=${LONGHAUL:-longhaul}
scratch=(${SCRATCH:+--scratch-dir "$SCRATCH"})
mkdir -p "$out"
failed=()

# measure NAME ARGUMENT...
measure() {
    local name=$1
    shift
    echo "== $name: longhaul bench $*" >&2
    if ! "$longhaul" bench "$@" "${scratch[@]}" --output json >"$out/$name.json"; then
        failed+=("$name")
    fi
}

load=(--spawn --duration "${seconds}s")
measure idle idle
measure hello5-alone run hello5 --concurrency 1 "${load[@]}"
measure hello5 run hello5 --concurrency 256 "${load[@]}"
measure fanout run fanout --width 10000 --orchestrations 1 --worker-slots 256 --spawn
measure entity-signals run entity-signals --concurrency 256 "${load[@]}"
measure entity-signals-open run entity-signals --rate 2000 --concurrency 256 "${load[@]}"
measure entity-calls run entity-calls 5 --concurrency 256 --entities 64 "${load[@]}"
measure restart restart --live 100000
measure sequence sequence --steps 5000 --base-steps 50 --rounds 3
measure stored stored --instances 1000000 --live 100000 --duration "${seconds}s"

if ((${#failed[@]} > 0)); then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
