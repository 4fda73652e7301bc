#!/usr/bin/env bash
# Kills a server under load, over and over, and proves afterwards that nothing was lost and nothing happened twice.
#
#   run.sh [--rounds N] [--seed S]
#
# LONGHAUL_BIN names the binary (default: this checkout's release build, else its debug build).
# The last line printed is "N passed, M failed", counting one for each invariant.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$("$here/../sdk/python/venv.sh")"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here:$here/../sdk/python"
exec "$python" "$here/crash_loop.py" "$@"
