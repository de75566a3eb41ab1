#!/bin/sh
# Run uv with the arguments given: the one on PATH, or one fetched into the environment .venv-tools at the pinned version.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.venv-tools
python=$("$root/scripts/find_python.sh")

UV_PYTHON_DOWNLOADS=never
export UV_PYTHON_DOWNLOADS
# Where the system keeps certificates they count, as they do for pip and git: a proxy's own may be among them.
if "$python" -c 'import os, ssl, sys
paths = ssl.get_default_verify_paths()
sys.exit(not (paths.cafile or (paths.capath and os.listdir(paths.capath))))'; then
    UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
    export UV_SYSTEM_CERTS
fi

# An old uv, without the options used here, does not count.
if uv venv --help 2>/dev/null | grep -q -- --clear; then
    exec uv "$@"
fi

if ! [ -x "$tools/bin/uv" ]; then
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        # Debian and Ubuntu ship pip's bootstrap in a package of its own, one for each minor version.
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
            apt-get update -qq >&2
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
        else
            echo "$python cannot make an environment: its module ensurepip is missing." >&2
            echo "Install it (Debian, Ubuntu: sudo apt-get install $package) or put uv on PATH, then run make again." >&2
            exit 7
        fi
    fi
    # --clear: a half-made environment of an interrupted run goes.
    "$python" -m venv --clear "$tools" >&2
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r "$root/requirements/tools.txt" >&2
fi
exec "$tools/bin/uv" "$@"
