"""How values stand in a written inventory: quoted where another YAML reader could take them for something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from placer.model.cpuset import format_cpuset
from placer.model.units import format_kib

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*|[0-9]+[A-Za-z_][A-Za-z0-9_-]*")
_WORDS_OF_YAML = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"})
_NUMBER_LIKE = re.compile(r"[0-9]+[eE_xob].*")
_LINE_BREAKS = frozenset("\x85\u2028\u2029\ufeff")


def quoted(text: str) -> str:
    """Return text in double quotes with everything escaped that does not print."""
    out = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif char.isprintable() and char not in _LINE_BREAKS:
            out.append(char)
        else:
            out.append(f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def scalar(text: str) -> str:
    """Return text plain where every reader of YAML takes it for text, else quoted."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML and not _NUMBER_LIKE.fullmatch(text):
        return text
    return quoted(text)


def boolean(value: bool) -> str:
    """Return ``true`` or ``false``."""
    return "true" if value else "false"


def number(value: float) -> str:
    """Return the shortest decimal that reads back as the same number."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def size(kib: int) -> str:
    """Return a memory size with its unit."""
    return format_kib(kib)


def cpus(values: Iterable[int]) -> str:
    """Return a CPU list, always quoted: ``4`` alone would be a number."""
    return quoted(format_cpuset(values))


def flow_list(items: Iterable[str]) -> str:
    """Return items that are written already as one list on one line."""
    return "[" + ", ".join(items) + "]"


def flow_map(pairs: Mapping[str, str]) -> str:
    """Return keys and written values as one mapping on one line."""
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"


def texts(values: Iterable[str]) -> str:
    """Return a list of texts."""
    return flow_list(scalar(value) for value in values)


def text_map(values: Mapping[str, str]) -> str:
    """Return labels."""
    return flow_map({scalar(key): scalar(value) for key, value in values.items()})


def page_map(pages: Mapping[int, int]) -> str:
    """Return page pools: size to count."""
    return flow_map({size(kib): str(count) for kib, count in pages.items()})
