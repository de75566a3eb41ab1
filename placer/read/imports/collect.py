"""The script that gathers one host without placer being installed there."""

from __future__ import annotations

import re
from importlib.resources import files


def collect_script() -> str:
    """Return a POSIX shell script that reads one host, changes nothing on it, and makes a tar for `import_libvirt`."""
    return files("placer.read.imports").joinpath("collect.sh").read_text(encoding="utf-8")


def shell_function(name: str) -> str:
    """Return a function of the script, for others that ask a host the same."""
    found = re.search(rf"^{re.escape(name)}\(\) \{{\n.*?^\}}\n", collect_script(), re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[0]
