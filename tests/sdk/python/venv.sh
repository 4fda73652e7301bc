#!/usr/bin/env bash
# Prints the path of a Python that has requirements.txt installed; makes it on first use.
# One environment per content of requirements.txt, kept in ${LONGHAUL_CACHE:-~/.cache/longhaul}.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${LONGHAUL_CACHE:-$HOME/.cache/longhaul}"
python="${PYTHON:-python3}"
key="$({ "$python" -c 'import sys; print(sys.version)'; cat "$here/requirements.txt"; } | sha256sum | cut -c1-16)"
venv="$cache/venv-$key"

mkdir -p "$cache"
exec 9>"$venv.lock"
flock 9
if [ ! -e "$venv/.complete" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    touch "$venv/.complete"
fi
echo "$venv/bin/python"
