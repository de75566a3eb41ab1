"""What the sections of an inventory have in common: names taken once, counts expanded, what entries share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from placer.read.inventory.types import Refused, text, uuid
from placer.read.inventory.validation import Problem
from placer.read.text.located import FaultLog, LineList, LineMap

_DIGITS = re.compile(r"[0-9]{1,18}")
MAX_COUNT = 1_000_000
"""The most hosts, and the most VMs, that an inventory stands for if no other guard is given."""


def expand_names(name: str, count: int | None) -> list[str]:
    """Return ``name`` alone where no count is given, else ``name-1`` … ``name-count``."""
    return [name] if count is None else [f"{name}-{number}" for number in range(1, count + 1)]


def line_of(section: LineList, number: int) -> int | None:
    """Return the line of an item of a section."""
    return section.lines[number] if section.lines is not None else None


def check_counts(section: LineList, name: str, log: FaultLog, most: int) -> None:
    """Refuse counts that would fill the memory before anything of the section is made.

    Raises
    ------
    InputError
        The entries stand for more than `most`; with all faults noted so far.
    """
    total = 0
    for number, tree in enumerate(section):
        count = tree.get("count") if isinstance(tree, LineMap) else None
        if isinstance(count, str) and _DIGITS.fullmatch(count):
            total += int(count)
        if total > most:
            field = f"{name}[{number}].count"
            cure = f"where that is meant, lift the guard with --max-{name}"
            log.add(
                f"the {name} are more than {most} from here on", line=line_of(section, number), field=field, cure=cure
            )
            log.raise_if_any()


def own_texts(tree: LineMap, keys: Sequence[str], problems: list[Problem]) -> dict[str, str]:
    """Return the keys that tell one entry from the next one like it; what is wrong with them goes to `problems`."""
    own = {}
    for key in keys:
        value = tree.get(key)
        if value is None:
            continue
        try:
            own[key] = uuid(value) if key == "uuid" else text(value)
        except Refused as error:
            problems.append(((key,), str(error), error.cure))
    return own


def without(tree: LineMap, keys: Sequence[str]) -> LineMap:
    """Return the entry without these keys: what many entries have in common and is read once."""
    rest = LineMap(tree.line)
    rest.update(tree)
    for key in keys:
        rest.pop(key, None)
    return rest


def loose(tree: Any) -> tuple[list[str], dict[str, str]]:
    """Return the names and labels of an entry that has faults: nothing that names it shall be a fault too."""
    if not isinstance(tree, LineMap) or not isinstance(name := tree.get("name"), str):
        return [], {}
    count = tree.get("count")
    labels = tree.get("labels")
    number = int(count) if isinstance(count, str) and _DIGITS.fullmatch(count) else None
    pairs = labels.items() if isinstance(labels, LineMap) else ()
    return expand_names(name, number), {key: value for key, value in pairs if isinstance(value, str)}


class Names:
    """Names taken so far and the lines they stand on."""

    def __init__(self, what: str, log: FaultLog, cure: str) -> None:
        self.what = what
        self.log = log
        self.cure = cure
        self.lines: dict[str, int | None] = {}

    def take(self, name: str, line: int | None, field: str) -> bool:
        """Take a name; a second taker is a fault."""
        if name not in self.lines:
            self.lines[name] = line
            return True
        first = self.lines[name]
        where = f", first on line {first}" if first else ""
        self.log.add(f"the {self.what} {name!r} is here twice{where}", line=line, field=field, cure=self.cure)
        return False
