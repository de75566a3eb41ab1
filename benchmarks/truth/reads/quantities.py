"""Sizes and lists of CPUs as an inventory writes them."""

from __future__ import annotations

from fractions import Fraction

_UNITS_KIB = {"KiB": 1, "MiB": 1024, "GiB": 1024**2, "TiB": 1024**3}


def kib(text: str) -> int:
    """Return a size with a binary unit in KiB."""
    return int(Fraction(text[:-3]) * _UNITS_KIB[text[-3:]])


def cpu_list(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as ``0-3,8``."""
    found: set[int] = set()
    for part in filter(None, str(text).split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
