# shellcheck shell=bash
# Sourced by the scripts that run tests. Functions to install the tools that the scripts need, on Debian and its
# derivatives.

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
        fail "root or sudo is needed for: $*"
    fi
}

install_packages() {
    command -v apt-get >/dev/null || fail "apt-get is missing; install the tools of these Debian packages: $*"
    as_root apt-get update -qq || fail "apt-get update failed; it is needed to install $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" ||
        fail "apt-get cannot install $*"
}

# need_target TRIPLE: installs Rust's standard library for this target, if it is missing.
need_target() {
    [ -d "$(rustc --print target-libdir --target "$1")" ] && return
    command -v rustup >/dev/null || fail "the Rust target $1 is missing, and rustup is missing"
    rustup target add "$1" || fail "rustup cannot add the target $1"
}
