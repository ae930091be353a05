#!/usr/bin/env bash
# Runs scenarios on a GPU host, in one invocation, and keeps of each what is worth publishing.
#
#   ci/gpu.sh [OPTIONS] SCENARIO… [-- ARGUMENT…]   SCENARIO is a file, or a name in scenarios/; each ARGUMENT goes to the runner
#   ci/gpu.sh --take FILE [OPTIONS]                elsewhere: put the results that --pack packed in their places here
#
#   --profile NAME    how they run: a shipped profile or a file; `gpu-short` by default
#   --model DIR       a model directory in place of every model that the scenarios name (a bundle's own is there without this)
#   --minutes N       what is still running then is interrupted: its report says "partial", and what follows is not started
#   --card NAME       the card in the folder's name; by default as the driver calls it
#   --published DIR   where <date>-<card>/<scenario>/ goes; by default reports/published
#   --outputs DIR     where the whole run folders go; by default outputs
#   --pages N         so many pages of each report become pictures too, where pdftoppm is; 1 by default, of about 0.1 MB
#   --pack FILE       pack results and whole run folders of this call into FILE (.tar.xz), logs and all, but not the KV that a disk tier wrote
#
# <date>-<card>/<scenario>/ gets manifest.json, scenario.toml, requests.parquet, summary.md, report.pdf and page-1.png, with paths from the home
# folder (`~`); a scenario that is there already gets a number behind its name. runs.md beside them has a line for each. The exit code is the
# runner's; an undecided expectation counts (--strict).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# In an unpacked bundle everything is a folder further up.
bundle=
[ ! -r "$root/../env.sh" ] || [ ! -x "$root/bin/runner" ] || bundle=$(cd "$root/.." && pwd)
home=${bundle:-$root}

fail() {
    printf 'gpu: %s\n' "$*" >&2
    exit 2
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

profile=gpu-short model= minutes= card= published=$home/reports/published outputs=$home/outputs pages=1 pack= take= scenarios=() arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --)
            shift
            arguments=("$@")
            break
            ;;
        --profile | --model | --minutes | --card | --published | --outputs | --pages | --pack | --take)
            [ $# -ge 2 ] || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        -*) fail "unknown argument $1 (--help lists them)" ;;
        *) scenarios+=("$1") ;;
    esac
    shift
done
[[ $minutes$pages =~ ^[0-9]+$ ]] || fail "--minutes and --pages take whole numbers"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A run folder without what a disk tier wrote, which can be larger than memory.
copy_run() {
    mkdir -p "$2"
    tar -c -C "$1" --exclude=./data . | tar -x -C "$2"
}

# What of a run is worth publishing, in a folder of its own. Returns the exit code of its verdicts. The report is drawn again for it, because the
# names of a host's folders are nobody's business.
keep() {
    local run=$1 to=$2 file code=0
    rm -rf "$scratch/run"
    copy_run "$run" "$scratch/run"
    find "$scratch/run" -type f ! -name '*.parquet' ! -name '*.pdf' -exec sed -i "s#$HOME/#~/#g" {} +
    "$report" --quiet --strict "$scratch/run" >"$scratch/said" 2>&1 || code=$?
    mkdir -p "$to"
    for file in manifest.json scenario.toml requests.parquet summary.md report.pdf; do
        if [ -e "$scratch/run/$file" ]; then cp "$scratch/run/$file" "$to/"; fi
    done
    draw "$to"
    return "$code"
}

# The names say the page without leading zeros, however many there are.
draw() {
    local to=$1 page
    [ -e "$to/report.pdf" ] && command -v pdftoppm >/dev/null || return 0
    for page in $(seq "$pages"); do
        pdftoppm -png -r 80 -f "$page" -l "$page" -singlefile "$to/report.pdf" "$to/page-$page" 2>/dev/null || true
    done
}

# A folder that is not there yet.
unused() {
    local name=$1 number=2
    while [ -e "$name" ]; do
        name=$1-$number
        number=$((number + 1))
    done
    printf '%s\n' "$name"
}

