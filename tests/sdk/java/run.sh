#!/usr/bin/env bash
# Runs the Java scenarios against a real server. Arguments go to Maven, e.g. `-Dtest='Timer*'` or
# `-Dtest='TimerScenarios#a_timer_in_the_past*'`.
# LONGHAUL_BIN names the binary (default: this checkout's release build, else its debug build).
# Packages are kept where Maven keeps them for everybody; once they are there, nothing is asked of the registry.
# The last line printed is "N passed, M failed", or "0 passed, 0 failed, 1 skipped" if there is no registry to ask.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
status=0
# More subjects at once than cores: the scenarios wait far more than they compute.
mvn --batch-mode --quiet test \
    -Dlonghaul.summary="$scratch/summary" \
    -Djunit.jupiter.execution.parallel.config.fixed.parallelism="${LONGHAUL_TEST_JOBS:-4}" \
    "$@" 2>&1 | tee "$scratch/output" || status=$?
# Maven may end in the middle of a line, with the code that resets colours.
echo
if [ -s "$scratch/summary" ]; then
    cat "$scratch/summary"
    exit "$status"
fi
# Maven's words for a registry that did not answer, and for one it was told not to ask; a package that the registry
# does not have is our mistake.
if grep -qE '(Could not|Failure to) transfer|in offline mode' "$scratch/output"; then
    echo "SKIPPED: the Maven registry cannot be reached and not every package is in the local repository"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
exit "$((status == 0 ? 1 : status))"
