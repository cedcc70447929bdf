#!/usr/bin/env bash
# Two builds of the last commit give the same binary, byte for byte: in two folders, with two cargo homes.
#
# Everything is compiled twice from nothing, which takes half an hour on two processors; `.ci/run` does
# without it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh

target=$(uname -m)-unknown-linux-musl
need_target "$target"
flags=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_RUSTFLAGS
command -v musl-gcc >/dev/null || install_packages musl-tools
commit=$(git rev-parse HEAD)
work=$PWD/target/reproducible
rm -rf "$work"
mkdir -p "$work"

# build FOLDER CARGO_HOME: the binary becomes FOLDER/ml-app.
build() {
    local begin=$SECONDS
    mkdir -p "$1/src"
    git archive "$commit" | tar --extract --directory "$1/src"
    # The flags are for where a panic is: in the crates of the registry, and in code that build scripts write.
    env --chdir "$1/src" CARGO_HOME="$2" \
        "$flags=--remap-path-prefix=$2/registry/src=/cargo --remap-path-prefix=$1/src=/src" \
        cargo rustc --quiet --release --locked --no-default-features --bin ml-app --target "$target" -- -C lto=thin
    cp "$1/src/target/$target/release/ml-app" "$1/"
    rm -rf "$1/src"
    echo "$(sha256sum "$1/ml-app"), $(stat --format %s "$1/ml-app") bytes, $((SECONDS - begin)) s"
}

home=${CARGO_HOME:-$HOME/.cargo}
build "$work/first" "$home"

# Its settings and what it has downloaded; sources are unpacked anew.
second=$work/another/cargo-home
mkdir -p "$second/registry"
for part in config.toml registry/cache registry/index; do
    [ ! -e "$home/$part" ] || cp -R "$home/$part" "$second/$part"
done
build "$work/another/place" "$second"
rm -rf "$second"

cmp "$work/first/ml-app" "$work/another/place/ml-app" || fail "the two builds differ; they are kept in $work"
if grep --quiet --binary-files=text --fixed-strings -e "$work" -e "$home/" "$work/first/ml-app"; then
    fail "the binary names the folders of the machine that compiled it"
fi
rm -rf "$work"
echo "ok: the same binary"