if [ -n "$take" ]; then
    [ ${#scenarios[@]} -eq 0 ] || fail "--take runs nothing"
    [ -r "$take" ] || fail "there is no $take"
    tar -xJf "$take" -C "$scratch" || fail "$take cannot be unpacked"
    # Run folders have the time in their names: what is there already is the same.
    mkdir -p "$outputs" "$published"
    [ ! -d "$scratch/outputs" ] || cp -rn "$scratch/outputs/." "$outputs/"
    for set in "$scratch"/published/*/; do
        to=$published/$(basename "$set")
        mkdir -p "$to"
        for folder in "$set"*/; do
            [ -d "$folder" ] || continue
            target=$(unused "$to/$(basename "$folder")")
            cp -r "$folder" "$target"
            draw "$target"
            old=$(basename "$folder") new=$(basename "$target")
            [ "$old" = "$new" ] || sed -i -E "s/^((\|[^|]*){5})\| $old \|/\1| $new |/" "$set/runs.md"
            printf '%s\n' "$target"
        done
        { if [ -s "$to/runs.md" ]; then tail -n +3 "$set/runs.md"; else cat "$set/runs.md"; fi; } >>"$to/runs.md"
    done
    exit 0
fi

[ ${#scenarios[@]} -gt 0 ] || {
    usage >&2
    exit 2
}
files=()
for scenario in "${scenarios[@]}"; do
    file=$scenario
    [ -f "$file" ] || file=$root/scenarios/${scenario%.toml}.toml
    [ -f "$file" ] || fail "no scenario $scenario: there is no such file, and none of that name in $root/scenarios"
    files+=("$file")
done

if [ -n "$bundle" ]; then
    # shellcheck disable=SC1091
    . "$bundle/env.sh"
    runner=$bundle/bin/runner report=$bundle/bin/report
    # The bundle's profiles know its interpreter and its model.
    [ ! -r "$bundle/profiles/$profile.toml" ] || profile=$bundle/profiles/$profile.toml
elif command -v cargo >/dev/null; then
    (cd "$root" && cargo build --release --locked --workspace)
    runner=${CARGO_TARGET_DIR:-$root/target}/release/runner report=${CARGO_TARGET_DIR:-$root/target}/release/report
else
    runner=$(command -v runner) && report=$(command -v report) || fail "there is neither cargo to build the runner with nor runner and report on the PATH"
fi
if [ -n "$model" ]; then
    [ -r "$model/config.json" ] || fail "--model $model: there is no config.json in it"
    [ -r "$profile" ] || profile=$root/scenarios/profiles/$profile.toml
    grep -q '^default-model ' "$profile" || fail "$profile has no default-model to stand the model beside"
    # Under the same name, which reports show.
    sed -e '/^stand-in /d' -e "/^default-model /i stand-in = \"$(cd "$model" && pwd)\"" "$profile" >"$scratch/$(basename "$profile")"
    profile=$scratch/$(basename "$profile")
fi
if [ -z "$card" ]; then
    card=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || true
    [ -n "$card" ] || fail "nvidia-smi names no card: --card NAME says which it is"
fi
card=$(tr 'A-Z' 'a-z' <<<"${card#NVIDIA }" | sed 's/[^a-z0-9]\{1,\}/-/g;s/^-//;s/-$//')
set=$published/$(date -u +%Y-%m-%d)-$card
mkdir -p "$set" "$outputs"

word() {
    case $1 in
        0) echo "met" ;;
        2) echo "invalid file" ;;
        3) echo "could not run" ;;
        4) echo "not met" ;;
        6) echo "INVALID" ;;
        7) echo "undecided" ;;
        8) echo "nothing ran" ;;
        130) echo "interrupted" ;;
        137) echo "killed" ;;
        -) echo "not started" ;;
        *) echo "failed" ;;
    esac
}

# From start to end, by a manifest.
seconds() {
    local started ended
    started=$(sed -n 's/^ *"started": "\(.*\)",$/\1/p' "$1") ended=$(sed -n 's/^ *"ended": "\(.*\)",$/\1/p' "$1")
    if [ -n "$started" ] && [ -n "$ended" ]; then echo $(($(date -d "$ended" +%s) - $(date -d "$started" +%s))); else echo -; fi
}

names=() before=()
for file in "${files[@]}"; do
    name=$(basename "$file" .toml)
    names+=("$name")
    before+=("$(readlink "$outputs/$name/latest" 2>/dev/null || true)")
done

# One invocation: an engine takes minutes to start, and scenarios share the one without a cache.
command=("$runner" --profile "$profile" --output-dir "$outputs" --strict "${arguments[@]}" "${files[@]}")
# In time for the report: the first interruption ends a run in order.
[ -z "$minutes" ] || command=(timeout --foreground --preserve-status --signal INT --kill-after 60 $((minutes * 60)) "${command[@]}")
# What ended before a Ctrl-C is kept, too.
trap : INT TERM
exit_code=0
"${command[@]}" || exit_code=$?

head='| scenario | verdict | exit | seconds | profile | folder | answer |
|---|---|---|---|---|---|---|'
lines=() runs=() folders=()
for i in "${!names[@]}"; do
    name=${names[i]}
    after=$(readlink "$outputs/$name/latest" 2>/dev/null || true)
    if [ -z "$after" ] || [ "$after" = "${before[i]}" ]; then
        lines+=("| $name | $(word -) | - | - | | | |")
        continue
    fi
    runs+=("$name/$after")
    folder=$(unused "$set/$name")
    code=0
    keep "$outputs/$name/$after" "$folder" || code=$?
    folders+=("$folder")
    # The first paragraph under the question.
    answer=$(sed -n '3p' "$folder/summary.md" 2>/dev/null | sed 's/|/\\|/g') || true
    lines+=("| $name | $(word "$code") | $code | $(seconds "$folder/manifest.json") | $(basename "$profile" .toml) | $(basename "$folder") | $answer |")
done

{
    [ -s "$set/runs.md" ] || printf '%s\n' "$head"
    printf '%s\n' "${lines[@]}"
} >>"$set/runs.md"

if [ -n "$pack" ]; then
    to=$scratch/published/$(basename "$set")
    mkdir -p "$to" "$scratch/outputs"
    # Of runs.md only what this call wrote: the lines join those that are there already where it is taken.
    printf '%s\n' "$head" "${lines[@]}" >"$to/runs.md"
    for folder in "${folders[@]}"; do cp -r "$folder" "$to/"; done
    for run in "${runs[@]}"; do
        copy_run "$outputs/$run" "$scratch/outputs/$run"
    done
    mkdir -p "$(dirname "$pack")"
    tar -cJf "$pack" -C "$scratch" published outputs
    printf '\npacked: %s, %s\n' "$pack" "$(du -h --apparent-size "$pack" | cut -f1)"
fi

printf '\n%-28s %5s  %-14s %8s\n' scenario exit verdict seconds
for line in "${lines[@]}"; do
    IFS='|' read -r _ name verdict code took _ <<<"$line"
    printf '%-28s %5s  %-14s %8s\n' "${name# }" "${code// /}" "$(sed 's/^ *//;s/ *$//' <<<"$verdict")" "${took// /}"
done
printf 'kept in %s\n' "$set"
exit "$exit_code"
