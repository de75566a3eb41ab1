"""A restricted YAML and JSON loader: text only, a line for every value, no anchors, no tags, no guessed types.

PyYAML reads ``010`` as 8, ``12:30`` as 750 and ``no`` as False. Here every scalar stays the text that the file
holds (None for a null), and the schema says what it must be.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

from placer.errors import InputError
from placer.read.text.json_lines import load_json_lines
from placer.read.text.located import FaultLog
from placer.read.text.yaml_events import load_yaml_lines
from placer.read.text.yaml_plain import load_plain_lines

MAX_BYTES = 512 * 1024 * 1024
MAX_YAML_LINE = 1_000_000

_CONTROL = bytes([*range(9), 11, 12, *range(14, 32), 127])


def decode(data: bytes, file: str | None) -> str:
    """Return the text of a file that must be UTF-8 without control characters.

    Raises
    ------
    InputError
        The file is empty, too large, binary or in another encoding.
    """
    if not data.strip():
        raise InputError("the file is empty", file=file)
    if len(data) > MAX_BYTES:
        raise InputError(f"the file has {len(data)} bytes, more than {MAX_BYTES}", file=file)
    if len(data.translate(None, _CONTROL)) != len(data):
        at = next(offset for offset, byte in enumerate(data) if byte in _CONTROL)
        line = data.count(b"\n", 0, at) + 1
        raise InputError(f"this is not text: it holds the control character {data[at]:#04x}", file=file, line=line)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"not UTF-8 text: byte {data[error.start]:#04x}", file=file, line=line) from None


def load_lines(text: str, log: FaultLog) -> Any:
    """Read YAML or JSON into a tree of `LineMap`, `LineList`, text and None.

    Duplicate keys, anchors, aliases and tags go to the log, and the reading goes on: what else is wrong shows too.

    Raises
    ------
    InputError
        A syntax error or too deep a nesting, after which nothing can be read; with all that is in the log.
    """
    if text.lstrip().startswith("{"):
        tree = load_json_lines(text, log)
        if tree is not None:
            return tree
    elif max(map(len, StringIO(text))) > MAX_YAML_LINE:
        raise InputError(f"a line of more than {MAX_YAML_LINE} characters", file=log.file)
    tree = load_plain_lines(text)
    return tree if tree is not None else load_yaml_lines(text, log)
