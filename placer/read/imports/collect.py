"""The script that gathers one host without placer being installed there."""

from __future__ import annotations

from importlib.resources import files


def collect_script() -> str:
    """Return a POSIX shell script that reads one host, changes nothing on it, and makes a tar for `import_libvirt`."""
    return files("placer.read.imports").joinpath("collect.sh").read_text(encoding="utf-8")
