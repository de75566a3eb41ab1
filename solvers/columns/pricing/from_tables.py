"""Building patterns from tables: VMs over several nodes one by one, parts put together, and what does not fit taken
out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solvers.columns.model import Pattern, State, StateModel, pattern_of
from solvers.columns.pricing.knapsack import Table
from solvers.columns.pricing.shape_tables import Levels, Stock
from solvers.problem import IntArray

NEVER = -(1 << 58)


def read_single(stock: Stock, node: int, tags: dict[int, int], into: dict[int, int]) -> None:
    """Add what was read from a table of whole VMs."""
    for tag, count in tags.items():
        placement = stock.placement(node, tag)
        into[placement] = into.get(placement, 0) + count


def greedy(
    stock: Stock, levels: Sequence[Levels], tables: Sequence[Table], keep: Sequence[tuple[int, int, int]]
) -> Pattern:
    """Take and leave VMs over several nodes one by one while it pays, then fill the nodes from their tables.

    `keep` are (placement, VMs, value of each) over several nodes that are there now.
    """
    grid = stock.grid
    left = [np.array(room, dtype=np.int64) for room in levels]
    taken: dict[int, int] = {}
    for placement, count, _ in keep:
        taken[placement] = count
        for node in np.nonzero(grid.part_of[placement] >= 0)[0]:
            left[node] -= count * stock.steps(int(node))[grid.part_of[placement, node]]
    multi = grid.multi[stock.may[grid.multi] & (stock.worth[grid.multi] > 0)]
    worth = stock.worth[multi] * stock.scale
    parts = grid.part_of[multi]
    value_of_kept = {placement: value * stock.scale for placement, _, value in keep}
    kept = dict(taken)
    while True:
        now = [_at(tables[node], left[node]) for node in range(len(levels))]
        add_value, add = _best_to_add(stock, tables, left, now, worth, parts)
        best = (add_value, -1, add) if add_value > 0 else (0, -1, -1)
        for placement in sorted(kept):
            freed = _freed(stock, left, placement)
            then = [_at(tables[node], freed[node]) for node in range(len(levels))]
            drop_value = sum(then) - sum(now) - value_of_kept[placement]
            add_value, add = _best_to_add(stock, tables, freed, then, worth, parts)
            gain = (drop_value + add_value, placement, add) if add_value > 0 else (drop_value, placement, -1)
            if gain[0] > best[0]:
                best = gain
        if best[0] <= 0:
            break
        _, dropped, add = best
        if dropped >= 0:
            left = _freed(stock, left, dropped)
            taken[dropped] -= 1
            kept[dropped] -= 1
            if not kept[dropped]:
                del kept[dropped]
        if add >= 0:
            placement = int(multi[add])
            taken[placement] = taken.get(placement, 0) + 1
            for node in np.nonzero(parts[add] >= 0)[0]:
                left[node] = left[node] - stock.steps(int(node))[parts[add, node]]
    for position, table in enumerate(tables):
        read_single(stock, position, table.read([int(x) for x in left[position]]), taken)
    return pattern_of(taken)


def _at(table: Table, left: IntArray) -> int:
    return int(table.values[tuple(left)]) if (left >= 0).all() else NEVER


def _freed(stock: Stock, left: Sequence[IntArray], placement: int) -> list[IntArray]:
    part = stock.grid.part_of[placement]
    return [room + stock.steps(node)[part[node]] if part[node] >= 0 else room for node, room in enumerate(left)]


def _best_to_add(
    stock: Stock,
    tables: Sequence[Table],
    left: Sequence[IntArray],
    now: Sequence[int],
    worth: IntArray,
    parts: IntArray,
) -> tuple[int, int]:
    """Return the gain of the best VM over several nodes and its position, the gain what it is worth less its room."""
    if not len(worth):
        return 0, -1
    total = worth.copy()
    for node, table in enumerate(tables):
        rest = left[node] - stock.steps(node)
        fits = (rest >= 0).all(axis=1)
        values = table.values[tuple(np.maximum(rest, 0).T)]
        change = np.append(np.where(fits, values - now[node], NEVER), 0)
        total += change[parts[:, node]]
    best = int(total.argmax())
    return int(total[best]), best


def assembled(stock: Stock, levels: Sequence[Levels], parts: Sequence[Table], whole: Sequence[Table]) -> Pattern:
    """Put the parts that each node likes best together into VMs, and fill what is left from the tables of whole VMs."""
    grid = stock.grid
    wanted = np.zeros((len(levels), max(len(node.group_flavor) for node in grid.nodes)), dtype=np.int64)
    for node, room in enumerate(levels):
        for tag, count in parts[node].read(room).items():
            wanted[node, tag % len(grid.nodes[node].group_flavor)] += count
    left = [np.array(room, dtype=np.int64) for room in levels]
    taken: dict[int, int] = {}
    multi = grid.multi[stock.may[grid.multi] & (stock.worth[grid.multi] > 0)]
    on = grid.part_of[multi] >= 0
    column = np.maximum(grid.part_of[multi], 0)
    order = np.lexsort((multi, -stock.worth[multi]))
    rows = np.arange(len(levels))
    open_ = np.ones(len(multi), dtype=np.bool_)
    while True:
        # Of the most valuable VMs that the wishes still hold, those on the nodes that wish the most parts of them.
        wish = np.where(on, wanted[rows, column], 1)
        open_ &= (wish > 0).all(axis=1)
        if not open_.any():
            break
        first = order[open_[order]][0]
        same = open_ & (stock.worth[multi] == stock.worth[multi[first]])
        chosen = int(np.lexsort((multi, -np.where(on, wish, 0).sum(axis=1), ~same))[0])
        placement = int(multi[chosen])
        taken[placement] = taken.get(placement, 0) + 1
        for node in np.nonzero(on[chosen])[0].tolist():
            wanted[node, column[chosen, node]] -= 1
            left[node] -= stock.steps(node)[column[chosen, node]]
    for node in range(len(levels)):
        read_single(stock, node, whole[node].read([int(x) for x in left[node]]), taken)
    return pattern_of(taken)


def fitted(model: StateModel, state: State, pattern: Pattern, worth: IntArray) -> Pattern:
    """Take VMs out, the least worth first, until a pattern keeps every row and limit of its host."""
    if model.fits(state, pattern):
        return pattern
    use = model.problem.shapes[state.shape].use
    taken = dict(pattern)
    flavor = model.problem.shapes[state.shape].flavor
    amounts = np.where(model.phantom, 0, model.amounts(state, pattern))
    surplus = np.where(state.lead.allowed, 0, np.maximum(amounts - state.present, 0))
    load = model.load(state, pattern)
    order = sorted(taken, key=lambda placement: (int(worth[placement]), -placement))
    for placement in order:
        f = int(flavor[placement])
        spare = taken[placement] - state.own.get(placement, 0)
        beyond = max(0, taken[placement] - state.lead.at_most.get(placement, taken[placement]))
        if beyond:
            taken[placement] -= beyond
            spare, surplus[f], load = spare - beyond, surplus[f] - beyond, load - beyond * use[placement]
        while spare > 0 and (surplus[f] > 0 or ((load > state.lead.capacity) & (use[placement] > 0)).any()):
            spare -= 1
            taken[placement] -= 1
            surplus[f] -= 1
            load = load - use[placement]
    slim = pattern_of(taken)
    return slim if model.fits(state, slim) else state.null
