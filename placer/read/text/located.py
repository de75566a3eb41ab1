"""Trees of plain text that remember on which line each value stands, and the faults found in them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from placer.errors import Fault, InputError, PlacerError

MAX_FAULTS = 1000
"""After so many faults the reading stops: a person mends the first ones and runs again."""


class LineMap(dict[str, Any]):
    """A mapping of the file. Values are `LineMap`, `LineList`, text, or None for YAML's null.

    `lines` holds the line of each key; None means that all of it stands on the line of its parent's key.
    """

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0, lines: dict[str, int] | None = None) -> None:
        super().__init__()
        self.line = line
        self.lines = lines


class LineList(list[Any]):
    """A list of the file; `lines` holds the line of each item, None as in `LineMap`."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0, lines: list[int] | None = None) -> None:
        super().__init__()
        self.line = line
        self.lines = lines


def freeze(tree: Any) -> Hashable:
    """Return the tree as nested tuples: equal trees, whatever lines they stand on, freeze to equal keys."""
    if isinstance(tree, dict):
        return ("{", *tree, *[value if type(value) is str else freeze(value) for value in tree.values()])
    if isinstance(tree, list):
        return ("[", *[value if type(value) is str else freeze(value) for value in tree])
    return tree  # type: ignore[no-any-return]


def locate(tree: Any, path: Sequence[str | int], line: int | None = None) -> tuple[int | None, list[str | int]]:
    """Return the line of the value at `path` and the path as far as the tree has it.

    Parts of the path that the tree does not have, such as the names that pydantic gives to the branches of a
    union, are left out, except a missing last key: that one is what a message is about.
    """
    taken: list[str | int] = []
    for number, part in enumerate(path):
        if isinstance(tree, LineMap):
            if part not in tree:
                if number == len(path) - 1:
                    taken.append(part)
                continue
            line = tree.lines[str(part)] if tree.lines is not None else line
            tree = tree[str(part)]
        elif isinstance(tree, LineList) and isinstance(part, int) and 0 <= part < len(tree):
            line = tree.lines[part] if tree.lines is not None else line
            tree = tree[part]
        else:
            continue
        taken.append(part)
    return line, taken


def field_path(prefix: str, path: Sequence[str | int]) -> str:
    """Return a path as a person reads it: ``hosts[kvm-a].nodes[0].memory``."""
    text = prefix
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


class FaultLog:
    """All faults of one file, raised together in the order of their lines.

    Logs of several files that are read as one thing share their faults: the first is the `parent` of the others.
    """

    def __init__(self, file: str | None, parent: FaultLog | None = None) -> None:
        self.file = file
        self.faults: list[Fault] = [] if parent is None else parent.faults

    def add(
        self,
        message: str,
        *,
        line: int | None = None,
        field: str | None = None,
        cure: str | None = None,
        file: str | None = None,
    ) -> None:
        """Note a fault; the one after `MAX_FAULTS` raises them all."""
        if len(self.faults) >= MAX_FAULTS:
            message = f"more than {MAX_FAULTS} faults: the rest is not read"
            raise InputError([*self.faults, Fault(message=message, file=self.file)])
        self.faults.append(Fault(message=message, file=file or self.file, line=line, field=field, cure=cure))

    def take(self, error: PlacerError, *, line: int | None = None, field: str | None = None) -> None:
        """Note the faults of an error raised deeper down; those without a file get this one, `line` and `field`."""
        for fault in error.faults:
            if fault.file is None or fault.file == self.file:
                self.add(fault.message, line=fault.line or line, field=field or fault.field, cure=fault.cure)
            else:
                self.add(fault.message, file=fault.file, line=fault.line, field=fault.field, cure=fault.cure)

    def raise_if_any(self) -> None:
        """Raise one `InputError` with every fault noted, if there is any."""
        if not self.faults:
            return
        faults = sorted(self.faults, key=lambda fault: (fault.file != self.file, fault.file or "", fault.line or 0))
        raise InputError(faults)
