"""A fast reader for YAML written one ``key: value`` a line, as placer and most people write it.

A fleet of 100,000 VMs has a million lines that differ in little; reading each distinct value once is several times
faster than parsing all of them. Whatever is not plain here (anchors, block scalars, values over several lines,
duplicate keys, odd indentation) makes `load_plain_lines` answer None, and the full parser reads the file instead.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

from placer.errors import InputError
from placer.read.text.located import FaultLog, LineList, LineMap
from placer.read.text.yaml_events import load_yaml_lines

_LINE = re.compile(r"""( *)(- )?(?:([A-Za-z0-9_][A-Za-z0-9_.-]*):(?: +(.+))?|([{\["'].*))""")
_PLAIN = re.compile(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+@:-]*")
_NULLS = frozenset({"null", "Null", "NULL"})
_OTHER_BREAKS = ("\r", "\t", "\x85", "\u2028", "\u2029")
_MAX_MEMO = 1_000_000
_BAIL = object()
_Line = tuple[int, bool, str | None, Any]
"""Column, whether a dash stands before it, key (None for a bare item), value (`_NONE_YET` where it follows)."""
_NONE_YET = object()


def load_plain_lines(text: str) -> LineMap | None:
    """Return the tree of a plainly written mapping, or None when the text needs the full parser."""
    if any(char in text for char in _OTHER_BREAKS):
        return None
    root = LineMap(1, {})
    # Open containers from the outside in: the column their keys or dashes stand in, and the container.
    stack: list[tuple[int, LineMap | LineList]] = [(0, root)]
    waiting: tuple[LineMap, str, int] | None = None  # a key without a value yet: its container, its name, its column
    memo: dict[str, _Line | None] = {}
    values: dict[str, Any] = {}
    for number, line in enumerate(StringIO(text), start=1):
        raw = line.rstrip("\n ")
        if raw in memo:
            parsed = memo[raw]
        else:
            parsed = _line(raw, values)
            if len(memo) < _MAX_MEMO:
                memo[raw] = parsed
        if parsed is None:
            if raw.lstrip(" ")[:1] in ("", "#"):
                continue
            return None
        column, dash, key, value = parsed
        if waiting is not None:
            holder, name, holder_column = waiting
            waiting = None
            if dash and column >= holder_column:
                child: LineMap | LineList = LineList(number, [])
                holder[name] = child
                stack.append((column, child))
            elif not dash and column > holder_column:
                child = LineMap(number, {})
                holder[name] = child
                stack.append((column, child))
        while stack[-1][0] > column or (not dash and stack[-1][0] == column and type(stack[-1][1]) is LineList):
            stack.pop()
            if not stack:
                return None
        if stack[-1][0] != column:
            return None
        top = stack[-1][1]
        if dash:
            if not isinstance(top, LineList) or top.lines is None:
                return None
            top.lines.append(number)
            if key is None:
                top.append(value)
                continue
            column += 2
            entry = LineMap(number, {})
            top.append(entry)
            stack.append((column, entry))
            top = entry
        if key is None or not isinstance(top, LineMap) or top.lines is None or key in top:
            return None
        top.lines[key] = number
        if value is _NONE_YET:
            top[key] = None
            waiting = (top, key, column)
        elif top is root and isinstance(value, LineList):
            # A whole section on one line: its entries have no other line to be named by.
            section = LineList(number, [number] * len(value))
            section.extend(value)
            root[key] = section
        else:
            top[key] = value
    return root or None


def _line(raw: str, values: dict[str, Any]) -> _Line | None:
    """Take one line apart; None for what is not plain."""
    found = _LINE.fullmatch(raw)
    if found is None:
        return None
    blanks, dash, key, text, bare = found.groups()
    if key in _NULLS or (bare is not None and dash is None):
        return None
    text = text if bare is None else bare
    value = _NONE_YET if text is None else _value(text, values)
    return None if value is _BAIL else (len(blanks), dash is not None, key, value)


def _value(text: str, memo: dict[str, Any]) -> Any:
    """Return the value that stands alone on its line, through PyYAML unless it is one plain word."""
    if text in memo:
        return memo[text]
    if _PLAIN.fullmatch(text) and not text.endswith(":") and text not in _NULLS and text != "-":
        value: Any = text
    elif text[0] in "{[\"'":
        log = FaultLog(None)
        try:
            value = load_yaml_lines(text, log)
        except InputError:
            return _BAIL
        if log.faults:
            return _BAIL
        if text[0] in "\"'" and not isinstance(value, str):
            return _BAIL  # a quoted key, not a value
        value = _without_lines(value)
    else:
        return _BAIL
    if len(memo) < _MAX_MEMO:
        memo[text] = value
    return value


def _without_lines(tree: Any) -> Any:
    """Forget the lines of a value on one line: every entry that shares it has a line of its own."""
    if isinstance(tree, LineMap | LineList):
        tree.lines = None
        for value in tree.values() if isinstance(tree, LineMap) else tree:
            _without_lines(value)
    return tree
