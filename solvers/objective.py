"""Objectives, and the terms that they add up: a kind of cost is a class here, and an entry in the table of each engine.

The tables stand in `solvers.evaluate` (the referee), `solvers.counts.host_block` and `solvers.exact.model` (CP-SAT
models), and `solvers.columns.columns` (whose prices `solvers.columns.duals` makes). An engine that proves and whose
table lacks a term says so by `lacking`, before it starts; heuristics look at what they know, and the referee has the
last word.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unplaced:
    """VMs left out: (F,) the cost of one arriving VM of each flavor."""

    cost: IntArray


@dataclass(frozen=True, slots=True)
class PlacementCosts:
    """`Shape.cost[key]` of each VM at its placement, phantoms included."""

    key: str


@dataclass(frozen=True, slots=True)
class HostCosts:
    """`HostClass.cost` of each host that holds a VM."""


@dataclass(frozen=True, slots=True)
class StayPenalties:
    """`HostClass.stay_penalty` of each VM that is where it should not be."""


@dataclass(frozen=True, slots=True)
class Hinges:
    """Convex costs of rows' loads: every `Hinge` of `goal`."""

    goal: str


@dataclass(frozen=True, slots=True)
class Shortages:
    """What has no place: every `Shortage` of `part`."""

    part: str


@dataclass(frozen=True, slots=True)
class RuleExcess:
    """The weighed excess of every `CrossRule` of `goal`; ``rules`` are those that are not soft."""

    goal: str = "rules"


@dataclass(frozen=True, slots=True)
class Changes:
    """VMs that change: the cost of one that changes host or node, and of one that changes host."""

    moves: int = 0
    migrations: int = 0


Term = Unplaced | PlacementCosts | HostCosts | StayPenalties | Hinges | Shortages | RuleExcess | Changes
_T = TypeVar("_T", bound=Term)

WORDS: dict[type[Term], str] = {
    Unplaced: "VMs left out",
    PlacementCosts: "costs of placements",
    HostCosts: "costs of hosts",
    StayPenalties: "penalties of hosts",
    Hinges: "convex costs of loads",
    Shortages: "what has no place",
    RuleExcess: "rules over several hosts",
    Changes: "VMs that change host or node",
}


def ceiling(value: int, tolerance: float) -> int:
    """Return what an objective may cost where it is held at a value, or worse by its tolerance, relative to that."""
    return value + int(abs(value) * tolerance)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One integer objective, minimised; a goal is one or several of them in order.

    Attributes
    ----------
    goal : the goal it belongs to; `part` tells several apart (``vcpus of priority 3``).
    terms : what is added up, at most one of each class.
    unit : divide by this for people. sign : -1 where the goal is a maximum for people.
    tolerance : how much worse (relative to the value) later goals may make it.
    """

    goal: str
    part: str = ""
    terms: tuple[Term, ...]
    unit: int = 1
    sign: Literal[1, -1] = 1
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        """Refuse two terms of a class: engines look them up by it."""
        if len({type(term) for term in self.terms}) < len(self.terms):
            raise ValueError(f"objective {self.goal!r} has two terms of a class")

    def term(self, kind: type[_T]) -> _T | None:
        """Return the term of a class, or None."""
        return next((term for term in self.terms if isinstance(term, kind)), None)

    def without(self, *kinds: type[Term]) -> Objective:
        """Return the objective less its terms of some classes."""
        return replace(self, terms=tuple(term for term in self.terms if not isinstance(term, kinds)))

    def of_flavors(self, chosen: Sequence[int]) -> Objective:
        """Return the objective for flavors that are each one of these."""
        terms = (Unplaced(term.cost[list(chosen)]) if isinstance(term, Unplaced) else term for term in self.terms)
        return replace(self, terms=tuple(terms))

    @property
    def words(self) -> str:
        """Goal and part as people read them."""
        return f"{self.goal} ({self.part})" if self.part else self.goal

    # What heuristics and floors ask, by a name each.

    @cached_property
    def unplaced(self) -> IntArray | None:
        """(F,) cost of one arriving VM left out, or None."""
        term = self.term(Unplaced)
        return None if term is None else term.cost

    @cached_property
    def cost(self) -> str | None:
        """The key of `Shape.cost` that counts, or None."""
        term = self.term(PlacementCosts)
        return None if term is None else term.key

    @cached_property
    def hinge(self) -> str | None:
        """The goal whose hinges count, or None."""
        term = self.term(Hinges)
        return None if term is None else term.goal

    @cached_property
    def shortage(self) -> str | None:
        """The part whose shortages count, or None."""
        term = self.term(Shortages)
        return None if term is None else term.part

    @cached_property
    def host_cost(self) -> bool:
        """Whether hosts that hold VMs cost something."""
        return self.term(HostCosts) is not None

    @cached_property
    def stay_penalty(self) -> bool:
        """Whether VMs cost something where they should not be."""
        return self.term(StayPenalties) is not None

    @cached_property
    def moves(self) -> int:
        """Cost of a VM that changes host or node."""
        term = self.term(Changes)
        return 0 if term is None else term.moves

    @cached_property
    def migrations(self) -> int:
        """Cost of a VM that changes host."""
        term = self.term(Changes)
        return 0 if term is None else term.migrations


def lacking(objectives: Collection[Objective], known: Collection[type[Term]]) -> list[str]:
    """Return, in words, the terms that are not among those that an engine knows."""
    kinds = {type(term): None for objective in objectives for term in objective.terms}
    return [WORDS[kind] for kind in kinds if kind not in known]
