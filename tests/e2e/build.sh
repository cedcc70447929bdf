#!/usr/bin/env bash
# Builds the binary with invalid models and with valid models. A build with an invalid model must fail, and print the
# reason.
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

# expect STRING...: fails unless the output contains each of these strings.
expect() {
    local text
    for text in "$@"; do
        grep -qF -- "$text" "$output" || fail "expected this string in the output: $text"
    done
}

# rejected MODEL STRING...: fails unless the build with this model fails, and prints each of these strings.
rejected() {
    echo "MODEL=$1 is rejected"
    if MODEL=$1 cargo build --release >"$output" 2>&1; then
        fail "MODEL=$1: expected the build to fail"
    fi
    expect "${@:2}"
}

# embedded STRING...: fails unless the built binary's description of its model contains each of these strings.
embedded() {
    $binary inspect >"$output" 2>&1 || fail "the built binary cannot inspect its model"
    expect "$@"
}

rejected /nonexistent.onnx "cannot read the model"
rejected Cargo.toml "not an ONNX model"
rejected tests/cases/unsupported/model.onnx mystery com.example.NonExistent

# Bytes after a protobuf message are further fields of the message. These bytes are field 14, an entry of
# metadata_props, with a wrong golden row.
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
rejected "$wrong" "golden row 1, output \`prediction\`: expected 1, found 281.1"

# The shapes of this model are known at run time only. Its plans are made from the serialized graph, without ONNX.
dynamic=crates/onnx-ml/tests/cases/dynamic/flatten_two_dynamic_axes/model.onnx
echo "MODEL=$dynamic is embedded in a binary without the feature onnx"
MODEL=$dynamic cargo build --release --no-default-features >"$output" 2>&1 || fail "the build failed"
if grep -q "cannot be prepared" "$output"; then
    fail "MODEL=$dynamic: expected the build to prepare the model"
fi
embedded Flatten

echo "MODEL=tests/cases/external-data/model.onnx is embedded with its weights"
MODEL=tests/cases/external-data/model.onnx cargo build --release >"$output" 2>&1 || fail "the build failed"
embedded external-data "$(sha256sum tests/cases/external-data/model.onnx | cut -d ' ' -f 1)"

echo "without MODEL, the default model is embedded"
cargo build --release >"$output" 2>&1 || fail "the build failed"
embedded total_pages_visited
