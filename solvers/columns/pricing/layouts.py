"""What tables need of a fleet whatever the prices: grids of shapes, levels and VMs of states, who shares tables."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.model import State, StateModel
from solvers.columns.pricing.grid import ShapeGrid, shape_grid
from solvers.columns.pricing.shape_tables import Levels


@dataclass(frozen=True, slots=True)
class Layout:
    """What of a state never changes: levels of its nodes, and (placement, VMs) there, on one node and over several."""

    levels: tuple[Levels, ...]
    single: tuple[tuple[tuple[int, int], ...], ...]
    multi: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Layouts:
    """The states of a model laid out on their shapes' grids; None for shapes without one.

    Attributes
    ----------
    permission : of each state the first one of the same shape on which the same VMs may arrive at the same penalty.
    scale : of each shape a number that every number of parts of a VM divides.
    tops : of each shape the largest levels of each node.
    """

    model: StateModel
    grids: tuple[ShapeGrid | None, ...] = field(init=False)
    layouts: tuple[Layout | None, ...] = field(init=False)
    permission: tuple[int, ...] = field(init=False)
    scale: tuple[int, ...] = field(init=False)
    tops: tuple[tuple[Levels, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Lay out the states on their shapes' grids."""
        model = self.model
        grids: list[ShapeGrid | None] = []
        for s, shape in enumerate(model.problem.shapes):
            room = [state.lead.capacity for state in model.states if state.shape == s]
            grids.append(shape_grid(shape, np.unique(np.stack(room), axis=0)) if room and shape.placements else None)
        self.grids = tuple(grids)
        self.layouts = tuple(self._layout(state) for state in model.states)
        known: dict[object, int] = {}
        self.permission = tuple(
            known.setdefault(
                (state.shape, state.lead.allowed.tobytes(), state.lead.stay_penalty.tobytes()), state.index
            )
            for state in model.states
        )
        self.scale = tuple(
            1 if grid is None else math.lcm(*range(1, int((grid.part_of >= 0).sum(axis=1).max(initial=1)) + 1))
            for grid in grids
        )
        tops = []
        for s, grid in enumerate(grids):
            mine = [
                layout.levels
                for layout, state in zip(self.layouts, model.states, strict=True)
                if layout and state.shape == s
            ]
            tops.append(
                tuple(
                    tuple(max(row) for row in zip(*(levels[node] for levels in mine), strict=True))
                    for node in range(len(mine[0]))
                )
                if grid is not None and mine
                else ()
            )
        self.tops = tuple(tops)

    def _layout(self, state: State) -> Layout | None:
        grid = self.grids[state.shape]
        if grid is None:
            return None
        single: list[list[tuple[int, int]]] = [[] for _ in grid.nodes]
        multi = []
        for placement, count in sorted(state.own.items()):
            node = int(grid.node_of[placement])
            if node < 0:
                multi.append((placement, count))
            else:
                single[node].append((placement, count))
        return Layout(grid.levels(state.lead.capacity), tuple(tuple(part) for part in single), tuple(multi))

    def on(self, model: StateModel) -> Layouts:
        """Return the same hosts and placements under other objectives; what is laid out serves both."""
        other = copy.copy(self)
        other.model = model
        return other

    def exact(self, state: State) -> bool:
        """Tell whether a state's tables lose nothing by rounding."""
        grid = self.grids[state.shape]
        return grid is not None and grid.exact

    def layout(self, state: State) -> Layout:
        """Return the layout of a state whose shape has a grid."""
        layout = self.layouts[state.index]
        assert layout is not None
        return layout

    def grid(self, state: State) -> ShapeGrid:
        """Return the grid of a state whose shape has one."""
        grid = self.grids[state.shape]
        assert grid is not None
        return grid
