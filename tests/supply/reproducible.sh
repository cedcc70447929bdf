#!/usr/bin/env bash
# Builds the last commit twice, in different folders and with different cargo homes. Checks that the two binaries are
# identical byte for byte.
#
# Both builds compile everything, which takes half an hour on two cores. So `.ci/run` does not run this script.
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

# build FOLDER CARGO_HOME: builds the binary in FOLDER, and copies it to FOLDER/ml-app.
build() {
    local begin=$SECONDS
    mkdir -p "$1/src"
    git archive "$commit" | tar --extract --directory "$1/src"
    # Panic messages contain paths of source files, from the registry and from this build. The flags replace these paths.
    env --chdir "$1/src" CARGO_HOME="$2" \
        "$flags=--remap-path-prefix=$2/registry/src=/cargo --remap-path-prefix=$1/src=/src" \
        cargo rustc --quiet --release --locked --no-default-features --bin ml-app --target "$target" -- -C lto=thin
    cp "$1/src/target/$target/release/ml-app" "$1/"
    rm -rf "$1/src"
    echo "$(sha256sum "$1/ml-app"), $(stat --format %s "$1/ml-app") bytes, $((SECONDS - begin)) s"
}

home=${CARGO_HOME:-$HOME/.cargo}
build "$work/first" "$home"

# Copies the settings and the downloaded crates. cargo unpacks the sources again.
second=$work/another/cargo-home
mkdir -p "$second/registry"
for part in config.toml registry/cache registry/index; do
    [ ! -e "$home/$part" ] || cp -R "$home/$part" "$second/$part"
done
build "$work/another/folder" "$second"
rm -rf "$second"

cmp "$work/first/ml-app" "$work/another/folder/ml-app" || fail "the two builds differ; see $work"
if grep --quiet --binary-files=text --fixed-strings -e "$work" -e "$home/" "$work/first/ml-app"; then
    fail "the binary contains paths of the machine that compiled it"
fi
rm -rf "$work"
echo "ok: the same binary"
