#!/usr/bin/env bash
# A bundle for GPU hosts without a network: vLLM and LMCache with what they need beyond the host's PyTorch, the runner, a redis-server, and a
# model directory of Llama-3.1-8B's shape. In parts small enough to be carried.
#
#   ci/offline-bundle.sh [OPTIONS] PARTS          make the parts in the folder PARTS
#   ci/offline-bundle.sh --unpack PARTS FOLDER    on the GPU host: unpack them to FOLDER (PARTS/unpack.sh does the same without a clone)
#
#   --part-size SIZE   no part is larger, 50MB by default (KB, MB, GB; or K, M, G: powers of 1024)
#   --runner-only      renew only the runner and the scenarios in PARTS; the rest stays as it is
#   --binaries DIR     take `runner` and `report` from DIR, do not build them
#   --every-card       leave out no file of the wheels; without it the bundle is for Hopper (H100, H200, GH200)
#
# The host needs Linux on x86_64, an NVIDIA driver for CUDA 13, and Python 3.12 with the packages of ci/gpu-stack/host.txt, PyTorch above all.
# What was fetched and packed stays in ${KVBENCH_CACHE:-${XDG_CACHE_HOME:-~/.cache}/kvbench}/gpu-bundle-<hash of the pins>, so a second
# run takes seconds. A run that was cut off is taken up at the step it was in.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=stack-common.sh
. "$here/stack-common.sh"
root=$(dirname "$here")

parts= part_size=50MB runner_only= binaries= left_out=$here/gpu-stack/left-out.txt unpack_to= unpacking=
while [ $# -gt 0 ]; do
    case $1 in
        --unpack) unpacking=1 ;;
        --part-size | --binaries)
            [ $# -ge 2 ] || fail "$1 needs a value"
            if [ "$1" = --binaries ]; then binaries=$2; else part_size=$2; fi
            shift
            ;;
        --runner-only) runner_only=1 ;;
        --every-card) left_out= ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) fail "unknown argument $1 (--help lists them)" ;;
        *) if [ -z "$parts" ]; then parts=$1; elif [ -n "$unpacking" ] && [ -z "$unpack_to" ]; then unpack_to=$1; else fail "one folder too many: $1"; fi ;;
    esac
    shift
done
[ -n "$parts" ] || {
    usage >&2
    exit 2
}
if [ -n "$unpacking" ]; then
    [ -n "$unpack_to" ] || fail "--unpack needs the folder to unpack to"
    [ -r "$parts/unpack.sh" ] || fail "$parts holds no bundle: there is no unpack.sh in it"
    exec bash "$parts/unpack.sh" "$unpack_to"
fi
on_linux_x86_64
command -v xz >/dev/null || fail "xz is needed (Debian and Ubuntu: \`sudo apt-get install xz-utils\`)"
command -v objdump >/dev/null || fail "objdump and strip are needed (Debian and Ubuntu: \`sudo apt-get install binutils\`)"
[[ $part_size =~ ^[0-9]+([KMG]B?)?$ ]] || fail "--part-size $part_size: a number of bytes, or one with KB, MB, GB, K, M or G"

# Of the host; wheels are fetched for it.
host_python=3.12

# The newest symbol version of glibc that some binaries ask for: an older host cannot run them.
glibc_of() { objdump -T "$@" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 | tr _ ' '; }

# Packs the folder NAME of a draft into the cache, all cores at work.
pack() {
    local name=$1 draft=$2
    quietly "$work/logs/$name.log" "$work" bash -c \
        'set -o pipefail; tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$1" "$2" | xz -T0 -6 >"$3.new"' pack "$draft" "$name" "$work/$name.tar.xz"
    mv "$work/$name.tar.xz.new" "$work/$name.tar.xz"
}

pack_packages() {
    [ ! -e "$work/packages.tar.xz" ] || return 0
    local python free_kib platforms=() minor
    python=$(find_python 3.10 3.11 3.12 3.13 3.14) || fail "a Python 3 with venv is needed to fetch the packages (Debian and Ubuntu: \`sudo apt-get install python3-venv\`)"
    free_kib=$(df --output=avail -k "$work" | tail -n 1)
    [ "$free_kib" -gt $((3 << 20)) ] || fail "$work needs 3 GiB free while it is made, there are $((free_kib >> 20)); KVBENCH_CACHE names another place"
    "$work/venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$work/venv"
    say "vLLM, LMCache and what they need: $(grep -cF '==' "$here/gpu-stack/bundle.txt") packages for Python $host_python, about 370 MB to fetch"
    # pip takes a platform at its word, so every glibc that a host of today has is listed.
    for minor in $(seq 5 34); do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
    platforms+=(--platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64)
    mkdir -p "$work/wheels"
    quietly "$work/logs/pip.log" "$work" "$work/venv/bin/python" -m pip download --disable-pip-version-check --no-input --no-deps --only-binary=:all: \
        --python-version "$host_python" --implementation cp "${platforms[@]}" --dest "$work/wheels" -r "$here/gpu-stack/bundle.txt"
    rm -rf "$work/draft"
    mkdir -p "$work/draft"
    "$work/venv/bin/python" "$here/gpu-stack/unpack_wheels.py" "$work/wheels" "$work/draft/packages" ${left_out:+"$left_out"} >"$work/left-out"
    say "packing $(size_of "$work/draft/packages"), which takes some minutes"
    pack packages "$work/draft"
    rm -rf "$work/draft" "$work/wheels"
}

