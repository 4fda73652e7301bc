#!/usr/bin/env bash
# Runs the Go scenarios against a real server. Arguments go to `go test`, e.g. `-run Timer`.
# LONGHAUL_BIN names the binary (default: this checkout's release build, else its debug build).
# The last line printed is "N passed, M failed", or "0 passed, 0 failed, 1 skipped" if the SDK cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! go mod download github.com/microsoft/durabletask-go >"$log" 2>&1; then
    cat "$log"
    echo "SKIPPED: the module proxy does not serve github.com/microsoft/durabletask-go"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
status=0
# More scenarios at once than cores: they wait far more than they compute.
go test -v -count=1 -timeout 180s -parallel "${LONGHAUL_TEST_JOBS:-4}" "$@" ./scenarios >"$log" 2>&1 || status=$?
grep -vE '^ *=== (RUN|PAUSE|CONT)|^ *--- PASS' "$log" || true
passed="$(grep -cE '^--- PASS' "$log" || true)"
failed="$(grep -cE '^--- FAIL' "$log" || true)"
# A suite that did not compile, or broke off, has failed without naming a scenario.
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed"
exit "$status"
