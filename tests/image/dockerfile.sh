#!/usr/bin/env bash
# Builds the whole Dockerfile on machines that cannot pull images. The builder's image is Alpine with Rust. Instead of
# it, this script uses a STAND-IN: standin.sh makes an image of Debian with this machine's Rust. The test shows that
# stages, layers and commands work. Only a build with the builder's image shows that they work on Alpine.
#
# The script compiles everything two or three times, which takes half an hour on two cores. So `.ci/run` does not run
# it. With --arm64 the script also compiles for arm64, and runs that binary under qemu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh
. tests/image/engine.sh
. tests/image/response.sh
. tests/image/standin.sh

arm64=
case "$*" in
    "") ;;
    --arm64) arm64=yes ;;
    *) fail "expected no argument or --arm64, found \`$*\`" ;;
esac
[ "$(uname -m)" = x86_64 ] || fail "the stand-in supports x86_64 only, this machine is $(uname -m)"

step "Tools"
missing=()
command -v curl >/dev/null || missing+=(curl ca-certificates)
[ -x /usr/sbin/debootstrap ] || missing+=(debootstrap)
command -v python3 >/dev/null || missing+=(python3)
command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
command -v file >/dev/null || missing+=(file)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
install_engine
need_target x86_64-unknown-linux-musl
need_target aarch64-unknown-linux-musl
cargo fetch --locked

work=$PWD/target/dockerfile
begin_engine "$work"

step "Stand-in for the builder's image (not the builder's image)"
# shellcheck disable=SC2016
name=$(sed -n 's/^FROM --platform=\$BUILDPLATFORM \(rust:[^ ]*\) AS rust$/\1/p' Dockerfile)
[ -n "$name" ] || fail "the Dockerfile has no line FROM … AS rust"
standin "$work" "localhost/$name"
echo "localhost/$name"

# The build context: the tracked files of the working tree.
mkdir "$scratch/context"
git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$scratch/context"

# build TAG ARGUMENT...: builds the image. Prints the output, and writes it to $scratch/TAG.log.
build() {
    local begin=$SECONDS
    engine buildah build --layers --format docker --pull-never --network none \
        --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --tag "localhost/ml-app:$1" "${@:2}" \
        "$scratch/context" 2>&1 | tee "$scratch/$1.log"
    echo "($((SECONDS - begin)) s)"
}

# contains_model TAG MODEL: fails unless the image contains this model.
contains_model() {
    local digest
    digest=$(sha256sum "$2" | cut -d ' ' -f 1)
    engine podman run --rm --read-only --cap-drop=ALL --network none \
        --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 "localhost/ml-app:$1" inspect |
        grep -F "$digest" || fail "localhost/ml-app:$1 does not contain $2"
}

# lists_crates TAG: fails unless the binary in the image lists its crates.
lists_crates() {
    engine podman run --rm --read-only --cap-drop=ALL --network none \
        --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 "localhost/ml-app:$1" sbom |
        grep -F '"purl": "pkg:cargo/actix-web@' || fail "localhost/ml-app:$1 does not list its crates"
}

step "docker build ."
build default
contains_model default model.onnx
lists_crates default

step "docker build --build-arg MODEL=tests/cases/external-data/model.onnx . (after a change of source)"
echo '// A change.' >>"$scratch/context/src/lib.rs"
build other --build-arg MODEL=tests/cases/external-data/model.onnx
contains_model other tests/cases/external-data/model.onnx
grep -q 'Compiling ml-app ' "$scratch/other.log" || fail "the changed source is not compiled"
if grep 'Compiling tract-core' "$scratch/other.log"; then
    fail "dependencies are compiled again after a change of source"
fi

[ -n "$arm64" ] || exit 0
step "docker build --platform linux/arm64 ."
# buildah 1.28 does not set BUILDPLATFORM.
build arm64 --platform linux/arm64 --build-arg BUILDPLATFORM=linux/amd64
container=$(engine buildah from --pull-never --platform linux/arm64 localhost/ml-app:arm64)
mounted=$(engine buildah mount "$container")
as_root cat "$mounted/ml-app" >"$scratch/ml-app"
chmod 755 "$scratch/ml-app"
file --brief "$scratch/ml-app"
qemu-aarch64-static "$scratch/ml-app" inspect | grep -F "$(sha256sum model.onnx | cut -d ' ' -f 1)" ||
    fail "the binary for arm64 does not contain model.onnx"

port=$(free_port)
timeout 600 qemu-aarch64-static "$scratch/ml-app" --host 127.0.0.1 --port "$port" &
server=$!
readme_prediction
same_response "$response" "$(curl --silent --show-error --fail --max-time 300 --retry 300 --retry-delay 1 \
    --retry-connrefused "http://127.0.0.1:$port$path")"
kill -TERM "$server"
wait "$server" || fail "the binary for arm64 exits with $? after SIGTERM"
