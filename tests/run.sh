#!/usr/bin/env bash
# Runs all tests: Rust tests, builds with other models, image, supply chain, manifests, browser, clients and load.
# Installs the tools that the tests need, on Debian and its derivatives.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset MODEL CARGO_TARGET_DIR
# The tests use the static binary, because this binary is shipped.
CARGO_BUILD_TARGET=$(uname -m)-unknown-linux-musl
export CARGO_BUILD_TARGET
built=target/$CARGO_BUILD_TARGET/release

. tests/packages.sh

heading() { printf '\n== %s\n' "$*"; }

heading "Tools"
command -v cargo >/dev/null || fail "cargo is missing; see https://rustup.rs"
missing=()
[ -x /usr/bin/chromium ] || missing+=(chromium)
[ -x /usr/bin/chromedriver ] || missing+=(chromium-driver)
command -v musl-gcc >/dev/null || missing+=(musl-tools)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "python3 is older than 3.10"

need_target "$CARGO_BUILD_TARGET"

venv=target/e2e-venv
if ! cmp -s tests/e2e/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/e2e/requirements.txt
    cp tests/e2e/requirements.txt "$venv/"
fi

heading "Rust tests"
cargo test --release --workspace

heading "ONNX's backend node tests"
rm -rf target/backend
"$venv/bin/python" -B crates/onnx-ml/tests/backend/generate.py target/backend
cargo build --release --workspace --examples
"$built/examples/backend" target/backend crates/onnx-ml/tests/backend/failing.txt

heading "Release build"
cargo build --release

heading "Image"
tests/image/run.sh

heading "Supply chain"
tests/supply/run.sh

heading "Manifests"
tests/manifests/run.sh

heading "Builds with other models"
tests/e2e/build.sh

export SERVER_BINARY="$PWD/$built/ml-app"

heading "Browser and OpenAPI document"
"$venv/bin/python" -B -m pytest -p no:cacheprovider --ignore tests/e2e/clients tests/e2e

heading "Clients"
tests/e2e/clients/run.sh

heading "Load"
tests/load/run.sh