# Everything that redis-server is linked to comes along except glibc, which has to be the host's own: distributions differ in which they have.
pack_tools() {
    local made_by
    made_by=$(cat "$here/cpu-stack/make_model.py" "$here/gpu-stack/make_model.py" | sha256sum)
    if [ -e "$work/tools.tar.xz" ] && [ "$made_by" = "$(cat "$work/tools.made-by" 2>/dev/null)" ]; then return; fi
    fetch_redis "$work/redis" "$work/logs/apt.log"
    rm -rf "$work/draft"
    local to=$work/draft/tools/redis library
    mkdir -p "$to/lib"
    cp -L "$redis_server" "$to/redis-server"
    LD_LIBRARY_PATH=$redis_libraries ldd "$redis_server" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
        grep -Ev '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux[^/]*)\.so' |
        while read -r library; do cp -L "$library" "$to/lib/"; done
    glibc_of "$to/redis-server" "$to"/lib/* >"$work/tools.needs"
    python3 "$here/gpu-stack/make_model.py" "$work/draft/tools/model"
    pack tools "$work/draft"
    rm -rf "$work/draft"
    printf '%s\n' "$made_by" >"$work/tools.made-by"
}

# With the scenarios and the script that runs a list of them, so that the host needs no clone.
pack_runner() {
    if [ -z "$binaries" ]; then
        (cd "$root" && cargo build --release --locked --workspace)
        binaries=${CARGO_TARGET_DIR:-$root/target}/release
    fi
    rm -rf "$work/draft"
    local to=$work/draft/runner name
    mkdir -p "$to/bin" "$to/ci"
    for name in runner report; do
        [ -x "$binaries/$name" ] || fail "there is no $binaries/$name"
        strip -o "$to/bin/$name" "$binaries/$name"
    done
    cp -r "$root/scenarios" "$to/"
    cp "$here/gpu.sh" "$to/ci/"
    glibc_of "$to"/bin/* >"$work/runner.needs"
    "$to/bin/runner" --version >"$work/runner.version"
    pack runner "$work/draft"
    rm -rf "$work/draft"
}

# Replaces an archive's parts, and its lines in SHA256SUMS, unless they are these already.
place_parts() {
    local name=$1 sums=$parts/SHA256SUMS
    rm -f "$parts/$name".tar.xz.*
    split --bytes "$part_size" --numeric-suffixes --suffix-length 3 "$work/$name.tar.xz" "$parts/$name.tar.xz."
    touch "$sums"
    {
        grep -v "  $name\.tar\.xz\." "$sums" || true
        (cd "$parts" && sha256sum "$name".tar.xz.*)
    } | sort -k 2 >"$sums.new"
    mv "$sums.new" "$sums"
}

# What a person, and unpack.sh, should know of the bundle: one fact a line.
contents() {
    printf 'python %s\n' "$host_python"
    printf 'runner %s\n' "$(cat "$work/runner.needs")"
    printf 'tools %s\n' "$(cat "$work/tools.needs")"
    printf 'runner-version %s\n' "$(cat "$work/runner.version")"
    grep -v '^#' "$here/gpu-stack/host.txt" | sed 's/^/host /'
    comm -23 <(names requirements) <(names bundle host) | sed 's/^/left-out /'
    sed 's/^/left-out-file /' "$work/left-out"
}

# Names of packages in lists of ci/gpu-stack, one spelling for each.
names() { for list in "$@"; do sed '/^#/d;s/==.*//' "$here/gpu-stack/$list.txt"; done | tr 'A-Z_' 'a-z-' | LC_ALL=C sort -u; }

# Only what decides the packages is in the name: they are what takes minutes.
key=$({ grep -F '==' "$here/gpu-stack/bundle.txt"; [ -z "$left_out" ] || grep -v '^#' "$left_out"; } | sha256sum | cut -c1-12)
work=$cache/gpu-bundle-$key
mkdir -p "$work/logs" "$parts"
parts=$(cd "$parts" && pwd)
take_turn gpu-bundle

if [ -n "$runner_only" ]; then
    [ -r "$parts/CONTENTS" ] || fail "$parts holds no bundle yet: run this without --runner-only first"
else
    pack_packages
    pack_tools
fi
pack_runner
if [ -z "$runner_only" ]; then
    place_parts packages
    place_parts tools
fi
place_parts runner
contents >"$parts/CONTENTS"
cp "$here/gpu-stack/unpack.sh" "$parts/unpack.sh"

say "$(cat "$work/runner.version"), for a host with $(cat "$work/runner.needs") or newer (redis-server: $(cat "$work/tools.needs"))"
say "left out of the wheels:"
sed 's/^/    /' "$work/left-out"
say "left out of the packages that vLLM and LMCache ask for, because nothing that was measured uses them:"
sed -n 's/^left-out //p' "$parts/CONTENTS" | paste -sd' ' | fold -sw 150 | sed 's/^/    /'
say "in $parts, after $SECONDS s:"
(cd "$parts" && du -h --apparent-size -- *.tar.xz.* | sed 's/^/    /')
name_older gpu-bundle "$work"
