#!/bin/sh
# Pin every package, with hashes, for Python 3.11 and newer on Linux and macOS. Addresses of registries stay out.
set -eu

cd "$(dirname "$0")/.."

compile() { # compile FILE ARGUMENT...
    out=requirements/$1
    shift
    scripts/uv.sh pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file "$out" "$@"
}

compile base.txt pyproject.toml
compile dev.txt pyproject.toml --constraints requirements/base.txt \
    --extra excel --extra parquet --extra dask --extra serve --group dev
compile docs.txt pyproject.toml --constraints requirements/dev.txt --group docs
compile platforms.txt pyproject.toml --constraints requirements/dev.txt --group platforms
compile libvirt.txt pyproject.toml --constraints requirements/base.txt --extra libvirt
printf 'uv\n' | compile tools.txt -
