"""What a map says of a row, made into a function of the row once, then called for each of thousands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from placer.errors import nearest
from placer.read.text.located import FaultLog, LineList, LineMap

Row = Sequence[str]
Value = Callable[[Row], Any]
"""A value of an entry as a function of a row; None says that the row has nothing to say there."""

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[^{}]+|[{}]")
_WHOLE_KEYS = frozenset(
    {
        *("vcpus", "vcpus_current", "count", "cells", "interleave", "iothreads", "priority"),
        *("id", "nodes", "memory_nodes", "cpu_count", "cores", "cpus", "threads_per_core"),
    }
)
"""Keys of whole numbers: a table that says 8.0 means 8 there."""
_WHOLE = re.compile(r"([0-9]+)\.0+")
_MAKES = frozenset({"column", "values", "default", "split", "count", "scale", "modulo"})
ROW_NUMBER = "@row"
"""The column that every table has beside its own: the number of the row, from 0."""


class Expressions:
    """Compiles the entry of one table; a column that the table lacks is a fault at its line in the map."""

    def __init__(self, columns: Sequence[str], log: FaultLog, thousands: str | None = None) -> None:
        self.places = {name: place for place, name in enumerate((*columns, ROW_NUMBER))}
        self.used: set[str] = set()
        self.log = log
        self.thousands = thousands

    def compile(self, tree: Any, field: str, line: int | None, key: str = "") -> Value:
        """Return the function of a value of the map: text with columns in braces, a list, a mapping, an expression."""
        if isinstance(tree, LineMap):
            if "column" in tree and set(tree) <= _MAKES:
                return self._column(tree, field, line, key)
            return self._mapping(tree, field, line)
        if isinstance(tree, LineList):
            items = [
                self.compile(item, f"{field}[{n}]", tree.lines[n] if tree.lines is not None else line, key)
                for n, item in enumerate(tree)
            ]
            return lambda row: _listed(value(row) for value in items)
        if tree is None:
            return lambda row: None
        return self.template(str(tree), field, line, key)

    def template(self, text: str, field: str, line: int | None, key: str = "") -> Value:
        """Return the function of a text with ``{column}`` in it; it says nothing where one of the columns is empty."""
        parts: list[str | int] = []
        for match in _PART.finditer(text):
            piece = match[0]
            if piece in ("{{", "}}"):
                parts.append(piece[0])
            elif match[1] is not None:
                parts.append(self.place(match[1], field, line))
            elif piece in "{}":
                self.log.add(
                    f"{text!r} has a lone {piece}", line=line, field=field, cure="write {{ and }} for themselves"
                )
            else:
                parts.append(piece)
        clean = self._cleaner(key)
        if len(parts) == 1 and isinstance(parts[0], int):
            only = parts[0]
            return lambda row: clean(row[only]) or None
        places = [part for part in parts if isinstance(part, int)]
        if not places:
            constant = "".join(str(part) for part in parts)
            return lambda row: constant

        def fill(row: Row) -> str | None:
            if not all(row[place] for place in places):
                return None
            return "".join(clean(row[part]) if isinstance(part, int) else part for part in parts)

        return fill

    def place(self, column: str, field: str, line: int | None) -> int:
        """Return where a column stands in a row."""
        name = column.strip()
        self.used.add(name)
        if name not in self.places:
            near = nearest(name, self.places)
            cure = f"did you mean {near!r}?" if near else f"it has {', '.join(list(self.places)[:-1])}"
            self.log.add(f"the table has no column {name!r}", line=line, field=field, cure=cure)
            return 0
        return self.places[name]

    def _cleaner(self, key: str) -> Callable[[str], str]:
        thousands, whole = self.thousands, key in _WHOLE_KEYS

        def clean(cell: str) -> str:
            if thousands and thousands in cell and cell.replace(thousands, "").replace(".", "").isdigit():
                cell = cell.replace(thousands, "")
            if whole and (match := _WHOLE.fullmatch(cell)):
                return match[1]
            return cell

        return clean

    def _mapping(self, tree: LineMap, field: str, line: int | None) -> Value:
        items = {
            key: self.compile(value, f"{field}.{key}", tree.lines[key] if tree.lines is not None else line, key)
            for key, value in tree.items()
        }

        def fill(row: Row) -> LineMap | None:
            made = LineMap()
            for key, value in items.items():
                if (said := value(row)) is not None:
                    made[key] = said
            return made or None

        return fill

    def _column(self, tree: LineMap, field: str, line: int | None, key: str) -> Value:
        """Return the function of ``{column: …, values: …, split: …, count: true, scale: …, modulo: …, default: …}``."""
        place = self.place(str(tree["column"]), field, line)
        clean = self._cleaner(key)
        values = tree.get("values")
        if values is not None and not isinstance(values, LineMap):
            self.log.add("values is not a mapping", line=line, field=field)
            values = None
        steps = [
            step
            for step in (
                _values(values),
                _split(tree.get("split"), tree.get("count")),
                *self._numeric(tree, field, line),
            )
            if step is not None
        ]
        default = tree.get("default")

        def fill(row: Row) -> Any:
            value: Any = clean(row[place]) or None
            for step in steps:
                value = step(value) if value is not None else None
            return default if value is None else value

        return fill

    def _numeric(self, tree: LineMap, field: str, line: int | None) -> list[Callable[[Any], Any]]:
        steps: list[Callable[[Any], Any]] = []
        for name, make in (("scale", _scaled), ("modulo", _modulo)):
            if tree.get(name) is None:
                continue
            number = _decimal(tree[name])
            if number is None or number <= 0:
                self.log.add(f"{name} is not a number above 0", line=line, field=field)
            else:
                steps.append(make(number))
        return steps


def _listed(values: Any) -> LineList | None:
    made = LineList()
    made.extend(value for value in values if value is not None)
    return made or None


def _values(values: Mapping[str, Any] | None) -> Callable[[Any], Any] | None:
    """Replace a cell by what the map says for it; a cell that it does not name stays."""
    if values is None:
        return None
    return lambda cell: values.get(cell, cell)


def _split(mark: Any, count: Any) -> Callable[[Any], Any] | None:
    """Cut a cell in pieces at a mark; with ``count`` how many they are."""
    if not isinstance(mark, str) or not mark:
        return None

    def cut(cell: str) -> Any:
        pieces = [piece.strip() for piece in cell.split(mark) if piece.strip()]
        return str(len(pieces)) if count == "true" else _listed(pieces)

    return cut


def _decimal(text: Any) -> Decimal | None:
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 18 else None


def _scaled(factor: Decimal) -> Callable[[Any], Any]:
    """Multiply a number; what is none stays, so that the inventory's own check names it."""

    def scale(cell: Any) -> Any:
        number = _decimal(cell)
        return cell if number is None else f"{(number * factor).normalize():f}"

    return scale


def _modulo(size: Decimal) -> Callable[[Any], Any]:
    def rest(cell: Any) -> Any:
        number = _decimal(cell)
        return cell if number is None else f"{(number % size).normalize():f}"

    return rest
