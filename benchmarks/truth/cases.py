"""What is raced: a fleet as a person writes it, with the goals and limits it is planned under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Pin = Literal["none", "worth", "all"]


class Limits(TypedDict):
    """Most VMs that may change host or node, change host, get other CPUs where they are; None: no limit. `pin` says
    which VMs that float are bound.
    """

    max_moves: int | None
    max_migrations: int | None
    max_repins: int | None
    pin: Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fleet to plan."""

    inventory: Mapping[str, Any]
    goals: str
    max_moves: int | None = None
    max_migrations: int | None = None
    max_repins: int | None = None
    pin: Pin = "none"

    @property
    def limits(self) -> Limits:
        """Return the limits by the names that `placer.solve` and the reference give them."""
        return {
            "max_moves": self.max_moves,
            "max_migrations": self.max_migrations,
            "max_repins": self.max_repins,
            "pin": self.pin,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the case as JSON writes it."""
        options = {key: value for key, value in self.limits.items() if value not in (None, "none")}
        return {"inventory": self.inventory, "goals": self.goals, "options": options}


def case_of(data: Mapping[str, Any]) -> Case:
    """Return the case that `Case.to_json` wrote."""
    return Case(inventory=data["inventory"], goals=data["goals"], **data["options"])
