#!/usr/bin/env bash
# Reads our JUnit file with a consumer that is not ours, junitparser: failures, errors and skips have to arrive as such.
# Usage: ci/check-junit.sh [FILE]    without a file: one on made-up runs of every kind
set -euo pipefail
cd "$(dirname "$0")/.."

version=5.0.3
venv="${KVBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbench}/junitparser-$version"
if ! "$venv/bin/python" -c 'import junitparser' >/dev/null 2>&1; then
    python3 -m venv --clear "$venv" || { echo "cannot make a virtual environment: python3 with its venv module is needed (Debian: apt-get install python3-venv)" >&2; exit 3; }
    "$venv/bin/pip" --quiet --disable-pip-version-check install "junitparser==$version"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
file=${1:-$folder/several.xml}
if [ -z "${1:-}" ]; then
    cargo build --quiet --release --locked --workspace --example gallery
    "${CARGO_TARGET_DIR:-target}/release/examples/gallery" "$folder"
fi
"$venv/bin/python" ci/check-junit.py "$file"
