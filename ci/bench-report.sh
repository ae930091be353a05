#!/usr/bin/env bash
# Measures how long a report on very many requests takes: from Parquet to CSV and the whole PDF, beside the method of lmcache-tests (pandas and
# matplotlib) on the same rows. Fails when ours is not at least ten times as fast.
# Usage: ci/bench-report.sh [REQUESTS=1000000]
set -euo pipefail
cd "$(dirname "$0")/.."

requests=${1:-1000000}
pins=(pandas==2.3.3 matplotlib==3.10.7)
venv="${KVBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbench}/bench-report-$(printf '%s ' "${pins[@]}" | sha256sum | cut -c1-12)"
if ! "$venv/bin/python" -c 'import matplotlib, pandas' >/dev/null 2>&1; then
    python3 -m venv --clear "$venv" || { echo "cannot make a virtual environment: python3 with its venv module is needed (Debian: apt-get install python3-venv)" >&2; exit 3; }
    "$venv/bin/pip" --quiet --disable-pip-version-check install "${pins[@]}"
fi

cargo build --release --locked --workspace --bins --example synthetic_run
target=${CARGO_TARGET_DIR:-target}/release
folder=$(mktemp -d "${TMPDIR:-/tmp}/bench-report.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"$target/examples/synthetic_run" "$folder" "$requests"

timed() { "$venv/bin/python" ci/bench-report/timed.py "$@"; }
read -r ours ours_mb <<<"$(timed "$target/report" --quiet "$folder")"
# Once before, so that neither pays for reading its libraries from the disk.
"$venv/bin/python" -c 'import matplotlib.pyplot, pandas'
read -r theirs theirs_mb <<<"$(timed "$venv/bin/python" ci/bench-report/predecessor_method.py "$folder/requests.csv" "$folder/theirs.pdf")"

printf '%s requests\n' "$requests"
printf '%-42s %8s s %8s MB\n' \
    "Parquet to CSV, PDF, Markdown, JUnit" "$ours" "$ours_mb" \
    "CSV to PDF with pandas and matplotlib" "$theirs" "$theirs_mb"
awk -v ours="$ours" -v theirs="$theirs" 'BEGIN { printf "%.1f times as fast\n", theirs / ours; exit theirs < 10 * ours }'
