#!/bin/sh
# Install libvirt-python into .venv, and first what it is built from (libvirt's headers, pkg-config, a C compiler,
# Python's headers): as root with apt or dnf; for anyone else the command is printed.
set -eu

cd "$(dirname "$0")/.."
venv_python=.venv/bin/python

if "$venv_python" -c 'import libvirt' >/dev/null 2>&1; then
    exit 0
fi

can_build() {
    pkg-config --exists libvirt 2>/dev/null && { cc --version || gcc --version; } >/dev/null 2>&1 &&
        "$venv_python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

if ! can_build; then
    if command -v apt-get >/dev/null 2>&1; then
        refresh="apt-get update -qq"
        install="apt-get install -y -qq --no-install-recommends libvirt-dev pkg-config gcc libc6-dev python3-dev"
    elif command -v dnf >/dev/null 2>&1; then
        refresh=true
        install="dnf install -y -q libvirt-devel pkgconf gcc python3-devel"
    elif command -v brew >/dev/null 2>&1; then
        refresh=true
        install="brew install libvirt pkg-config"
    else
        echo "libvirt-python is built from source: install libvirt's headers, pkg-config, a C compiler and Python's" >&2
        echo "headers with this system's package manager, then run make libvirt again." >&2
        exit 7
    fi
    # brew refuses to run as root, apt and dnf need it.
    if [ "$(id -u)" -eq 0 ] && ! command -v brew >/dev/null 2>&1; then
        $refresh
        DEBIAN_FRONTEND=noninteractive $install
    else
        case $install in brew*) sudo="" ;; *) sudo="sudo " ;; esac
        echo "libvirt-python is built from source and something for that is missing. Run this, then make libvirt again:" >&2
        echo "    $sudo$install" >&2
        exit 7
    fi
    if ! can_build; then
        echo "The packages are installed, yet pkg-config does not find libvirt, there is no C compiler, or" >&2
        echo "$("$venv_python" -c 'import sysconfig; print(sysconfig.get_path("include"))') has no Python.h." >&2
        exit 7
    fi
fi

scripts/uv.sh pip install --quiet --require-hashes --python "$venv_python" -r requirements/libvirt.txt
"$venv_python" -c 'import libvirt; print("libvirt-python", libvirt.getVersion())'
