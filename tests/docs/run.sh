#!/usr/bin/env bash
# Builds the documentation's site into target/site, and checks the links of the site and of every Markdown
# file in the repository. Installs mdBook if the machine lacks this version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET
. tests/packages.sh

version=0.5.4
mdbook=mdbook
if [ "$(mdbook --version 2>/dev/null)" != "mdbook v$version" ]; then
    mdbook=target/mdbook/bin/mdbook
    # Without the features that serve the book and watch its files: they are half of the dependencies.
    [ "$("$mdbook" --version 2>/dev/null)" = "mdbook v$version" ] ||
        cargo install mdbook --locked --version "$version" --no-default-features --features search \
            --root target/mdbook --target-dir target/mdbook/build
fi
command -v python3 >/dev/null || install_packages python3

rm -rf target/site
"$mdbook" build docs
python3 -B tests/docs/links.py target/site
