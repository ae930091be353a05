#!/usr/bin/env bash
# All scenarios under one profile: one merged PDF, one JUnit file, one Markdown summary. The exit code is the worst of all verdicts.
#
#   ci/nightly.sh PROFILE [OUTPUTS]    PROFILE: builtin, cpu, cpu-short, gpu, gpu-short or a file; OUTPUTS: `nightly` by default
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:?a profile: builtin, cpu, cpu-short, gpu, gpu-short or a file}
outputs=${2:-nightly}
cargo build --release --locked
target=${CARGO_TARGET_DIR:-target}

code=0
"$target/release/runner" --profile "$profile" --output-dir "$outputs" --strict 'scenarios/*.toml' || code=$?
# What was measured is worth a report, whatever came of it.
if compgen -G "$outputs/*/latest" >/dev/null; then
    "$target/release/report" "$outputs"/*/latest -o "$outputs/nightly.pdf" --junit "$outputs/nightly.xml" --markdown "$outputs/nightly.md" >/dev/null || true
    echo "$outputs/nightly.pdf, nightly.xml, nightly.md"
fi
exit "$code"
