#!/bin/sh
# Install what other people say of the files that placer writes: linters, parsers and clients into .venv, and from npm
# the types of the APIs of KubeVirt, of Proxmox and of its Terraform provider under .venv/platforms.
set -eu

cd "$(dirname "$0")/.."

can_build() { # oVirt's client is built from source
    pkg-config --exists libxml-2.0 2>/dev/null && { cc --version || gcc --version; } >/dev/null 2>&1
}

missing=
command -v npm >/dev/null 2>&1 || missing=npm
if command -v apt-get >/dev/null 2>&1; then
    can_build || missing="$missing libxml2-dev pkg-config gcc libc6-dev python3-dev"
    refresh="apt-get update -qq"
    install="apt-get install -y -qq --no-install-recommends $missing"
elif command -v dnf >/dev/null 2>&1; then
    can_build || missing="$missing libxml2-devel pkgconf gcc python3-devel"
    refresh=true
    install="dnf install -y -q $missing"
else
    can_build || missing="$missing libxml2-headers pkg-config a-C-compiler"
    refresh=true
    install="(this system's package manager) $missing"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ] || ! { command -v apt-get || command -v dnf; } >/dev/null 2>&1; then
        echo "The tools of the platforms need $missing. Run this, then make platforms again:" >&2
        echo "    sudo $install" >&2
        exit 7
    fi
    $refresh
    DEBIAN_FRONTEND=noninteractive $install
fi
scripts/uv.sh pip install --quiet --require-hashes --python .venv/bin/python -r requirements/platforms.txt
# Nothing of these runs but TypeScript's compiler, which reads the others.
npm install --silent --no-audit --no-fund --ignore-scripts --legacy-peer-deps --omit=peer --prefix .venv/platforms \
    typescript@5.9.3 @kubevirt-ui-ext/kubevirt-api@1.7.0 proxmox-api@1.1.1
# Of the provider only its types are read: what they build on stays away.
provider=@muhlba91/pulumi-proxmoxve@8.6.0
archive=$(cd .venv/platforms && npm pack --silent "$provider")
mkdir -p .venv/platforms/provider
tar -xzf ".venv/platforms/$archive" -C .venv/platforms/provider
rm ".venv/platforms/$archive"
