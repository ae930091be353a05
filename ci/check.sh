#!/usr/bin/env bash
# Formatting and lints. Lints run as a build with clippy as the compiler, so that no dependency is compiled a second time.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
# Touching the sources makes an unchanged crate speak again: cargo replays warnings, but not with other lint levels.
RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS="-Dwarnings__CLIPPY_HACKERY__" \
    cargo build --release --workspace --all-targets --locked
bash -n ci/*.sh .ci/run
# Help texts name them as commands.
for script in ci/*.sh; do
    case $script in ci/stack-common.sh) ;; *) [ -x "$script" ] || { echo "$script is not executable"; exit 1; } ;; esac
done
echo "formatting and lints: clean"
