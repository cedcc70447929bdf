#!/usr/bin/env bash
# Exports the models of the zoo. Prints for each model whether it loads, whether its outputs agree with ONNX
# Runtime, and how fast it is compared with ONNX Runtime. The exit code is 1 if a model does not load or if its
# outputs differ.
#
#   tests/zoo/run.sh [--only REGEX] [--families NAMES] [--keep] [--seconds S] [--markdown]
#   tests/zoo/run.sh wild [--only REGEX] [--families NAMES] [--keep | --prepare] [--markdown] [--server FILE]
#
# `wild` measures models that other people made, or that other people's programs make by default: ONNX files from
# packages of PyPI and npm, exported transformers and image networks, and quantized networks. It sends requests to the
# server and prints the share of models that load and agree, by family. target/zoo-wild/failures.md lists the others.
# A run continues where an interrupted one stopped. It takes about an hour and 3 GB. --server names a binary that is
# already built. --prepare only downloads and exports.
#
# --keep uses the models that an earlier run exported. The script installs Python packages of 6 GB in
# target/zoo-venv. If the variable ZOO_PYTHON is set, the script uses this Python, which must have the packages.
# Networks take most of the time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset CARGO_TARGET_DIR

part=
if [ "${1:-}" = wild ]; then
    part=wild && shift
fi
zoo=target/zoo
server=
wild=()
generate=()
compare=()
keep=
while [ $# -gt 0 ]; do
    case $part$1 in
    wild--only | wild--families) wild+=("$1" "$2") && shift 2 ;;
    wild--keep | wild--prepare | wild--markdown) wild+=("$1") && shift ;;
    wild--server) server=$(realpath "$2") && shift 2 ;;
    --only | --families) generate+=("$1" "$2") compare+=("$1" "$2") && shift 2 ;;
    --seconds) compare+=("$1" "$2") && shift 2 ;;
    --markdown) compare+=("$1") && shift ;;
    --keep) keep=yes && shift ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2 && exit 64 ;;
    esac
done

python=${ZOO_PYTHON:-target/zoo-venv/bin/python}
if [ -z "${ZOO_PYTHON:-}" ] && ! cmp -s tests/zoo/requirements.txt target/zoo-venv/requirements.txt; then
    python3 -m venv --clear target/zoo-venv
    "$python" -m pip install --quiet --disable-pip-version-check -r tests/zoo/requirements.txt
    cp tests/zoo/requirements.txt target/zoo-venv/
fi

# ONNX Runtime uses the locale en_US.UTF-8 to change the case of strings, and fails without this locale.
if ! locale -a 2>/dev/null | grep -qi '^en_US.utf-\?8$'; then
    command -v localedef >/dev/null && [ -e /usr/share/i18n/locales/en_US ] || {
        echo "error: the locale en_US.UTF-8 is missing; on Debian, install the package locales" >&2
        exit 1
    }
    mkdir -p target/zoo-locale
    localedef --inputfile=en_US --charmap=UTF-8 target/zoo-locale/en_US.UTF-8
    export LOCPATH=$PWD/target/zoo-locale
fi
export LC_ALL=en_US.UTF-8 PYTHONDONTWRITEBYTECODE=1

# The same target and flags as the released binary.
target=$(uname -m)-unknown-linux-musl
if [ "$part" = wild ]; then
    if [ -z "$server" ]; then
        cargo build --release --target "$target"
        server=target/$target/release/ml-app
    fi
    exec "$python" tests/zoo/wild/measure.py target/zoo-wild "$server" ${wild[@]+"${wild[@]}"}
fi
cargo rustc --release --target "$target" --package ml-app-model --example zoo -- -C lto=thin
[ -n "$keep" ] && [ -e $zoo/index.json ] ||
    "$python" tests/zoo/generate.py $zoo ${generate[@]+"${generate[@]}"} >&2
"$python" tests/zoo/compare.py $zoo "target/$target/release/examples/zoo" ${compare[@]+"${compare[@]}"}
