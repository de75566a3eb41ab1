"""Sizes with units, read as libvirt reads them; inside placer memory is whole KiB. Numbers with their nouns."""

from __future__ import annotations

import re
from fractions import Fraction

from placer.errors import InputError

KIB_PER_MIB = 1024
KIB_PER_GIB = 1024 * 1024

_SCALE: dict[str, int] = {"b": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    _SCALE[_letter] = _SCALE[f"{_letter}ib"] = _SCALE[f"{_letter}i"] = 1024**_power
    _SCALE[f"{_letter}b"] = 1000**_power

_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]+)\s*")
_LARGEST_BYTES = 2**63 - 1


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 node``, ``2 nodes``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def exact_bytes(text: str) -> Fraction:
    """Read a size with its unit in bytes, a fraction of a byte included: ``25.6GiB``.

    Raises
    ------
    InputError
        No unit (a bare number is never guessed), an unknown unit, or over 2^63.
    """
    if not isinstance(text, str):
        raise InputError(f"size {text!r} has no unit", cure=f'write "{text}MiB" or "{text}GiB", whichever it is')
    match = _SIZE.fullmatch(text)
    if match is None:
        bare = text.strip()[:40]
        cure = (
            f'write "{bare}MiB" or "{bare}GiB", whichever it is'
            if bare.replace(".", "").isdigit()
            else 'write it like "64GiB"'
        )
        raise InputError(f"size {text[:40]!r} is no number with a unit", cure=cure)
    scale = _SCALE.get(match[2].lower())
    if scale is None:
        raise InputError(
            f"size {text[:40]!r}: unknown unit {match[2][:20]!r}", cure="use KiB, MiB, GiB, TiB, or KB, MB, GB, TB"
        )
    exact = Fraction(match[1]) * scale
    if exact > _LARGEST_BYTES:
        raise InputError(f"size {text[:40]!r} is above 2^63 bytes")
    return exact


def parse_bytes(text: str) -> int:
    """Read a size with its unit in bytes: ``G`` and ``GiB`` are 2^30, ``GB`` is 10^9, ``Gi`` too is 2^30.

    Raises
    ------
    InputError
        No unit (a bare number is never guessed), an unknown unit, a fraction of a byte, or over 2^63.
    """
    exact = exact_bytes(text)
    if exact.denominator != 1:
        raise InputError(f"size {text[:40]!r} is not a whole number of bytes")
    return int(exact)


def parse_kib(text: str) -> int:
    """Read a memory size in KiB, rounded up as libvirt does."""
    return -(-parse_bytes(text) // 1024)


def libvirt_kib(number: str, unit: str | None) -> int:
    """Return libvirt's ``<memory unit=…>`` in KiB; without a unit libvirt means KiB."""
    digits, scale = number.strip(), _SCALE.get((unit or "KiB").lower())
    if scale is not None and digits.isascii() and digits.isdigit() and len(digits) <= 15 and scale <= 1024:
        # As libvirt writes them: no fraction, and far from any limit.
        return -(-int(digits) * scale // 1024)
    return parse_kib(f"{number.strip()}{unit or 'KiB'}")


def format_kib(kib: int) -> str:
    """Return the size with the largest binary unit that keeps it whole: ``64GiB``, ``500MiB``, ``7KiB``."""
    for unit, scale in (("TiB", 1024**3), ("GiB", 1024**2), ("MiB", 1024)):
        if kib and kib % scale == 0:
            return f"{kib // scale}{unit}"
    return f"{kib}KiB"


def mib_number(kib: int) -> int | float:
    """Return MiB as a whole number where it is one, else as the exact binary fraction."""
    return kib // KIB_PER_MIB if kib % KIB_PER_MIB == 0 else kib / KIB_PER_MIB
