#!/usr/bin/env bash
# Runs the Python scenarios against a real server. Arguments go to pytest, e.g. `-k timer` or `-n 0`.
# LONGHAUL_BIN names the binary (default: this checkout's release build, else its debug build).
# The last line printed is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python="$(./venv.sh)"
export PYTHONDONTWRITEBYTECODE=1
# More processes than cores: the scenarios wait far more than they compute.
exec "$python" -m pytest -n "${LONGHAUL_TEST_JOBS:-4}" "$@"
