#!/usr/bin/env bash
# Runs unmodified clients of other projects against the server. Each client has its own Python packages in
# target/clients.
#
# The variable SERVER_BINARY is the path of the server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
. tests/packages.sh

# perf_analyzer needs this library.
ldconfig -p | grep -q libb64.so.0d || install_packages libb64-0d

for requirements in tests/e2e/clients/*.txt; do
    client=$(basename "$requirements" .txt)
    venv=target/clients/$client
    if ! cmp -s "$requirements" "$venv/requirements.txt"; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
        cp "$requirements" "$venv/requirements.txt"
    fi
    "$venv/bin/python" -B -m pytest -p no:cacheprovider "tests/e2e/clients/test_$client.py"
done
