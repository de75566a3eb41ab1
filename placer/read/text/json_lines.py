"""JSON with a line for every value; numbers and booleans stay the text that the file holds."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any

from placer.read.text.located import FaultLog, LineList, LineMap

MAX_DEPTH = 20

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:(?P<mark>[{}\[\]:,])|(?P<text>"(?:[^"\\\x00-\x1f]|\\.)*")"""
    r"""|(?P<bare>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.])|true\b|false\b|null\b))"""
)


def load_json_lines(text: str, log: FaultLog) -> Any:
    """Return the tree of a JSON document, or None when the text is no JSON (YAML's flow style looks like it).

    A key that stands twice in one object goes to the log; the first one counts.

    Raises
    ------
    InputError
        The nesting is too deep.
    """
    try:
        return _Parser(text, log).document()
    except _NotJson:
        return None


class _NotJson(Exception):
    """The text is not JSON; another reader says what is wrong with it."""


class _Parser:
    def __init__(self, text: str, log: FaultLog) -> None:
        self.text = text
        self.log = log
        self.at = 0
        self.breaks = [found.start() for found in re.finditer("\n", text)]

    def line(self, offset: int) -> int:
        return bisect_right(self.breaks, offset) + 1

    def token(self) -> re.Match[str]:
        found = _TOKEN.match(self.text, self.at)
        if found is None:
            raise _NotJson
        self.at = found.end()
        return found

    def document(self) -> Any:
        tree = self.value(self.token(), 0)
        if self.text[self.at :].strip():
            raise _NotJson
        return tree

    def value(self, found: re.Match[str], depth: int) -> Any:
        if found["text"] is not None:
            return _text(found["text"])
        if found["bare"] is not None:
            return None if found["bare"] == "null" else found["bare"]
        if depth >= MAX_DEPTH:
            self.log.add(f"nested more than {MAX_DEPTH} levels deep", line=self.line(found.end()))
            self.log.raise_if_any()
        if found["mark"] == "{":
            return self.mapping(self.line(found.end()), depth)
        if found["mark"] == "[":
            return self.sequence(self.line(found.end()), depth)
        raise _NotJson

    def mapping(self, line: int, depth: int) -> LineMap:
        lines: dict[str, int] = {}
        tree = LineMap(line, lines)
        found = self.token()
        if found["mark"] == "}":
            return tree
        while True:
            if found["text"] is None or self.token()["mark"] != ":":
                raise _NotJson
            key = _text(found["text"])
            key_line = self.line(found.end())
            value = self.value(self.token(), depth + 1)
            if key in tree:
                self.log.add(f"key {key!r} is here twice, first on line {lines[key]}", line=key_line, cure="keep one")
            else:
                tree[key] = value
                lines[key] = key_line
            mark = self.token()["mark"]
            if mark == "}":
                return tree
            if mark != ",":
                raise _NotJson
            found = self.token()

    def sequence(self, line: int, depth: int) -> LineList:
        lines: list[int] = []
        tree = LineList(line, lines)
        found = self.token()
        if found["mark"] == "]":
            return tree
        while True:
            lines.append(self.line(found.end()))
            tree.append(self.value(found, depth + 1))
            mark = self.token()["mark"]
            if mark == "]":
                return tree
            if mark != ",":
                raise _NotJson
            found = self.token()


def _text(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    try:
        value = json.loads(token)
        value.encode()
    except (ValueError, UnicodeEncodeError):
        raise _NotJson from None
    return str(value)
