# shellcheck shell=bash
# Sourced by dockerfile.sh. Makes a stand-in for the builder's image, for machines that cannot pull images.

# standin DIRECTORY IMAGE: makes the image from Debian packages and this machine's Rust. The image is not Alpine. Its
# `apk` and `rustup` are stubs, which support only the commands of the Dockerfile and download nothing. Build scripts are
# linked with glibc instead of musl.
standin() {
    local root=$1/standin host
    host=$(rustc --version --verbose | sed -n 's/^host: //p')
    as_root rm -rf "$root"
    as_root debootstrap --variant=minbase \
        --include=gcc,libc6-dev,musl-tools,clang,llvm,lld,ca-certificates bookworm "$root" >"$1/standin.log" ||
        fail "debootstrap failed; see $1/standin.log"

    # Downloads the headers of musl for arm64. On Alpine, apk downloads them.
    as_root chroot "$root" sh -euc '
        dpkg --add-architecture arm64
        apt-get update -qq
        cd /opt
        apt-get download -qq musl-dev:arm64
        dpkg -x musl-dev_*_arm64.deb musl-arm64
        apt-get clean' >>"$1/standin.log" 2>&1 || fail "cannot get the headers for arm64; see $1/standin.log"

    local rust
    rust=$(rustc --print sysroot)
    as_root mkdir -p "$root/usr/local/rust/lib/rustlib" "$root/usr/local/cargo/registry"
    as_root cp -a "$rust/bin" "$root/usr/local/rust/"
    as_root find "$rust/lib" -maxdepth 1 -name '*.so*' -exec cp -a {} "$root/usr/local/rust/lib/" \;
    for part in "$host" x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
        as_root cp -a "$rust/lib/rustlib/$part" "$root/usr/local/rust/lib/rustlib/"
    done
    # The build has no network, so the image needs the downloaded crates.
    as_root cp -a "${CARGO_HOME:-$HOME/.cargo}"/registry/{cache,index} "$root/usr/local/cargo/registry/"

    as_root tee "$root/usr/local/bin/rustup" >/dev/null <<'SH'
#!/bin/sh -eu
[ "$1 $2" = "target add" ]
[ -d "/usr/local/rust/lib/rustlib/$3" ]
SH
    as_root tee "$root/usr/local/bin/apk" >/dev/null <<'SH'
#!/bin/sh -eu
[ "$1" = add ]
case "$*" in
    *"--root /sysroot --arch aarch64 "*" musl-dev")
        mkdir -p /sysroot/usr
        cp -r /opt/musl-arm64/usr/include/aarch64-linux-musl /sysroot/usr/include ;;
    "add --no-cache musl-dev" | "add --no-cache clang llvm") ;;
    *) echo "the stand-in does not support: apk $*" >&2; exit 1 ;;
esac
SH
    as_root chmod 755 "$root/usr/local/bin/rustup" "$root/usr/local/bin/apk"
    as_root tar --create --directory "$root" . | engine podman import --quiet \
        --change ENV=PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --change ENV=CARGO_HOME=/usr/local/cargo \
        --change ENV=CARGO_NET_OFFLINE=true - "$2" >/dev/null
    as_root rm -rf "$root"
}
