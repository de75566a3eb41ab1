"""What an exact pricing still has to look at, once a good pattern and a bound on what could beat it are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.pricing.live_layout import Batch, subset_bounds
from solvers.columns.pricing.shape_tables import Stock
from solvers.problem import IntArray


@dataclass(frozen=True, slots=True)
class Narrow:
    """What a pattern worth more than the known one can hold.

    `candidates` placements that new VMs may take, or VMs of the host that change their place on it; `least`, `most`
    VMs that stay at each placement over several nodes.
    """

    candidates: IntArray
    least: dict[int, int]
    most: dict[int, int]


def narrowed(
    pricing: TablePricing, batch: Batch, s: int, stock: Stock, tables: IntArray, known: int, *, movers: bool
) -> Narrow | None:
    """Return what a pattern of ``batch.states[s]`` worth more than `known` can hold; None where there is none.

    `tables` (nodes, steps...) are the state's own, with parts of new VMs. A choice of VMs to keep, or a new VM beside
    it, that bounds the value to `known` is out. `movers` : a VM of the host may have reason to go where it costs.
    """
    floor = (known + 1) * stock.scale
    subsets, total, left = subset_bounds(pricing, batch, s, stock, tables)
    alive = total >= floor
    if not alive.any():
        return None
    subsets, total, left = subsets[alive], total[alive], left[alive]
    flavor = pricing.model.problem.shapes[batch.states[s].shape].flavor
    there = stock.movable & (batch.states[s].present[flavor] > 0)
    pays = (stock.may | there) & (stock.worth > 0)
    placements = np.nonzero(pays | there if movers else pays)[0]
    bound = total[:, None] + (stock.worth[placements] * stock.scale)[None, :]
    for node in range(left.shape[1]):
        used, position = np.unique(stock.grid.part_of[placements, node], return_inverse=True)
        steps = np.where(used[:, None] < 0, 0, stock.steps(node)[np.maximum(used, 0)])
        rest = left[:, None, node, :] - steps[None, :, :]
        safe = np.maximum(rest, 0)
        at = tuple(safe[:, :, k] for k in range(rest.shape[2]))
        now = tables[node][tuple(left[:, node, k] for k in range(left.shape[2]))]
        change = np.where((rest < 0).any(axis=2), -(1 << 58), tables[node][at] - now[:, None])
        bound = bound + change[:, position.reshape(-1)]
    candidates = placements[(bound >= floor).any(axis=0)]
    least: dict[int, int] = {}
    most: dict[int, int] = {}
    held = batch.multi[s]
    for placement in np.unique(held[held >= 0]).tolist():
        kept = subsets[:, held[: subsets.shape[1]] == placement].sum(axis=1)
        beyond = int((held[subsets.shape[1] :] == placement).sum())
        least[placement], most[placement] = int(kept.min()), int(kept.max()) + beyond
    return Narrow(candidates, least, most)
