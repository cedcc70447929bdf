# shellcheck shell=bash
# Sourced by the scripts that run tests: what they need and the machine lacks is installed, on Debian
# and its kin.

fail() {
    echo "error: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "not root, and there is no sudo for: $*"
    fi
}

install_packages() {
    command -v apt-get >/dev/null || fail "install what Debian packages as $*: there is no apt-get"
    as_root apt-get update -qq || fail "apt-get update failed; it is needed to install $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" ||
        fail "apt-get cannot install $*"
}

# need_target TRIPLE: Rust's standard library for that target is there.
need_target() {
    [ -d "$(rustc --print target-libdir --target "$1")" ] && return
    command -v rustup >/dev/null || fail "there is no Rust library for $1, and no rustup to add it"
    rustup target add "$1" || fail "rustup cannot add the target $1"
}
