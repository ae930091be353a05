#!/usr/bin/env bash
# Real vLLM and LMCache on a CPU: installs the stack where it is missing, measures, and disturbs runs to see what is left of them.
#
#   ci/real-stack.sh            all of it
#   ci/real-stack.sh --quick    the two measurements that have to be there at every change
#
# Exit code 75 when the stack is not there and cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

scenarios=(prefix_caching local_cpu redis multi_turn miss_only local_disk cache_compatibility)
disturb=1
if [ "${1:-}" = --quick ]; then
    scenarios=(prefix_caching local_cpu)
    disturb=
fi

# The run itself proves that the stack answers.
bash ci/setup-cpu-stack.sh --no-check || {
    echo "the CPU stack could not be installed: nothing was measured on real engines" >&2
    exit 75
}
cargo build --release --locked
target=${CARGO_TARGET_DIR:-target}
outputs=$target/real-stack

"$target/release/runner" doctor --profile cpu-short
worst=0
for scenario in "${scenarios[@]}"; do
    # A host that is busy elsewhere starves the client, which says so (6): the third time it counts.
    for attempt in 1 2 3; do
        code=0
        "$target/release/runner" --profile cpu-short --output-dir "$outputs" "scenarios/$scenario.toml" || code=$?
        [ "$code" -eq 6 ] || break
        echo "$scenario is INVALID, attempt $attempt of 3"
    done
    [ "$code" -eq 0 ] || worst=$code
    # What a green exit code alone would not show: it was vLLM, and requests were answered.
    folder=$outputs/$scenario/latest
    grep -q '"vllm":' "$folder/manifest.json" || { echo "the manifest of $scenario names no version of vLLM" >&2; exit 1; }
    grep -q '"outcome":"ok"' "$folder/rows.jsonl" || { echo "no request of $scenario was answered" >&2; exit 1; }
done
[ "$worst" -eq 0 ] || exit "$worst"

[ -z "$disturb" ] || KVBENCH_REAL_STACK=1 cargo test --release --workspace --locked --test end_to_end real_stack -- --nocapture
