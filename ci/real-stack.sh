#!/usr/bin/env bash
# Real vLLM, LMCache and Redis on a CPU: installs the stack where it is missing, measures, and disturbs runs to see what is left of them.
#
#   ci/real-stack.sh            all of it
#   ci/real-stack.sh --quick    the measurements that have to be there at every change
#
# Exit code 75 when the stack is not there and cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

# Large effects: they have to be seen.
strict=(prefix_caching local_cpu redis local_disk vary_length)
# Small ones, which a few trials on a busy host may leave undecided; what they rule out is that the bound is broken.
open=(miss_only multi_turn)
disturb=
if [ "${1:-}" != --quick ]; then
    strict+=(working_set)
    disturb=1
else
    echo "left out of --quick: working_set, because contexts that do not fit a tier take ten minutes on a CPU; cache_compatibility, because its bound was"
    echo "not met at 256 tokens on a CPU (1.35 [1.23, 1.49], at most 1.1), which is a finding about the engine and no reason to refuse a change"
fi

# The run itself proves that the stack answers.
bash ci/setup-cpu-stack.sh --no-check || {
    echo "the CPU stack could not be installed: nothing was measured on real engines" >&2
    exit 75
}
cargo build --release --locked
target=${CARGO_TARGET_DIR:-target}
outputs=$target/real-stack

# What a green exit code alone would not show: it was vLLM, and requests were answered.
answered() {
    local folder=$outputs/$1/latest
    grep -q '"vllm":' "$folder/manifest.json" || { echo "the manifest of $1 names no version of vLLM" >&2; return 1; }
    grep -q '"outcome":"ok"' "$folder/rows.jsonl" || { echo "no request of $1 was answered" >&2; return 1; }
}

# measure FLAGS SCENARIO…: in one invocation, so that engines without a cache are shared.
measure() {
    local flags=$1 code attempt scenario verdict left again
    shift
    left=("$@")
    # A host that is busy elsewhere starves the client, which says so (6), or leaves a bound undecided (7): those are measured again, and the third
    # time counts. What is not met is not measured again.
    for attempt in 1 2 3; do
        code=0
        # shellcheck disable=SC2086 # no flag is no argument
        "$target/release/runner" --profile cpu-short $flags --output-dir "$outputs" "${left[@]/#/scenarios/}" || code=$?
        [ "$code" -eq 6 ] || [ "$code" -eq 7 ] || break
        again=()
        for scenario in "${left[@]}"; do
            verdict=0
            # shellcheck disable=SC2086
            "$target/release/report" --quiet $flags "$outputs/${scenario%.toml}/latest" >/dev/null || verdict=$?
            [ "$verdict" -ne 4 ] || return 4
            [ "$verdict" -eq 0 ] || again+=("$scenario")
        done
        left=("${again[@]}")
        echo "INVALID or undecided, attempt $attempt of 3: ${left[*]}"
    done
    for scenario in "$@"; do answered "${scenario%.toml}"; done
    return "$code"
}

"$target/release/runner" doctor --profile cpu-short
measure --strict "${strict[@]/%/.toml}"
measure "" "${open[@]/%/.toml}"

[ -z "$disturb" ] || KVBENCH_REAL_STACK=1 cargo test --release --workspace --locked --test end_to_end real_stack -- --nocapture --test-threads 1
