"""Build the engines' shapes: enumerate the placements of every flavor on every structure, with what they take and
cost.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.planning.compile.flavors import FlavorGroup
from placer.planning.compile.needs import Needs
from placer.planning.compile.placements import (
    NodeView,
    Placement,
    canonical,
    nearest_devices,
    placement_cost,
    placements_of,
)
from placer.planning.compile.structures import RowTable, Structure
from solvers.problem import BoolArray, IntArray, Shape


@dataclass(slots=True)
class ShapeDraft:
    """A shape in the making: placements may still be added (irregular current ones) until it is finished."""

    structure: Structure
    table: RowTable
    flavor: list[int] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    uses: list[dict[int, int]] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    stay_only: list[bool] = field(default_factory=list)
    index: dict[tuple[int, Placement], int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    complete: bool = True

    def add(self, flavor: int, placement: Placement, use: dict[int, int], cost: int, *, stay_only: bool = False) -> int:
        """Add a placement and return its index."""
        number = len(self.placements)
        self.flavor.append(flavor)
        self.placements.append(placement)
        self.uses.append(use)
        self.costs.append(cost)
        self.stay_only.append(stay_only)
        self.index[flavor, placement] = number
        return number


@dataclass(frozen=True, slots=True)
class FinishedShape:
    """A shape with the way back: its placements, the draft's rows it kept and their divisors, draft placement -> its
    own (-1: dropped).
    """

    shape: Shape
    placements: tuple[Placement, ...]
    rows: IntArray
    divisor: IntArray
    renumber: IntArray


@dataclass(slots=True)
class ShapeFactory:
    """Drafts one shape a structure; placements are enumerated once for each distinct needs and view."""

    groups: Sequence[FlavorGroup]
    spread_rules: Mapping[int, str]
    headroom: Mapping[int, str]
    drafts: list[ShapeDraft] = field(default_factory=list)
    _index: dict[Structure, int] = field(default_factory=dict)
    _maps: dict[tuple[Needs, NodeView], tuple[list[Placement], bool]] = field(default_factory=dict)

    def draft_of(self, structure: Structure) -> int:
        """Return the number of the structure's draft, made with all regular placements if it is new."""
        if structure not in self._index:
            self._index[structure] = len(self.drafts)
            draft = ShapeDraft(structure=structure, table=RowTable(structure=structure), complete=structure.exact)
            self.drafts.append(draft)
            for flavor, group in enumerate(self.groups):
                self._enumerate(draft, flavor, group)
        return self._index[structure]

    def current(
        self, draft: ShapeDraft, flavor: int, option: int, cpu: tuple[int, ...], memory: tuple[int, ...]
    ) -> int | None:
        """Return the index of a current placement, added as one that only those already there may keep if it is
        irregular.
        """
        group = self.groups[flavor]
        needs, view = group.needs, draft.structure.view
        devices = nearest_devices(needs, view, cpu)
        if devices is None:
            return None
        placement = canonical(needs, Placement(option, cpu, memory, devices))
        known = draft.index.get((flavor, placement))
        if known is not None:
            return known
        use = draft.table.use(group, placement, self.spread_rules)
        return draft.add(flavor, placement, use, placement_cost(needs, placement, view), stay_only=True)

    def _enumerate(self, draft: ShapeDraft, flavor: int, group: FlavorGroup) -> None:
        view = draft.structure.view
        key = (group.needs, view)
        if key not in self._maps:
            self._maps[key] = placements_of(group.needs, view)
        placements, complete = self._maps[key]
        draft.complete &= complete
        for placement in placements:
            cost = 0 if flavor in self.headroom else placement_cost(group.needs, placement, view)
            draft.add(flavor, placement, draft.table.use(group, placement, self.spread_rules), cost)

    def finish(
        self, draft: ShapeDraft, name: str, largest: IntArray, max_per: Mapping[int, int], units: Mapping[str, int]
    ) -> FinishedShape:
        """Return the shape; `largest` is the most that any host has of each row, `units` those of balance.

        Placements that not even the roomiest host could hold are dropped, then rows that nothing takes; the others are
        divided by their common divisor, those with a hinge excepted.
        """
        use = np.zeros((len(draft.placements), len(draft.table.names)), dtype=np.int64)
        for number, taken in enumerate(draft.uses):
            for row, amount in taken.items():
                use[number, row] = amount
        keep: BoolArray = np.asarray((use <= largest).all(axis=1))
        keep[sorted(draft.held)] = True
        use = use[keep]
        hinges = draft.table.hinges(max_per, self.spread_rules, units)
        hinged = {hinge.row for hinge in hinges}
        rows = np.array([k for k in range(use.shape[1]) if k in hinged or use[:, k].any()], dtype=np.int64)
        divisor = np.array(
            [1 if k in hinged else math.gcd(*map(int, np.unique(use[:, k]))) for k in rows], dtype=np.int64
        )
        position = {int(k): n for n, k in enumerate(rows)}
        flavor = np.array(draft.flavor, dtype=np.int64)[keep]
        placements = tuple(placement for placement, kept in zip(draft.placements, keep, strict=True) if kept)
        nodes = len(draft.structure.cpu_rows)
        touches = np.zeros((len(placements), nodes), dtype=bool)
        for number, placement in enumerate(placements):
            touches[number, list(placement.cpu_nodes)] = True
        costs = {"remote": np.array(draft.costs, dtype=np.int64)[keep]}
        for phantom, goal in self.headroom.items():
            costs[goal] = -(flavor == phantom).astype(np.int64)
        shape = Shape(
            name=name,
            nodes=nodes,
            row_names=tuple(draft.table.names[k] for k in rows),
            flavor=flavor,
            use=use[:, rows] // divisor,
            cost=costs,
            touches=touches,
            stay_only=np.array(draft.stay_only, dtype=bool)[keep],
            complete=draft.complete,
            hinges=tuple(dataclasses.replace(hinge, row=position[hinge.row]) for hinge in hinges),
        )
        renumber = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int64)
        return FinishedShape(shape=shape, placements=placements, rows=rows, divisor=divisor, renumber=renumber)


def without_pinned(group: FlavorGroup) -> FlavorGroup:
    """Return the flavor less its dedicated CPUs, for a VM whose pins are fixed and already taken out of the cores."""
    options = tuple(tuple(dataclasses.replace(part, dedicated=0) for part in parts) for parts in group.needs.options)
    return dataclasses.replace(group, needs=dataclasses.replace(group.needs, options=options, extra_cpu=False))
