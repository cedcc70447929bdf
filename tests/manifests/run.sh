#!/usr/bin/env bash
# Renders every overlay and every combination of components, and checks what comes out: against the
# schemas of Kubernetes, across fields, and by the restricted Pod Security Standard. Then the Dockerfile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/packages.sh

# Debian's package has kustomize in it.
command -v kubectl >/dev/null || install_packages kubernetes-client

venv=target/manifests-venv
if ! cmp -s tests/manifests/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/manifests/requirements.txt
    cp tests/manifests/requirements.txt "$venv/"
fi
"$venv/bin/python" -B -m pytest -p no:cacheprovider tests/manifests
"$venv/bin/hadolint" Dockerfile
