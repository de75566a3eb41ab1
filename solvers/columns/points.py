"""Points at which column generation prices, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from solvers.columns.master import FloatArray
from solvers.columns.model import Pattern
from solvers.columns.pricing.many_hosts import LivePricing


@dataclass(frozen=True, slots=True)
class Offers:
    """What pricing says under one set of duals: of each state a bound on its least reduced cost and patterns, and the
    pricing of those that were priced together.
    """

    least: list[int]
    patterns: list[tuple[Pattern, ...]]
    live: LivePricing | None

    @property
    def found(self) -> list[tuple[int, Pattern]]:
        """(state, pattern) of all patterns."""
        return [(index, pattern) for index, found in enumerate(self.patterns) for pattern in found]


@dataclass(frozen=True, slots=True)
class Point:
    """Duals before rounding, in the objective's own unit."""

    flavor: FloatArray
    hold: FloatArray
    moves: float
    migrations: float

    def towards(self, other: Point, weight: float) -> Point:
        """Return the point that lies `weight` of the way to another."""
        keep = 1.0 - weight
        return Point(
            keep * self.flavor + weight * other.flavor,
            keep * self.hold + weight * other.hold,
            keep * self.moves + weight * other.moves,
            keep * self.migrations + weight * other.migrations,
        )
