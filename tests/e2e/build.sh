#!/usr/bin/env bash
# Builds with models that cannot be served, which must fail and say why, and with ones that can.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
binary=target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release/ml-app

output=$(mktemp)
trap 'rm -f "$output"' EXIT

fail() {
    cat "$output"
    echo "FAILED: $*" >&2
    exit 1
}

# says TEXT...: the output has each of these texts.
says() {
    local text
    for text in "$@"; do
        grep -qF -- "$text" "$output" || fail "expected the output to say: $text"
    done
}

# refused MODEL TEXT...: the build with this model fails, and says each of these texts.
refused() {
    echo "MODEL=$1 is refused"
    if MODEL=$1 cargo build --release >"$output" 2>&1; then
        fail "expected the build with MODEL=$1 to fail"
    fi
    says "${@:2}"
}

# embedded TEXT...: the built binary's model is described with each of these texts.
embedded() {
    $binary inspect >"$output" 2>&1 || fail "the built binary cannot inspect its model"
    says "$@"
}

refused /nonexistent.onnx "cannot read the model"
refused Cargo.toml "no ONNX model"
refused tests/cases/unsupported/model.onnx mystery com.example.NonExistent

# What is appended to a protobuf message is part of it: here field 14, an entry of metadata_props.
wrong=$(mktemp --suffix .onnx)
trap 'rm -f "$output" "$wrong"' EXIT
golden='[{"inputs":{"age":44,"sex":2,"bmi":28.6,"bp":175.6},"outputs":{"prediction":1}}]'
byte() { printf '%b' "\\x$(printf %02x "$1")"; }
{
    cat tests/cases/diabetes/model.onnx
    byte 114 && byte $((17 + ${#golden}))
    byte 10 && byte 13 && printf ml_app.golden
    byte 18 && byte ${#golden} && printf %s "$golden"
} >"$wrong"
refused "$wrong" "golden row 1, output \`prediction\`: expected 1, found 281.1"

echo "MODEL=tests/cases/diabetes/model.onnx is embedded"
MODEL=tests/cases/diabetes/model.onnx cargo build --release >"$output" 2>&1 || fail "the build failed"
embedded bmi

echo "MODEL=tests/cases/external-data/model.onnx is embedded with its weights"
MODEL=tests/cases/external-data/model.onnx cargo build --release >"$output" 2>&1 || fail "the build failed"
embedded external-data "$(sha256sum tests/cases/external-data/model.onnx | cut -d ' ' -f 1)"

echo "without MODEL, the default model is embedded"
cargo build --release >"$output" 2>&1 || fail "the build failed"
embedded total_pages_visited
