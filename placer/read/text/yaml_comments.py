"""Comments of an inventory that a person edited, carried over into the inventory that is written in its place.

A comment belongs to what stands on its line, or to the next thing below it: an entry of a section by its name, a key of
such an entry, a rule by what it says. In the new text it goes to the same place; where a key is gone, above the entry
that had it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from placer.read.text.located import FaultLog, LineList, LineMap
from placer.read.text.yaml_lines import load_lines

Path = tuple[str, ...]

_GENERATED = re.compile(r"# Imported from \w+\. Labels, rules and reserves are yours to add\.\n(?:# - .*\n)*")
_BEFORE_QUOTE = "[{,:- \t"
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class _Comment:
    """One comment: its line (from 1), whether it has the line to itself, and its text from the ``#`` on."""

    line: int
    alone: bool
    text: str


def carry_comments(old: str, new: str, rules: Sequence[int | None] = ()) -> tuple[str, list[str]]:
    """Return the new text of an inventory with the comments of the old one, and a sentence on each that has no place.

    Parameters
    ----------
    old, new
        Inventories in YAML without faults. The lines that the importer itself wrote on top of `old` are left out.
    rules
        For each rule of `new`, in order, its line in `old`; None for one that is not there. Rules have no name, and the
        same rule can be written in many ways.
    """
    head = _GENERATED.match(old)
    # Line numbers stay: the importer's own lines become empty ones.
    old = "\n" * head[0].count("\n") + old[head.end() :] if head else old
    comments = [] if old.lstrip()[:1] == "{" else list(_comments(old))
    if not comments:
        return new, []
    before, after = _Places(old), _Places(new)
    same = {before.path_at(line): entry for line, entry in zip(rules, after.rules, strict=False) if line is not None}
    lines = new.splitlines()
    above: dict[int, list[str]] = {}
    behind: dict[int, list[str]] = {}
    lost: list[str] = []
    for comment in comments:
        wanted = before.below(comment.line) if comment.alone else before.at(comment.line)
        if wanted is None:
            above.setdefault(len(lines) + 1, []).append(comment.text)
            continue
        if wanted[:2] in same:
            wanted = (*same[wanted[:2]], *wanted[2:])
        found = after.nearest(wanted)
        if found is None:
            lost.append(f"a comment on what is no longer there is left out (line {comment.line}): {_short(comment)}")
        elif comment.alone or found[1] != wanted:
            above.setdefault(found[0], []).append(comment.text)
        else:
            behind.setdefault(found[0], []).append(comment.text)
    text = "\n".join(_merged(lines, above, behind)) + "\n"
    if load_lines(text, FaultLog(None)) != after.tree:
        return new, ["comments are not carried over: the inventory would read otherwise with them"]
    return text, lost


def _short(comment: _Comment) -> str:
    return comment.text if len(comment.text) <= _SHOWN else comment.text[:_SHOWN] + "…"


def _merged(lines: list[str], above: dict[int, list[str]], behind: dict[int, list[str]]) -> Iterator[str]:
    for number, line in enumerate([*lines, ""], start=1):
        indent = " " * (len(line) - len(line.lstrip(" ")))
        yield from (indent + text for text in above.get(number, ()))
        if number <= len(lines):
            yield "  ".join([line, *behind.get(number, ())])


def _comments(text: str) -> Iterator[_Comment]:
    for number, line in enumerate(text.splitlines(), start=1):
        at = _start(line) if "#" in line else None
        if at is not None:
            yield _Comment(number, not line[:at].strip(), line[at:].rstrip())


def _start(line: str) -> int | None:
    """Return where the comment of a line begins; a ``#`` in quotes or within a word begins none."""
    quote = ""
    for at, char in enumerate(line):
        before = line[at - 1] if at else " "
        if quote:
            if char == quote and not (quote == '"' and before == "\\"):
                quote = ""
        elif char in "\"'" and before in _BEFORE_QUOTE:
            quote = char
        elif char == "#" and before in " \t":
            return at
    return None


class _Places:
    """The keys and entries of an inventory by path and by line."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._first: dict[int, Path] = {}  # the outermost of those that begin on a line
        self.tree = load_lines(text, FaultLog(None))
        self._walk(self.tree, (), 1)
        self._ordered = sorted(self._first)
        self.rules = [path for path in self._lines if len(path) == 2 and path[0] == "rules"]

    def path_at(self, line: int) -> Path:
        """Return the entry of a section that begins on a line."""
        return self._first.get(line, ())[:2]

    def _walk(self, tree: Any, path: Path, line: int) -> None:
        if isinstance(tree, LineMap):
            items = [(key, tree.lines[key] if tree.lines is not None else line, value) for key, value in tree.items()]
        elif isinstance(tree, LineList):
            items = [
                (_label(item, number), tree.lines[number] if tree.lines is not None else line, item)
                for number, item in enumerate(tree)
            ]
        else:
            return
        for label, at, value in items:
            inner = (*path, label)
            self._lines.setdefault(inner, at)
            self._first.setdefault(at, inner)
            self._walk(value, inner, at)

    def at(self, line: int) -> Path | None:
        """Return what begins on a line, or else the last that begins above it."""
        if line in self._first:
            return self._first[line]
        place = bisect_left(self._ordered, line)
        return self._first[self._ordered[place - 1]] if place else None

    def below(self, line: int) -> Path | None:
        """Return the first that begins below a line; None at the end."""
        place = bisect_right(self._ordered, line)
        return self._first[self._ordered[place]] if place < len(self._ordered) else None

    def nearest(self, path: Path) -> tuple[int, Path] | None:
        """Return line and path of this, or of the innermost thing that holds it; None where even its entry is gone."""
        least = 1 if len(path) == 1 else 2
        for length in range(len(path), least - 1, -1):
            part = path[:length]
            if part in self._lines:
                return self._lines[part], part
            # Of entries with a count some may be entries of their own now.
            numbered = (*part[:-1], f"{part[-1]}-1")
            if length == least and numbered in self._lines:
                return self._lines[numbered], numbered
        return None


def _label(item: Any, number: int) -> str:
    """Return what an item of a list is known by: its name, its id or address, else all that it says."""
    if not isinstance(item, LineMap):
        return str(number)
    for key in ("name", "id", "address"):
        if isinstance(item.get(key), str):
            return f"{key} {item[key]}"
    return json.dumps(item, sort_keys=True)
