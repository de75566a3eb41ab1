"""Hosts that hold more than they have room for: who may take of a row that is over, and what has no place there."""

from __future__ import annotations

import numpy as np

from solvers.backends.cpsat_rows import RowWriter, Sum, total_of
from solvers.problem import HostClass, IntArray, Shape


def keep_out(writer: RowWriter, shape: Shape, host_class: HostClass, placements: IntArray, y: IntArray) -> None:
    """Write that a row is not over (`Shape.over`), or that no flavor takes more of it than it does now (`Shape.kept`).

    Parameters
    ----------
    placements, y : (A,) the placements that a host may have, and the variable of each.
    """
    if host_class.room is None:
        return
    flavor, use = shape.flavor[placements], shape.use[placements]
    beyonds = {row: Sum(constant=-int(host_class.room[row])).add(y, use[:, row]) for row in host_class.over_rows}
    lacks: dict[int, Sum] = {}
    for row, beyond in beyonds.items():
        column, room = use[:, row], int(host_class.room[row])
        if not column.any():
            continue
        for one in {one for family in shape.inside.get(row, ()) for one in family if one in beyonds} - lacks.keys():
            lacks[one] = writer.at_most_positive(beyonds[one])
        inside: Sum | None = None
        for family in shape.inside.get(row, ()):
            here = total_of(lacks[one] for one in family if one in lacks)
            inside = here if inside is None else Sum().plus(inside).plus(writer.at_most_positive(here.plus(inside, -1)))
        if inside is not None:
            beyond = Sum().plus(beyond).plus(inside, -1)
        over = writer.derive(beyond, 0, 1)
        writer.row(Sum().plus(beyond).add(over, room - int(host_class.capacity[row])), None, 0)
        for amounts in shape.kept(row):
            now: dict[int, int] = {}
            for placement, many in host_class.content:
                own = int(shape.flavor[placement])
                now[own] = now.get(own, 0) + many * int(amounts[placement])
            column = amounts[placements]
            for one in np.unique(flavor[column > 0]).tolist():
                mine = flavor == one
                most = int((column[mine] * writer.upper[y[mine]]).sum())
                if most > now.get(one, 0):
                    spare = most - now.get(one, 0)
                    writer.row(Sum().add(y[mine], column[mine]).add(over, spare), None, most)


def shortage_of(
    writer: RowWriter, shape: Shape, host_class: HostClass, placements: IntArray, y: IntArray, part: str
) -> Sum:
    """Return what has no place on a host, of one part of the goal ``excess``; `y` 0 where phantoms are left out."""
    total = Sum()
    if host_class.room is None:
        return total
    ceiling = host_class.ceiling
    for shortage in shape.shortages:
        if shortage.part != part:
            continue
        over: dict[int, Sum] = {}
        for row in sorted({row for family in shortage.apart for row, _ in family}):
            load = Sum(constant=-int(ceiling[row])).add(y, shape.use[placements, row])
            over[row] = writer.positive_part(load)
        most: Sum | None = None
        for family in shortage.apart:
            here = total_of(Sum().plus(over[row], each) for row, each in family)
            # The larger of two expressions is the first and what the second is above it.
            most = here if most is None else Sum().plus(most).plus(writer.positive_part(here.plus(most, -1)))
        if most is not None:
            total.plus(most)
    return total
