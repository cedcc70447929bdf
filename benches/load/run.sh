#!/usr/bin/env bash
# ml-app beside the servers that people use today, and beside what its own framework can do at most: all
# answer the same rows with the same model, are checked, and measured in turns.
#
#   benches/load/run.sh [--only 'NAME;NAME'] [--model FILE.onnx] [--rounds N] [--seconds S] [--svg FILE] [--json FILE]
#   benches/load/run.sh --list | --help
#
# Each peer has an environment of its own below target/peers, 5 GB in all; --only leaves out what it does
# not name. Everything takes half an hour on two processors, which must have nothing else to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh

missing=()
command -v wrk >/dev/null || missing+=(wrk)
command -v musl-gcc >/dev/null || missing+=(musl-tools)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

# environment NAME REQUIREMENTS: the Python packages are in target/peers/NAME.
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
# What is shipped serves the model that it was built with; another one is for the binary that reads ONNX.
features=(--no-default-features)
case " $* " in *" --model"*) features=() ;; esac
for program in --bin=ml-app --example=ceiling; do
    cargo rustc --release --target "$target" ${features[@]+"${features[@]}"} "$program" -- -C lto=thin
done
exec "$python" -B benches/load/compare.py --built "target/$target/release" "$@"
