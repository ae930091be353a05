#!/usr/bin/env bash
# Validates every scenario and profile against the committed JSON Schema with a validator that is not ours: Tombi, which editors use, too.
# It reads TOML 1.0 only, so it also sees to it that shipped files stay within that.
# Usage: ci/validate-scenarios.sh
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.9.6
venv="${XDG_CACHE_HOME:-$HOME/.cache}/kvbench/tombi-$version"
tombi="$venv/bin/tombi"
if ! "$tombi" --version >/dev/null 2>&1; then
    python3 -m venv --clear "$venv" || { echo "cannot make a virtual environment: python3 with its venv module is needed (Debian: apt-get install python3-venv)" >&2; exit 3; }
    "$venv/bin/pip" --quiet --disable-pip-version-check install "tombi==$version"
fi
export NO_COLOR=1

# Shipped files name their schema themselves; those of the tests get the line in a copy.
copies=$(mktemp -d)
trap 'rm -rf "$copies"' EXIT
schema_of() {
    case "$(basename "$1")" in
        profile-*) echo profile ;;
        *) echo scenario ;;
    esac
}
copy() { # FILE FOLDER
    mkdir -p "$copies/$2"
    { echo "#:schema $PWD/schemas/$(schema_of "$1").schema.json"; cat "$1"; } >"$copies/$2/$(basename "$1")"
}
for file in schemas/tests/valid/*.toml; do copy "$file" valid; done

shipped=(scenarios/*.toml scenarios/profiles/*.toml)
"$tombi" lint --offline "${shipped[@]}" "$copies"/valid/*.toml

# A validator that finds no schema accepts everything: it has to refuse what the schema alone can refuse.
refused=0
for name in unknown-key two-kinds missing-key wrong-type none-beside-tier event-actions working-set-alone profile-numbers; do
    copy "schemas/tests/invalid/$name.toml" invalid
    if "$tombi" lint --offline "$copies/invalid/$name.toml" >/dev/null 2>&1; then
        echo "schemas/tests/invalid/$name.toml is accepted: the schema is not applied, or lost a rule" >&2
        exit 1
    fi
    refused=$((refused + 1))
done
echo "validated ${#shipped[@]} shipped files, $(ls "$copies"/valid | wc -l) test files; refused $refused invalid ones"
