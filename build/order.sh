#!/usr/bin/env bash
# Writes build/order.ld, a linker script with the functions that the server runs from its start to its first response.
# To find these functions, runs the server in an emulator that logs each function. Installs missing packages on Debian
# and its derivatives.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh

machine=$(uname -m)
target=$machine-unknown-linux-musl
emulator=qemu-$machine-static
need_target "$target"
missing=()
command -v "$emulator" >/dev/null || missing+=(qemu-user-static)
command -v curl >/dev/null || missing+=(curl)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

cargo rustc --release --target "$target" --no-default-features --bin ml-app -- -C lto=thin -C strip=none

scratch=$(mktemp --directory)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
touch "$scratch/stderr"
# The emulator does not support the system calls of the sandbox.
PORT=0 ML_APP_HOST=127.0.0.1 ML_APP_SANDBOX=off "$emulator" -d nochain,exec -D "$scratch/log" \
    "target/$target/release/ml-app" 2>"$scratch/stderr" &
server=$!
for _ in $(seq 600); do
    url=$(sed -n 's|.*listening on \(http://[0-9.:]*\).*|\1|p' "$scratch/stderr")
    [ -z "$url" ] || break
    kill -0 "$server" 2>/dev/null || fail "the server exited: $(cat "$scratch/stderr")"
    sleep 0.1
done
[ -n "$url" ] || fail "the server did not listen within 60 s: $(cat "$scratch/stderr")"
request=$(sed -n "s|^\$ curl 'localhost:5000\(/predict[^']*\)'\$|\1|p" README.md | head -n 1)
curl --silent --show-error --fail --output /dev/null --max-time 60 "$url$request"
kill "$server"
wait "$server" || true

# Each Rust function has a separate section, which is named after the function. Wildcards replace the hashes and numbers
# in Rust's names, because hashes and numbers differ between builds. Names are truncated after 100 characters. Of the C
# code, only the allocator (mi_*) is compiled with a section for each function.
names=$(sed -n 's/^Trace .*\] //p' "$scratch/log" | sed -nE '/^(_ZN|_R|_?mi_)/p' |
    sed -E 's/17h[0-9a-f]{16}E.*/17h*/; s/Cs[0-9A-Za-z]+_/Cs*_/g; s/\.[0-9]+$/*/; s/^(.{100}).+/\1*/' | LC_ALL=C sort --unique)
[ "$(wc -l <<<"$names")" -gt 500 ] || fail "the emulator logged too few functions: ${names:0:500}"
{
    echo "/* The functions that the server runs from its start to its first response. They become adjacent, so a"
    echo "   start reads fewer pages of the file from disk and has fewer page faults. Written by build/order.sh. */"
    echo "SECTIONS {"
    echo "  .text.start : {"
    sed 's/.*/    *(.text.&)/' <<<"$names"
    echo "  }"
    echo "}"
    echo "INSERT BEFORE .text;"
} >"$scratch/order.ld"
mv "$scratch/order.ld" build/order.ld
echo "build/order.ld: $(wc -l <<<"$names") functions"
