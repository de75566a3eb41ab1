#!/bin/sh
# Print the path of a Python 3.11 or newer: $PYTHON where it is set, else the first one found on PATH.
set -eu

for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
    # A name on PATH may be a shim with no interpreter behind it: only one that runs counts.
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        exec "$name" -c 'import sys; print(sys.executable)'
    fi
done

if [ -n "${PYTHON:-}" ]; then
    echo "PYTHON=$PYTHON is not a Python 3.11 or newer that runs." >&2
else
    echo "placer needs Python 3.11 or newer and finds none on PATH; name one: make PYTHON=/path/to/python3.12" >&2
fi
exit 7
