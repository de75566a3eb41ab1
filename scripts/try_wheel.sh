#!/bin/sh
# Build the wheel into dist/, install it with the pinned packages into a fresh environment, and run it elsewhere:
# what works there needs nothing of the checkout.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/placer-wheel.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

rm -f dist/numa_placer-*.whl
.venv/bin/python -m hatchling build --target wheel --directory dist
wheel=$(ls "$root"/dist/numa_placer-*.whl)

scripts/uv.sh venv --quiet --python .venv/bin/python "$scratch/env"
scripts/uv.sh pip install --quiet --require-hashes --python "$scratch/env/bin/python" -r requirements/base.txt
scripts/uv.sh pip install --quiet --no-deps --python "$scratch/env/bin/python" "$wheel"

mkdir "$scratch/elsewhere"
cd "$scratch/elsewhere"
unset PYTHONPATH
"$scratch/env/bin/python" -c 'import sys, placer, solvers, benchmarks
for package in (placer, solvers, benchmarks):
    if not package.__path__[0].startswith(sys.prefix):
        sys.exit("%s comes from %s, not from the wheel" % (package.__name__, package.__path__[0]))'
"$scratch/env/bin/placer" --version
"$scratch/env/bin/placer" demo
