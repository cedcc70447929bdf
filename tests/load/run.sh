#!/usr/bin/env bash
# Tests the server under overload, under attack and with little memory, and a prediction of a file that is killed. A
# table at the end lists each promise, the measured figure and the target.
#
#   tests/load/run.sh [--long] [PYTEST ARGUMENTS]
#
# A run takes less than four minutes on two cores. A run with --long takes half an hour, because it measures the
# figures that are published. It also fails if targets that depend on the speed of the machine are missed. No other
# program may run on the machine during a long run.
#
# If the variable SERVER_BINARY is set, the script tests this binary and does not build one. The binary must have the
# feature `onnx`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/packages.sh

missing=()
command -v wrk >/dev/null || missing+=(wrk)
command -v unshare >/dev/null || missing+=(util-linux)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

venv=target/load-venv
if ! cmp -s tests/load/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/load/requirements.txt
    cp tests/load/requirements.txt "$venv/"
fi
if [ -z "${SERVER_BINARY:-}" ]; then
    target=$(uname -m)-unknown-linux-musl
    need_target "$target"
    cargo build --release --target "$target"
    export SERVER_BINARY=$PWD/target/$target/release/ml-app
fi
exec "$venv/bin/python" -B -m pytest -p no:cacheprovider --tb=short tests/load "$@"
