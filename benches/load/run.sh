#!/usr/bin/env bash
# Compares ml-app with other model servers, and with a minimal server (the "ceiling") that uses ml-app's own HTTP
# framework. All servers load the same model and get the same rows. The responses are checked. The servers are measured
# in turns.
#
#   benches/load/run.sh [--only 'NAME;NAME'] [--model FILE.onnx] [--rounds N] [--seconds S] [--svg FILE] [--json FILE]
#   benches/load/run.sh --list | --help
#
# Each Python server has its own environment in target/peers. All environments together need 5 GB. With --only, only
# the environments of the specified servers are installed. A run takes half an hour on two cores. Nothing else may run
# on the machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh

missing=()
command -v wrk >/dev/null || missing+=(wrk)
command -v musl-gcc >/dev/null || missing+=(musl-tools)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

# environment NAME REQUIREMENTS: installs the Python packages in the file REQUIREMENTS into target/peers/NAME.
environment() {
    cmp -s "$2" "target/peers/$1/requirements.txt" && return
    echo "installing $1" >&2
    python3 -m venv --clear "target/peers/$1"
    "target/peers/$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
    cp "$2" "target/peers/$1/"
}

environment compare benches/load/requirements.txt
python=target/peers/compare/bin/python
case " $* " in *" --list "* | *" --help "* | *" -h "*) exec "$python" -B benches/load/compare.py "$@" ;; esac
for peer in $("$python" -B benches/load/compare.py --environments "$@"); do
    environment "$peer" "benches/load/peers/$peer/requirements.txt"
done

target=$(uname -m)-unknown-linux-musl
need_target "$target"
# The shipped binary serves only the model that it was built with. `--model` needs a binary that reads ONNX.
features=(--no-default-features)
case " $* " in *" --model"*) features=() ;; esac
for program in --bin=ml-app --example=ceiling; do
    cargo rustc --release --target "$target" ${features[@]+"${features[@]}"} "$program" -- -C lto=thin
done
exec "$python" -B benches/load/compare.py --built "target/$target/release" "$@"
