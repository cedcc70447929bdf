#!/usr/bin/env bash
# The whole Dockerfile, against a STAND-IN for the builder's image: Debian with this machine's Rust in
# the place of Alpine with its own, made by standin.sh. It is for machines that can pull no image. What
# it shows is that the stages, the layers and the commands in them do what they should; that they do so
# on Alpine, only a build with the true image shows.
#
# Everything is compiled two or three times, which takes half an hour on two processors; `.ci/run` does
# without it. With --arm64 it also compiles for arm64, and runs that under qemu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh
. tests/image/engine.sh
. tests/image/answer.sh
. tests/image/standin.sh

arm64=
case "$*" in
    "") ;;
    --arm64) arm64=yes ;;
    *) fail "expected no argument or --arm64, but found \`$*\`" ;;
esac
[ "$(uname -m)" = x86_64 ] || fail "the stand-in is for x86_64 only, but this machine is $(uname -m)"

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
[ -n "$name" ] || fail "the Dockerfile names no builder"
standin "$work" "localhost/$name"
echo "localhost/$name"

# The context: the files of the working tree that git knows.
mkdir "$scratch/context"
git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$scratch/context"

# build TAG ARGUMENT...: its output is shown, and kept in $scratch/TAG.log.
build() {
    local begin=$SECONDS
    engine buildah build --layers --format docker --pull-never --network none \
        --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --tag "localhost/ml-app:$1" "${@:2}" \
        "$scratch/context" 2>&1 | tee "$scratch/$1.log"
    echo "($((SECONDS - begin)) s)"
}

# served TAG MODEL: the image holds that model.
served() {
    local digest
    digest=$(sha256sum "$2" | cut -d ' ' -f 1)
    engine podman run --rm --read-only --cap-drop=ALL --network none \
        --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 "localhost/ml-app:$1" inspect |
        grep -F "$digest" || fail "localhost/ml-app:$1 does not hold $2"
}

# listed TAG: the image tells its crates.
listed() {
    engine podman run --rm --read-only --cap-drop=ALL --network none \
        --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 "localhost/ml-app:$1" sbom |
        grep -F '"purl": "pkg:cargo/actix-web@' || fail "localhost/ml-app:$1 does not tell its crates"
}

step "docker build ."
build default
served default model.onnx
listed default

step "docker build --build-arg MODEL=tests/cases/external-data/model.onnx . (after a change of source)"
echo '// A change.' >>"$scratch/context/src/lib.rs"
build other --build-arg MODEL=tests/cases/external-data/model.onnx
served other tests/cases/external-data/model.onnx
grep -q 'Compiling ml-app ' "$scratch/other.log" || fail "the change of source is not compiled"
if grep 'Compiling tract-core' "$scratch/other.log"; then
    fail "the dependencies are compiled again after a change of source"
fi

[ -n "$arm64" ] || exit 0
step "docker build --platform linux/arm64 ."
# buildah 1.28 does not know it in FROM by itself.
build arm64 --platform linux/arm64 --build-arg BUILDPLATFORM=linux/amd64
container=$(engine buildah from --pull-never --platform linux/arm64 localhost/ml-app:arm64)
mounted=$(engine buildah mount "$container")
as_root cat "$mounted/ml-app" >"$scratch/ml-app"
chmod 755 "$scratch/ml-app"
file --brief "$scratch/ml-app"
qemu-aarch64-static "$scratch/ml-app" inspect | grep -F "$(sha256sum model.onnx | cut -d ' ' -f 1)" ||
    fail "the binary for arm64 does not hold model.onnx"

port=$(free_port)
timeout 120 qemu-aarch64-static "$scratch/ml-app" --host 127.0.0.1 --port "$port" &
served=$!
readme_prediction
same_answer "$answer" "$(curl --silent --show-error --fail --max-time 60 --retry 30 --retry-delay 1 \
    --retry-connrefused "http://127.0.0.1:$port$question")"
kill -TERM "$served"
wait "$served" || fail "the binary for arm64 ends with $? after SIGTERM"
