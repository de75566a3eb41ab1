#!/bin/sh
# Install what the tests of the report need: Chromium, as root with apt or dnf, and axe-core from npm under .venv/axe.
set -eu

cd "$(dirname "$0")/.."
axe=4.14.1

has_browser() {
    for name in chromium chromium-browser google-chrome-stable google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

missing=
has_browser || missing=chromium
command -v npm >/dev/null 2>&1 || missing="$missing npm"
if [ -n "$missing" ]; then
    if command -v apt-get >/dev/null 2>&1; then
        refresh="apt-get update -qq"
        install="apt-get install -y -qq --no-install-recommends $missing"
    elif command -v dnf >/dev/null 2>&1; then
        refresh=true
        install="dnf install -y -q $missing"
    else
        echo "Missing:$missing. Install it with this system's package manager, then run make browser again." >&2
        exit 7
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "The tests of the report need$missing. Run this, then make browser again:" >&2
        echo "    sudo $install" >&2
        exit 7
    fi
    $refresh
    DEBIAN_FRONTEND=noninteractive $install
fi
npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv/axe "axe-core@$axe"
