#!/usr/bin/env bash
# Unpacks a bundle that ci/offline-bundle.sh made, on a GPU host. No network, no root, no installation: everything goes into one folder.
#
#   bash unpack.sh FOLDER [--python PYTHON]
#
# Run it from the folder that holds the parts. PYTHON is the interpreter that has PyTorch (python3 on the PATH). A second run unpacks only
# what changed, so a newer runner costs seconds, and parts that were unpacked before need not be there any more.
set -euo pipefail

parts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    printf 'unpack: %s\n' "$*" >&2
    exit 1
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

folder= python=python3
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --python)
            [ $# -ge 2 ] || fail "--python needs a path"
            python=$2
            shift
            ;;
        -*) fail "unknown argument $1 (there is --python)" ;;
        *)
            [ -z "$folder" ] || fail "one folder to unpack to, not $folder and $1"
            folder=$1
            ;;
    esac
    shift
done
[ -n "$folder" ] || {
    usage >&2
    exit 2
}
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || fail "the bundle is for Linux on x86_64, this is $(uname -s) on $(uname -m)"
[ -r "$parts/SHA256SUMS" ] || fail "there is no SHA256SUMS beside this script: copy it, too, it names the parts"
python=$(command -v "$python") || fail "there is no $python: --python names the interpreter that has PyTorch"
# The wheels in the bundle are built for one version of Python.
wanted=$(sed -n 's/^python //p' "$parts/CONTENTS")
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
[ "$found" = "$wanted" ] || fail "the bundle is for Python $wanted, $python is $found: --python names another one"

# xz is not on every host, Python is.
decompress() { if command -v xz >/dev/null; then xz -dc -T0; else "$python" -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer)'; fi; }

mkdir -p "$folder/.unpacked"
folder=$(cd "$folder" && pwd)

# The lines of SHA256SUMS about the parts of an archive: its identity, too.
listed() { grep -E "  $1\.tar\.xz\.[0-9]+$" "$parts/SHA256SUMS" || fail "SHA256SUMS names no part of $1"; }

is_unpacked() { [ "$(listed "$1")" = "$(cat "$folder/.unpacked/$1" 2>/dev/null)" ]; }

# Everything that will be unpacked is whole before anything is.
check_parts() {
    local sum part missing=() damaged=()
    while read -r sum part; do
        if [ ! -r "$parts/$part" ]; then
            missing+=("$part")
        elif [ "$(sha256sum <"$parts/$part" | cut -d' ' -f1)" != "$sum" ]; then
            damaged+=("$part")
        fi
    done < <(for archive in "$@"; do listed "$archive"; done)
    [ ${#missing[@]} -eq 0 ] || fail "missing in $parts: ${missing[*]}"
    [ ${#damaged[@]} -eq 0 ] || fail "damaged, copy again: ${damaged[*]}"
}

# An archive NAME holds the folder NAME, which replaces the one that was there.
unpack() {
    local name=$1 from=$SECONDS part
    rm -rf "$folder/.new"
    mkdir "$folder/.new"
    listed "$name" | while read -r _ part; do cat "$parts/$part"; done | decompress | tar -x --no-same-owner -C "$folder/.new" ||
        fail "$name cannot be unpacked to $folder (is it full?)"
    rm -rf "${folder:?}/$name"
    mv "$folder/.new/$name" "$folder/$name"
    rm -rf "$folder/.new"
    listed "$name" >"$folder/.unpacked/$name"
    printf '%-9s %s, %s s\n' "$name" "$(du -sh "$folder/$name" | cut -f1)" $((SECONDS - from))
}

program() {
    cat >"$folder/bin/$1"
    chmod +x "$folder/bin/$1"
}

outdated=()
for name in packages tools runner; do is_unpacked "$name" || outdated+=("$name"); done
check_parts "${outdated[@]}"
for name in "${outdated[@]}"; do unpack "$name"; done
mkdir -p "$folder/bin"
# exec, so that whoever starts one of these holds the process itself.
program python <<END
#!/bin/sh
export PYTHONPATH="$folder/packages\${PYTHONPATH:+:\$PYTHONPATH}"
exec "$python" "\$@"
END
program redis-server <<END
#!/bin/sh
export LD_LIBRARY_PATH="$folder/tools/redis/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "$folder/tools/redis/redis-server" "\$@"
END
for name in runner report; do ln -sfn "../runner/bin/$name" "$folder/bin/$name"; done

# The profiles with this folder's interpreter and model in them. The model stands in for every one that a scenario names; page one says so.
mkdir -p "$folder/profiles"
for profile in "$folder"/runner/scenarios/profiles/gpu*.toml; do
    sed -e "/^default-model /i stand-in = \"$folder/tools/model\"" -e "/^\[interpreter\]/,/^\[/s|^path .*|path = \"$folder/bin/python\"|" \
        -e '/^#:schema/d' "$profile" >"$folder/profiles/$(basename "$profile")"
    grep -q '^stand-in' "$folder/profiles/$(basename "$profile")" || fail "$profile has no default-model"
done
cat >"$folder/env.sh" <<END
# To be sourced: \`. $folder/env.sh\`
export KVBENCH_PYTHON="$folder/bin/python"
export PATH="$folder/bin:\$PATH"
END

"$folder/bin/runner" --version >/dev/null || fail "the runner does not run here: it needs $(sed -n 's/^runner //p' "$parts/CONTENTS") or newer, this host has $(ldd --version | head -n 1)"
"$folder/bin/redis-server" --version >/dev/null || echo "redis-server does not run here, which needs $(sed -n 's/^tools //p' "$parts/CONTENTS"): scenarios with Redis need one on the PATH"

# Looked up, not imported: importing PyTorch takes a while.
"$folder/bin/python" - "$parts/CONTENTS" <<'END'
import sys
from importlib.metadata import PackageNotFoundError, version

absent = []
for line in open(sys.argv[1]):
    kind, _, pin = line.strip().partition(" ")
    if kind != "host":
        continue
    name, _, expected = pin.partition("==")
    try:
        found = version(name)
    except PackageNotFoundError:
        absent.append(pin)
        continue
    # What stands behind a + is for which CUDA, not which release.
    if expected and found.split("+")[0] != expected:
        print(f"OTHER     {name} {found}: the bundle fits {expected}")
if absent:
    print("MISSING   " + ", ".join(absent))
    print("          the bundle counts on these in", sys.executable)
print("vllm", version("vllm"), "and lmcache", version("lmcache"))
END
printf 'ready in %s: `. %s/env.sh`, then `runner --profile %s/profiles/gpu.toml …` or `%s/runner/ci/gpu.sh …`\n' "$folder" "$folder" "$folder" "$folder"
