"""One object for all values of an inventory that are equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

Value = TypeVar("Value")


@dataclass(slots=True)
class Alike:
    """Gives the first of all values that are equal. Files tell of every host and VM anew, though few differ: what the
    planner works out for one object then holds for all, and hosts of one kind are seen to be.
    """

    _first: dict[str, Any] = field(default_factory=dict)

    def of(self, value: Value) -> Value:
        """Return the first value that is written out like this one: a dataclass, all of whose parts that count show."""
        first: Value = self._first.setdefault(repr(value), value)
        return first
