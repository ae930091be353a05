# What the scripts that make an environment share; sourced, not run. Each has `set -euo pipefail` and its usage in the comment before it.

# Where everything that is fetched or made goes: outside the clone.
cache=${KVBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbench}
program=$(basename "$0" .sh)
ticker=

say() { printf '%s\n' "$*"; }

fail() {
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

# The comment at the head of the script.
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }

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

on_linux_x86_64() {
    [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || fail "the pinned vLLM is built for Linux on x86_64, this is $(uname -s) on $(uname -m)"
}

# The first interpreter of the given versions (3.11 3.12) that can make a virtual environment; Debian ships that part on its own.
find_python() {
    local version candidate candidates=()
    for version in "$@"; do
        candidates+=("python$version")
        if command -v pyenv >/dev/null; then candidates+=("$(pyenv root)"/versions/"$version".*/bin/"python$version"); fi
    done
    candidates+=(python3)
    for candidate in "${candidates[@]}"; do
        # By running it, because a version manager's shim is there also where the version is not.
        "$candidate" - "$@" 2>/dev/null <<'END' && return
import sys, ensurepip, venv
"%d.%d" % sys.version_info[:2] in sys.argv[1:] or sys.exit(1)
print(sys.executable)
END
    done
    return 1
}

# Two runs at once: the second waits, then finds the work done. What the script starts inherits the lock, so that it is held as long as
# anything writes there, should the script be killed.
take_turn() {
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    if ! flock -n 9; then
        say "another run is at work in $cache: waiting for it"
        flock 9
    fi
}

# Older folders of the same kind are named, and left: another clone may need them.
name_older() {
    local kind=$1 used=$2 other
    for other in "$cache/$kind"-*; do
        [ "$other" = "$used" ] || say "an older one is in $other, $(size_of "$other"): rm -r it when no clone needs it"
    done
}

# The distribution's Redis, unpacked into a folder and not installed: an installed one is a service that starts at once, and needs root.
# One that is installed already is taken as it is. Sets redis_server, and redis_libraries to where the unpacked one finds its own.
fetch_redis() {
    local folder=$1 log=$2 packages arguments package
    local install="install redis-server (Debian and Ubuntu: \`sudo apt-get install redis-server\`) and run this again"
    redis_libraries=
    if redis_server=$(command -v redis-server); then return; fi
    redis_server=$folder/root/usr/bin/redis-server
    redis_libraries=$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu
    LD_LIBRARY_PATH=$redis_libraries "$redis_server" --version >/dev/null 2>&1 && return
    rm -rf "${folder:?}"
    mkdir -p "$folder/packages"
    command -v apt-get >/dev/null || fail "there is no redis-server and no apt-get to fetch one with: $install"
    say "redis-server, from the distribution"
    # A simulated installation names the package and what it needs that this host lacks.
    if ! packages=$(redis_packages); then
        [ "$(id -u)" -eq 0 ] || fail "apt-get does not know redis-server here: $install"
        quietly "$log" "$folder" apt-get update
        packages=$(redis_packages) || fail "apt-get does not know redis-server, not even after \`apt-get update\`: $install"
    fi
    read -r -d '' -a arguments <<<"$packages" || true
    # As root apt-get would drop to a user of its own, who may not write here.
    quietly "$log" "$folder" env -C "$folder/packages" apt-get -o APT::Sandbox::User=root download "${arguments[@]}"
    for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
    rm -r "$folder/packages"
    LD_LIBRARY_PATH=$redis_libraries "$redis_server" --version >/dev/null || fail "the unpacked redis-server does not run: $install"
}

redis_packages() {
    apt-get --simulate --no-install-recommends install redis-server 2>/dev/null | awk '/^Inst / { print $2; some = 1 } END { exit !some }'
}

# bin/redis-server of a stack: the installed one, or a script that starts the unpacked one.
link_redis() {
    local stack=$1
    "$stack/bin/redis-server" --version >/dev/null 2>&1 && return
    rm -rf "${stack:?}/bin"
    mkdir "$stack/bin"
    fetch_redis "$stack/redis" "$stack/logs/apt.log"
    if [ -z "$redis_libraries" ]; then
        ln -s "$redis_server" "$stack/bin/redis-server"
        return
    fi
    # exec, so that whoever starts this holds the server itself.
    cat >"$stack/bin/redis-server" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$redis_libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "$redis_server" "\$@"
END
    chmod +x "$stack/bin/redis-server"
}

# The name that profiles know becomes a link to the folder of these pins.
link_stack() {
    local kind=$1 stack=$2
    ln -sfn "$(basename "$stack")" "$cache/$kind.new"
    mv -T "$cache/$kind.new" "$cache/$kind"
}

# Versions of packages that an interpreter has, NAME or NAME=PACKAGE, without importing them.
versions_of() {
    "$1" - "${@:2}" <<'END'
import platform
import sys
from importlib.metadata import version

print(f"python        {platform.python_version()}")
for argument in sys.argv[1:]:
    name, _, package = argument.partition("=")
    print(f"{name:13} {version(package or name)}")
END
}

# install_packages STACK REQUIREMENTS GIB PYTHON…: exactly these packages in STACK/venv, with the first Python of these versions. GIB is free disk
# while it works.
install_packages() {
    local stack=$1 requirements=$2 gib=$3 versions python free_kib
    shift 3
    if [ -e "$stack/venv/installed" ] && "$stack/venv/bin/python" -c '' 2>/dev/null; then return; fi
    versions=$*
    python=$(find_python "$@") ||
        fail "no Python ${versions// / or } with venv is found. Debian and Ubuntu: \`sudo apt-get install python3 python3-venv\`; elsewhere: \`pyenv install $1\`"
    free_kib=$(df --output=avail -k "$stack" | tail -n 1)
    [ "$free_kib" -gt $((gib << 20)) ] || fail "$stack needs $gib GiB free while it is made, there are $((free_kib >> 20)); KVBENCH_CACHE names another place"
    say "vLLM, LMCache and what they need: $(grep -cF '==' "$requirements") packages under $("$python" --version), some GB to fetch"
    # Half an installation is not worth mending: what was fetched is in pip's own cache.
    rm -rf "$stack/venv"
    "$python" -m venv "$stack/venv"
    # Downloads are unpacked beside the folder they go to, because /tmp is small, or memory, on many hosts.
    quietly "$stack/logs/pip.log" "$stack" \
        env TMPDIR="$stack/tmp" "$stack/venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --only-binary=:all: -r "$requirements"
    touch "$stack/venv/installed"
}
