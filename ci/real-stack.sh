#!/usr/bin/env bash
# Real vLLM on a CPU: installs the stack where it is missing, measures prefix caching, and disturbs runs to see what is left of them.
#
#   ci/real-stack.sh            all of it
#   ci/real-stack.sh --quick    only the measurement
set -euo pipefail
cd "$(dirname "$0")/.."

quick=
[ "${1:-}" = --quick ] && quick=1

# The run itself proves that the stack answers.
bash ci/setup-cpu-stack.sh --no-check
cargo build --release --locked
target=${CARGO_TARGET_DIR:-target}
runner=$target/release/runner
outputs=$target/real-stack

"$runner" doctor --profile cpu
"$runner" --profile cpu --output-dir "$outputs" --strict scenarios/prefix_caching.toml

# What a green exit code alone would not show: it was vLLM, and its own counters moved.
folder=$outputs/prefix_caching/latest
grep -q '"vllm":' "$folder/manifest.json" || { echo "the manifest names no version of vLLM" >&2; exit 1; }
grep -q '"outcome":"ok"' "$folder/rows.jsonl" || { echo "no request was answered" >&2; exit 1; }

[ -n "$quick" ] || KVBENCH_REAL_STACK=1 cargo test --release --workspace --locked --test end_to_end real_vllm -- --nocapture
