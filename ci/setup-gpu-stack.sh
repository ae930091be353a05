#!/usr/bin/env bash
# vLLM and LMCache for NVIDIA GPUs in one virtual environment, Redis, and a model directory without weights, in a cache folder outside the
# clone. For hosts that reach a package index; for the others there is ci/offline-bundle.sh.
#
#   ci/setup-gpu-stack.sh
#
# The folder is ${KVBENCH_CACHE:-${XDG_CACHE_HOME:-~/.cache}/kvbench}/gpu-stack, a link to one named after the pinned list; the profiles `gpu`
# and `gpu-short` look there. Inside: venv/bin/python, model/, bin/redis-server, logs/. It needs Python 3.12, 25 GiB of disk while it works,
# and a driver for CUDA 13.
#
# The pins are resolved for Python 3.12 on Linux x86_64, so they are known to fit each other and to be there as wheels. The installation itself
# has not been tried. What ran on GPUs is ci/gpu-stack/bundle.txt, whose versions are here too (but for apache-tvm-ffi's), with a host's own PyTorch.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/gpu-stack
# shellcheck source=stack-common.sh
. "$here/../stack-common.sh"
begun=$SECONDS

for argument in "$@"; do
    case $argument in
        -h | --help)
            usage
            exit 0
            ;;
        *) fail "unknown argument $argument (there is none)" ;;
    esac
done

on_linux_x86_64

# Without weights the engine makes random ones: times are real, texts are not. Whoever has the weights names their folder instead: `-m DIR`.
make_model() {
    local made_by
    made_by=$(cat "$here/../cpu-stack/make_model.py" "$here/make_model.py" | sha256sum)
    [ "$made_by" = "$(cat "$stack/model.made-by" 2>/dev/null)" ] && return
    say "the model directory"
    "$stack/venv/bin/python" "$here/make_model.py" "$stack/model"
    "$stack/venv/bin/python" "$here/make_model.py" --check "$stack/model" 2>"$stack/logs/model.log" | sed 's/^/    /' || {
        tail -n 20 "$stack/logs/model.log" >&2
        fail "the model's tokenizer is not understood"
    }
    printf '%s\n' "$made_by" >"$stack/model.made-by"
}

key=$(grep -F '==' "$here/requirements.txt" | sha256sum | cut -c1-12)
stack=$cache/gpu-stack-$key
mkdir -p "$stack/logs"
take_turn gpu-stack

rm -rf "$stack/tmp"
mkdir "$stack/tmp"
install_packages "$stack" "$here/requirements.txt" 25 3.12
make_model
link_redis "$stack"
rm -rf "$stack/tmp"
link_stack gpu-stack "$stack"

versions_of "$stack/venv/bin/python" torch transformers vllm lmcache
printf 'redis-server  %s\n' "$("$stack/bin/redis-server" --version | sed -n 's/.* v=\([^ ]*\).*/\1/p')"
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | sed 's/^/gpu           /' || say "gpu           none is seen here: nvidia-smi does not answer"
say "in $cache/gpu-stack -> gpu-stack-$key, $(size_of "$stack"), after $((SECONDS - begun)) s"
name_older gpu-stack "$stack"
