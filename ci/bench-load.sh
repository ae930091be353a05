#!/usr/bin/env bash
# The runner against a minimal client (runner/examples/minimal_client.rs) on the same paced engine: CPU, lateness, TTFT error, memory.
# The engine has core 0, the client core 1. Needs two free cores: whatever else runs on them is in the figures.
#
#   ci/bench-load.sh                 everything, about 7 minutes
#   ci/bench-load.sh --quick         what a change is likely to break, under a minute; the last line is for programs
#   ci/bench-load.sh --only NAME…    these cells
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --workspace --locked --bins --example minimal_client
exec python3 ci/bench-load/measure.py --binaries "${CARGO_TARGET_DIR:-target}/release" "$@"
