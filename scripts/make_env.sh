#!/bin/sh
# Make .venv: every pinned package that runs, tests and checks placer, and placer itself, editable.
set -eu

cd "$(dirname "$0")/.."

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$(scripts/find_python.sh)
    scripts/uv.sh venv --quiet --clear --python "$python" .venv
fi
# Bytecode is compiled here, once: the first `placer --help` is then as fast as the later ones.
scripts/uv.sh pip install --quiet --compile-bytecode --require-hashes --python .venv/bin/python \
    -r requirements/dev.txt
# hatchling is among the pinned packages: no build environment with unpinned ones is made.
scripts/uv.sh pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .
