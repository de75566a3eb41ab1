"""The one way into text files: untrusted bytes become lines, within limits that no real machine comes near."""

from __future__ import annotations

import re
from collections.abc import Callable

from placer.errors import InputError

MAX_TEXT_BYTES = 32 * 1024 * 1024
"""Larger texts are refused unread: /proc/cpuinfo of 4,096 CPUs has about 6 MB."""
MAX_LINE_CHARACTERS = 1_000_000
"""A longer line is refused: the longest real one, the CPUs of a node of 4,096, has 20,000 characters."""
MAX_DIGITS = 15
"""Numbers with more digits are refused before Python turns them into one."""

_QUOTE = re.compile(r"\s*(?:[>|]\s?)+")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# Colours of a terminal; a no-break space, as web pages and mail programs put it.
_ESCAPES = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
_NO_BREAK_SPACE = "\u00a0"
# What stays of a web page around text that was copied out of its source.
_PAGE_TAGS = re.compile(r"</?(?:pre|code|samp|blockquote|p|br)(?:\s[^<>]{0,100})?/?>", re.IGNORECASE)
_PAGE_TAG_BYTES = re.compile(_PAGE_TAGS.pattern.encode(), re.IGNORECASE)
# No tool pads so far; patterns that look for the end of a value would take a time that is quadratic in the run.
_LONG_BLANK = re.compile(r"[^\S\r\n]{65,}")


def as_utf_8(data: bytes) -> bytes:
    """Return text that PowerShell wrote, UTF-16 with its mark, as UTF-8; everything else as it is."""
    if not data.startswith(_UTF_16):
        return data
    return data.decode("utf-16", errors="replace").encode()


def text_lines(data: bytes, source: str) -> list[str]:
    """Return the lines of a text file without their line ends.

    Raises
    ------
    InputError
        Empty, too large, binary, or with a line that no tool writes.
    """
    if not data.strip():
        raise InputError("the file is empty", file=source)
    data = as_utf_8(data) if len(data) <= MAX_TEXT_BYTES else data
    if len(data) > MAX_TEXT_BYTES:
        raise InputError(f"the text has {len(data)} bytes, more than {MAX_TEXT_BYTES}", file=source)
    longest = _longest_line(data)
    if longest > MAX_LINE_CHARACTERS:
        raise InputError(f"a line has {longest} bytes, more than {MAX_LINE_CHARACTERS}", file=source)
    if b"\0" in data:
        raise InputError("this is no text: it holds NUL bytes", file=source)
    text = data.decode("utf-8-sig", errors="replace").replace(_NO_BREAK_SPACE, " ")
    return _LONG_BLANK.sub(" " * 64, _PAGE_TAGS.sub("", _ESCAPES.sub("", text))).splitlines()


def without_page_tags(data: bytes) -> bytes:
    """Return text without the tags that stand around preformatted text in the source of a web page."""
    return _PAGE_TAG_BYTES.sub(b"", data)


def _longest_line(data: bytes) -> int:
    return max(map(len, data.split(b"\n")))


def without_quotes(lines: list[str]) -> list[str]:
    """Return the lines without the ``> `` that mail and terminals put before pasted text."""
    return [line[match.end() :] if (match := _QUOTE.match(line)) else line for line in lines]


def number(text: str, what: str, source: str, line: int | None = None) -> int:
    """Return the whole number in `text`.

    Raises
    ------
    InputError
        It is no number, or one with more digits than any count of a machine.
    """
    compact = text.strip()
    if not re.fullmatch(rf"-?[0-9]{{1,{MAX_DIGITS}}}", compact):
        raise InputError(f"{what} is {compact[:40]!r}, not a whole number", file=source, line=line)
    return int(compact)


def whole_count(text: str | None, what: str, source: str, fault: Callable[[str], None]) -> int | None:
    """Return the whole number from 0 up in `text`; what is none is told to `fault`, and is None."""
    try:
        value = number(text or "", what, source)
    except InputError as error:
        fault(error.faults[0].message)
        return None
    if value < 0:
        fault(f"{what} is {value}, below 0")
        return None
    return value
