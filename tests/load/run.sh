#!/usr/bin/env bash
# Load and faults: what the server promises while it is overloaded, attacked, short of memory or
# killed. A table at the end tells each promise, what was measured and the target.
#
#   tests/load/run.sh [--long] [PYTEST'S ARGUMENTS]
#
# --long takes the time and the numbers that figures are published with, half an hour; without it
# the run takes less than four minutes on two cores. ML_APP_BINARY names the server: built with the feature `onnx`.
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
if [ -z "${ML_APP_BINARY:-}" ]; then
    target=$(uname -m)-unknown-linux-musl
    need_target "$target"
    cargo build --release --target "$target"
    export ML_APP_BINARY=$PWD/target/$target/release/ml-app
fi
exec "$venv/bin/python" -B -m pytest -p no:cacheprovider --tb=short tests/load "$@"
