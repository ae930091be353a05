#!/usr/bin/env bash
# Measures how long a report on very many requests takes: from Parquet to CSV and the whole PDF, beside the method of lmcache-tests (pandas and
# matplotlib) on the same rows. Two engines, ten context lengths, so 20 × TRIALS turns. lmcache-tests draws two pages for each context length and trial,
# ours does not draw more for more trials, so the ratio depends on how the requests are spread.
# Usage: ci/bench-report.sh [REQUESTS=1000000 [TRIALS=50 [AT_LEAST]]]    fails when ours is not AT_LEAST times as fast
set -euo pipefail
cd "$(dirname "$0")/.."

requests=${1:-1000000}
trials=${2:-50}
at_least=${3:-0}
pins=(pandas==2.3.3 matplotlib==3.10.7)
venv="${KVBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbench}/bench-report-$(printf '%s ' "${pins[@]}" | sha256sum | cut -c1-12)"
if ! "$venv/bin/python" -c 'import matplotlib, pandas' >/dev/null 2>&1; then
    python3 -m venv --clear "$venv" || { echo "cannot make a virtual environment: python3 with its venv module is needed (Debian: apt-get install python3-venv)" >&2; exit 3; }
    "$venv/bin/pip" --quiet --disable-pip-version-check install "${pins[@]}"
fi

cargo build --quiet --release --locked --workspace --bins --example synthetic_run
target=${CARGO_TARGET_DIR:-target}/release
folder=$(mktemp -d "${TMPDIR:-/tmp}/bench-report.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"$target/examples/synthetic_run" "$folder" "$requests" "$trials"

timed() { "$venv/bin/python" ci/bench-report/timed.py "$@"; }
read -r ours ours_cpu ours_mb <<<"$(timed "$target/report" --quiet "$folder")"
# A file of lmcache-tests has these ten columns and no others. Reading it once also means that nobody pays for loading libraries from the disk.
"$venv/bin/python" -c 'import sys, matplotlib.pyplot, pandas; pandas.read_csv(sys.argv[1], usecols=range(10)).to_csv(sys.argv[2], index=False)' \
    "$folder/requests.csv" "$folder/theirs.csv"
read -r theirs theirs_cpu theirs_mb <<<"$(timed "$venv/bin/python" ci/bench-report/predecessor_method.py "$folder/theirs.csv" "$folder/theirs.pdf")"

printf '%s requests, %s trials\n' "$requests" "$trials"
printf '%-40s %8s s %8s s of CPU %6s MB\n' \
    "Parquet to CSV, PDF, Markdown, JUnit" "$ours" "$ours_cpu" "$ours_mb" \
    "CSV to PDF with pandas and matplotlib" "$theirs" "$theirs_cpu" "$theirs_mb"
awk -v ours="$ours" -v theirs="$theirs" -v least="$at_least" 'BEGIN { printf "%.1f times as fast\n", theirs / ours; exit theirs < least * ours }'
