"""What is raced: a fleet as a person writes it, with the goals and limits it is planned under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fleet to plan."""

    inventory: Mapping[str, Any]
    goals: str
    max_moves: int | None = None
    max_migrations: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the case as JSON writes it."""
        limits = {"max_moves": self.max_moves, "max_migrations": self.max_migrations}
        options = {key: value for key, value in limits.items() if value is not None}
        return {"inventory": self.inventory, "goals": self.goals, "options": options}


def case_of(data: Mapping[str, Any]) -> Case:
    """Return the case that `Case.to_json` wrote."""
    return Case(inventory=data["inventory"], goals=data["goals"], **data["options"])
