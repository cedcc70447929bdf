#!/usr/bin/env bash
# Builds the binary with invalid models, which must fail with an explanation, and with valid models.
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

# expect TEXT...: fails unless the output contains each of these texts.
expect() {
    local text
    for text in "$@"; do
        grep -qF -- "$text" "$output" || fail "expected this text in the output: $text"
    done
}

# refused MODEL TEXT...: the build with this model must fail, and print each of these texts.
refused() {
    echo "MODEL=$1 is refused"
    if MODEL=$1 cargo build --release >"$output" 2>&1; then
        fail "MODEL=$1: expected the build to fail"
    fi
    expect "${@:2}"
}

# embedded TEXT...: the description of the built binary's model must contain each of these texts.
embedded() {
    $binary inspect >"$output" 2>&1 || fail "the built binary cannot inspect its model"
    expect "$@"
}

refused /nonexistent.onnx "cannot read the model"
refused Cargo.toml "not an ONNX model"
refused tests/cases/unsupported/model.onnx mystery com.example.NonExistent

# Bytes that are appended to a protobuf message are further fields of it: here field 14, an entry of metadata_props,
# with a wrong golden row.
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
