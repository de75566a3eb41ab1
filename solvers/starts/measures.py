"""How well a place suits a VM, and which VM comes first: what simple heuristics differ in.

The measures are those of Panigrahy and others, "Heuristics for Vector Bin Packing", 2011, and of Gabay and Zaourar,
"Vector bin packing with heterogeneous bins", 2016: what a VM takes and what is free are vectors of shares of the host.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.improve.fleet import Fleet
from solvers.problem import IntArray

Floats = NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]
"""Of shares (K, ...) that a VM takes and that are free: how badly the places suit it, (...)."""


def tight(take: Floats, free: Floats) -> Floats:
    """Best fit: the room that is left in the end, in all."""
    return np.asarray((free - take).sum(axis=0))


def roomy(take: Floats, free: Floats) -> Floats:
    """Worst fit: as much room as can be is left in the end."""
    return -tight(take, free)


def dot(take: Floats, free: Floats) -> Floats:
    """Dot product: much is free of what the VM takes much of."""
    return -_product(take, free)


def cosine(take: Floats, free: Floats) -> Floats:
    """Alignment: what is free has the proportions of the VM."""
    length = np.sqrt(_product(take, take) * _product(free, free))
    return np.asarray(-_product(take, free) / np.maximum(1e-12, length))


def distance(take: Floats, free: Floats) -> Floats:
    """L2: the room that is left in the end, squared, so that no resource is left much of."""
    rest = free - take
    return _product(rest, rest)


def large(take: Floats, free: Floats) -> Floats:
    """The VM that takes most."""
    return np.asarray(-take.sum(axis=0))


def _product(one: Floats, other: Floats) -> Floats:
    return np.asarray((one * other).sum(axis=0))


def host_ranks(fleet: Fleet) -> list[Floats]:
    """Return (H,) orders of hosts: as they come; where they differ, also the largest and the smallest first."""
    tables = fleet.tables
    given = np.arange(tables.hosts, dtype=np.float64)
    size = (tables.capacity / np.maximum(1, tables.capacity.max(axis=0))).sum(axis=1)
    if not len(size) or size.max() - size.min() < 1e-9:
        return [given]
    return [given, *(np.argsort(np.argsort(sign * size, kind="stable")).astype(np.float64) for sign in (-1, 1))]


def orders(fleet: Fleet, waiting: IntArray) -> list[IntArray]:
    """Return orders of the VMs of flavors that wait, as indices into `waiting`: the largest first by many ideas of
    size, what counts most where it is left out, and what counts most for its size. Earlier ones are the better bet.
    """
    share = shares(fleet)[waiting]
    by_name = resources(fleet, share)
    by_node = resources(fleet, peaks(fleet)[waiting], np.maximum)
    many = fleet.out[waiting]
    whole = share.sum(axis=1)
    worth = fleet.tables.unplaced[waiting].astype(np.float64)
    density = worth / np.maximum(1e-12, whole)[:, None]
    scarce = share @ (share * many[:, None]).sum(axis=0)
    resource = range(by_name.shape[1])
    keys: list[list[Floats]] = [
        [whole],
        [*worth.T, whole],
        [scarce],
        [share.max(axis=1, initial=0.0)],
        [*density.T, whole],
        [(by_name**2).sum(axis=1)],
        [np.log(np.maximum(1e-9, by_name)).sum(axis=1)],
        *([by_name[:, r], *(by_name[:, other] for other in resource if other != r)] for r in resource),
        [by_name[:, r] for r in resource][::-1],
        [by_name.max(axis=1, initial=0.0) - by_name.min(axis=1, initial=1.0), whole],
        [-whole],
        [np.zeros(len(whole))],
        [by_node.sum(axis=1)],
        *([by_node[:, r], *(by_node[:, other] for other in resource if other != r)] for r in resource),
        [*worth.T, by_node.sum(axis=1)],
    ]
    priority = np.array([float(fleet.tables.problem.flavors[flavor].priority) for flavor in waiting.tolist()])
    found: dict[tuple[int, ...], IntArray] = {}
    for key in keys:
        ranked = np.lexsort([*(-column for column in key[::-1]), -priority])
        found.setdefault(tuple(ranked.tolist()), np.repeat(ranked, many[ranked]))
    return list(found.values())


def shares(fleet: Fleet) -> Floats:
    """Return (F, K): what a VM takes of the rows, on average over its placements, as shares of all that there is."""
    tables = fleet.tables
    whole = np.maximum(1, tables.capacity.sum(axis=0)).astype(np.float64)
    count = np.maximum(1, np.diff(tables.flavor_ptr))[:, None]
    out = np.zeros((len(tables.problem.flavors), tables.use.shape[1]))
    np.add.at(out, tables.flavor, tables.use.astype(np.float64))
    return np.asarray(out / count / whole)


def peaks(fleet: Fleet) -> Floats:
    """Return (F, K): the most that a VM takes of each row in any placement, as shares of all that there is."""
    tables = fleet.tables
    out = np.zeros((len(tables.problem.flavors), tables.use.shape[1]))
    np.maximum.at(out, tables.flavor, tables.use.astype(np.float64))
    return np.asarray(out / np.maximum(1, tables.capacity.sum(axis=0)))


def resources(fleet: Fleet, share: Floats, join: np.ufunc = np.add) -> Floats:
    """Return (F, R): shares (F, K) of rows of the same resource joined, in the order of the shape with most rows."""
    shapes = fleet.tables.problem.shapes
    names = [name for _, name in max((shape.row_names for shape in shapes), key=len)]
    kinds = list(dict.fromkeys(names))
    out = np.zeros((len(share), len(kinds)))
    for row, name in enumerate(names):
        out[:, kinds.index(name)] = join(out[:, kinds.index(name)], share[:, row])
    return out
