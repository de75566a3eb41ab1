"""How many more VMs of a flavor fit, NUMA-true, by a formula that is exact for cells of equal size.

The formula (design section 6): a host whose node i holds b_i whole cells of a flavor of k equal cells on distinct nodes
holds ``min over 0 <= r < k of floor((B - b_1 - ... - b_r) / (k - r))`` VMs, b sorted down and B their sum. It is exact
since such a VM takes nothing of the host as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planning.after import fleet_after
from placer.planning.compile import Compiled, compile_fleet
from placer.planning.goals import Goal, HeadroomFlavor
from solvers.problem import IntArray, Problem, Shape

_WORDS = {
    "threads": "CPUs",
    "free threads": "CPUs",
    "shared beside dedicated": "CPUs beside shared vCPUs",
    "memory": "memory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """The headroom of one flavor: in all, a host, and what runs out first (resource -> VMs if only it counted)."""

    flavor: str
    total: int
    per_host: Mapping[str, int]
    limits: Mapping[str, int]
    per_label: Mapping[str, int] = field(default_factory=dict)

    @property
    def first(self) -> str | None:
        """The resource that runs out first."""
        return min(self.limits, key=lambda name: (self.limits[name], name)) if self.limits else None


def headroom(
    fleet: Fleet, flavors: Sequence[HeadroomFlavor], *, plan: Plan | None = None, label: str | None = None
) -> tuple[Headroom, ...]:
    """Return how many more VMs of each flavor fit beside what is there now, or beside a plan.

    Parameters
    ----------
    plan : count beside what this plan places; None counts beside the VMs that are on hosts now.
    label : a host label, such as ``rack``, to sum up by.

    Notes
    -----
    Nothing is moved: every VM stays on its nodes. VMs on unknown nodes are not counted as taking anything, since nobody
    knows where; `placer check` names them.
    """
    settled = fleet if plan is None else fleet_after(fleet, plan)
    compiled = compile_fleet(
        settled, [Goal(name=f"headroom:{flavor.text}", kind="headroom", flavor=flavor) for flavor in flavors]
    )
    first = len(compiled.problem.flavors) - len(flavors)
    residual = _residual(compiled.problem)
    out = []
    for number, flavor in enumerate(flavors):
        counts, limits = _count(compiled.problem, residual, first + number, flavor)
        out.append(_summed(compiled, flavor, counts, limits, label))
    return tuple(out)


def slots(cells: IntArray, parts: int) -> IntArray:
    """Return (H,): VMs of `parts` equal cells on distinct nodes, given (H, nodes) how many cells each node holds."""
    if cells.shape[1] < parts:
        return np.zeros(len(cells), dtype=np.int64)
    ordered = -np.sort(-cells, axis=1)
    left = ordered.sum(axis=1)
    best = left // parts
    for dropped in range(1, parts):
        left = left - ordered[:, dropped - 1]
        best = np.minimum(best, left // (parts - dropped))
    return np.asarray(best, dtype=np.int64)


def _residual(problem: Problem) -> list[IntArray]:
    """Return, a class, what its rows have left beside the VMs that are there now."""
    out = []
    for host_class in problem.classes:
        use = problem.shapes[host_class.shape].use
        free = host_class.capacity.copy()
        for placement, count in host_class.content:
            free = free - count * use[placement]
        out.append(np.maximum(free, 0))
    return out


def _count(
    problem: Problem, residual: Sequence[IntArray], phantom: int, flavor: HeadroomFlavor
) -> tuple[dict[int, int], dict[str, int]]:
    """Return class -> VMs on one host of it, and resource -> VMs in all if only it counted."""
    counts: dict[int, int] = {}
    limits: dict[str, int] = defaultdict(int)
    by_shape: dict[int, list[int]] = defaultdict(list)
    for number, host_class in enumerate(problem.classes):
        if host_class.allowed[phantom]:
            by_shape[host_class.shape].append(number)
        else:
            counts[number] = 0
    for shape_number, numbers in by_shape.items():
        shape = problem.shapes[shape_number]
        unit = _unit_use(shape, phantom)
        free = np.array([residual[number] for number in numbers], dtype=np.int64)
        many = np.array([problem.classes[number].count for number in numbers], dtype=np.int64)
        found = slots(_cells(shape, free, unit), flavor.cells)
        counts.update(zip(numbers, found.tolist(), strict=True))
        for resource in sorted({name for _, name in unit}):
            only = {key: amount for key, amount in unit.items() if key[1] == resource}
            alone = slots(_cells(shape, free, only, nodes={node for node, _ in unit}), flavor.cells)
            limits[_WORDS.get(resource, resource)] += int((alone * many).sum())
    return counts, dict(limits)


def _unit_use(shape: Shape, phantom: int) -> dict[tuple[int, str], int]:
    """Return (node, resource) -> what one cell takes there; nodes that cannot hold a cell at all are missing."""
    unit: dict[tuple[int, str], int] = {}
    own = np.flatnonzero(shape.flavor == phantom)
    for row, (node, name) in enumerate(shape.row_names):
        taken = shape.use[own, row] if len(own) else np.zeros(0, dtype=np.int64)
        if node is not None and taken.any():
            unit[node, name] = int(taken.max())
    return unit


def _cells(
    shape: Shape, free: IntArray, unit: Mapping[tuple[int, str], int], nodes: set[int] | None = None
) -> IntArray:
    """Return (H, nodes): whole cells that each node of each host holds."""
    held = nodes if nodes is not None else {node for node, _ in unit}
    out = np.zeros((len(free), shape.nodes), dtype=np.int64)
    index = {name: row for row, name in enumerate(shape.row_names)}
    for node in held:
        rows = [(index[node, name], amount) for (where, name), amount in unit.items() if where == node]
        if rows:
            out[:, node] = np.min([free[:, row] // amount for row, amount in rows], axis=0)
    return out


def _summed(
    compiled: Compiled,
    flavor: HeadroomFlavor,
    counts: Mapping[int, int],
    limits: Mapping[str, int],
    label: str | None,
) -> Headroom:
    hosts = compiled.fleet.hosts
    per_host = {
        hosts[member].name: counts[number]
        for number, host_class in enumerate(compiled.problem.classes)
        for member in host_class.members
    }
    per_label: dict[str, int] = defaultdict(int)
    if label is not None:
        for host in hosts:
            per_label[host.labels.get(label, "")] += per_host.get(host.name, 0)
    return Headroom(
        flavor=flavor.text,
        total=sum(per_host.values()),
        per_host=per_host,
        limits=limits,
        per_label=dict(per_label),
    )
