"""The words of a QEMU command line, and the comma lists and JSON objects they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from placer.errors import InputError

MAX_BYTES = 2 * 1024 * 1024
"""As much as Linux passes to a process."""
_PROGRAM = re.compile(r"qemu|kvm")
_BARE_JSON = re.compile(r"""\s\{["a-z]""")
_PIECE = re.compile(r"""\s+|'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"\\]+""", re.DOTALL)
_ESCAPED = re.compile(r"""\\([$`"\\])""")
_PART = re.compile(r"(?:[^,]|,,)+")
_SIZE = re.compile(r"(\d{1,15})([bkmgtpe]?)(?:i?b)?", re.IGNORECASE)
_JSON_KEYS = {"qom-type": "type", "driver": "type"}
_LARGEST_KIB = 2**53
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


@dataclass(frozen=True, slots=True)
class Option:
    """One argument of QEMU: its name without dashes and what follows it."""

    name: str
    value: str


def command_words(data: bytes, source: str) -> list[str]:
    """Return the arguments behind the program's name, from /proc/PID/cmdline, a script, ``ps`` or libvirt's log.

    Raises
    ------
    InputError
        Empty, too large, or with a quote that is never closed.
    """
    if not data.strip(b" \t\r\n\0"):
        raise InputError("the file is empty", file=source)
    if len(data) > MAX_BYTES:
        raise InputError(f"the command line has {len(data)} bytes, more than {MAX_BYTES}", file=source)
    text = re.sub(r"\\\r?\n", " ", data.decode("utf-8-sig", errors="replace"))
    if "\0" in text:
        words = text.split("\0")
    elif _BARE_JSON.search(text) is not None:
        # ps prints JSON objects without the shell's quotes: theirs must stay.
        words = text.split()
    else:
        words = _shell_words(text, source)
    for at, word in enumerate(words):
        if word.startswith("-"):
            return words[at:]
        if _PROGRAM.match(word.rpartition("/")[2]):
            return words[at + 1 :]
    raise InputError(
        "there is no QEMU option in this text", file=source, cure="give the command line of a QEMU process"
    )


def _shell_words(text: str, source: str) -> list[str]:
    """Split as a POSIX shell does, in linear time: shlex takes minutes for one long word."""
    words: list[list[str]] = [[]]
    end = 0
    for match in _PIECE.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        piece = match[0]
        if piece.isspace():
            words.append([])
        elif piece[0] == "'":
            words[-1].append(piece[1:-1])
        elif piece[0] == '"':
            words[-1].append(_ESCAPED.sub(r"\1", piece[1:-1]))
        else:
            words[-1].append(piece[1:] if piece[0] == "\\" else piece)
    if end != len(text):
        raise InputError(f"this is no command line: a quote or an escape at character {end} has no end", file=source)
    return ["".join(word) for word in words if word]


def options(words: list[str]) -> Iterator[Option]:
    """Return every option with the word behind it; whether QEMU takes one there is left to who asks for the option."""
    for at, word in enumerate(words):
        if word.startswith("-") and len(word) > 1:
            following = words[at + 1] if at + 1 < len(words) else ""
            yield Option(word.lstrip("-"), following)


def fields(value: str, implied: str, source: str) -> list[tuple[str, str]]:
    """Return the keys and values of ``a,key=value,…`` or of a JSON object; a first word without ``=`` is `implied`.

    A doubled comma belongs to the value. Keys may come more than once, and lists of JSON are written out that way.

    Raises
    ------
    InputError
        JSON that is none.
    """
    if value.lstrip().startswith("{"):
        return _json_fields(value, source)
    pairs: list[tuple[str, str]] = []
    for at, part in enumerate(_PART.findall(value)):
        key, equals, text = part.replace(",,", ",").partition("=")
        if not equals and at == 0:
            pairs.append((implied, key))
        elif equals:
            pairs.append((key, text))
        elif key:
            pairs.append((key, "on"))
    return pairs


def _json_fields(value: str, source: str) -> list[tuple[str, str]]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        raise InputError(f"this is no JSON: {value[:60]!r}", file=source) from None
    pairs: list[tuple[str, str]] = []
    for key, item in parsed.items() if isinstance(parsed, dict) else ():
        for one in item if isinstance(item, list) else [item]:
            text = ("on" if one else "off") if isinstance(one, bool) else str(one)
            pairs.append((_JSON_KEYS.get(str(key), str(key)), text))
    return pairs


def size_kib(text: str, what: str, source: str, *, bare_kib: int | None = None) -> int:
    """Return a size in KiB. A bare number is that many times `bare_kib`, or bytes where that is None.

    Raises
    ------
    InputError
        It is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{what} is {text[:40]!r}, which is no size", file=source)
    count, unit = int(match[1]), match[2].lower()
    if not unit and bare_kib is not None:
        kib = count * bare_kib
    else:
        kib = -(-count * int(1024 ** _POWERS[unit or "b"]) // 1024)
    if kib > _LARGEST_KIB:
        raise InputError(f"{what} is {text[:40]!r}, which no machine has", file=source)
    return kib
