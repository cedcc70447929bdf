#!/usr/bin/env bash
# Builds the website of the documentation into target/site. Checks the links of the website and of every
# Markdown file in the repository. Installs mdBook, unless the machine has the version below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET
. tests/packages.sh

version=0.5.4
mdbook=mdbook
if [ "$(mdbook --version 2>/dev/null)" != "mdbook v$version" ]; then
    mdbook=target/mdbook/bin/mdbook
    # Leaves out the features that serve the book and watch its files. They need half of all dependencies.
    [ "$("$mdbook" --version 2>/dev/null)" = "mdbook v$version" ] ||
        cargo install mdbook --locked --version "$version" --no-default-features --features search \
            --root target/mdbook --target-dir target/mdbook/build
fi
command -v python3 >/dev/null || install_packages python3

rm -rf target/site
"$mdbook" build docs
python3 -B tests/docs/links.py target/site
