#!/usr/bin/env bash
# Runs the JavaScript scenarios against a real server. Arguments go to `node --test`, e.g. `--test-name-pattern timer`.
# LONGHAUL_BIN names the binary (default: this checkout's release build, else its debug build).
# Packages are installed once per content of package-lock.json, in ${LONGHAUL_CACHE:-~/.cache/longhaul}.
# The last line printed is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache="${LONGHAUL_CACHE:-$HOME/.cache/longhaul}"
key="$({ node --version; cat package-lock.json; } | sha256sum | cut -c1-16)"
modules="$cache/js-$key"

mkdir -p "$cache"
exec 9>"$modules.lock"
flock 9
if [ ! -e "$modules/.complete" ]; then
    rm -rf "$modules"
    mkdir -p "$modules"
    cp package.json package-lock.json "$modules/"
    # No package here needs its install script, so none gets to run.
    (cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    touch "$modules/.complete"
fi
flock -u 9
export LONGHAUL_JS_MODULES="$modules"

summary="$(mktemp)"
trap 'rm -f "$summary"' EXIT
status=0
# More files at once than cores: the scenarios wait far more than they compute.
node --test --test-concurrency="${LONGHAUL_TEST_JOBS:-4}" \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=./support/summary.mjs --test-reporter-destination="$summary" \
    "$@" scenarios/*.test.mjs || status=$?
cat "$summary"
exit "$status"
