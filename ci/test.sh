#!/usr/bin/env bash
# Every test, by the command that README.md gives.
set -euo pipefail
cd "$(dirname "$0")/.."

command=$(sed -n 's/^\(cargo test .*\)$/\1/p' README.md | head -n 1)
[ -n "$command" ] || { echo "README.md names no test command" >&2; exit 1; }
echo "+ $command"
bash -c "$command"
