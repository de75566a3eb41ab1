"""What grows with the load of rows: excess of rules within a host, shared cores, balance, and what has no place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from placer.model.balance_steps import BALANCE_STEPS
from placer.model.usage_levels import THOUSAND
from placer.planning.compile.loose import NodeSet, families
from placer.planning.compile.row_table import LOADS, RowTable
from placer.planning.compile.rows import BESIDE, SHARED, Row, RowKind
from placer.planning.compile.structures import Structure
from solvers.pins.cpu_rows import CpuRow
from solvers.problem import COST_UNIT, Hinge, HostClass, Shape, Shortage

MEMORY, CPUS, VCPUS, OTHERS = "memory", "CPUs", "vCPUs", "others"
EXCESS_PARTS = (MEMORY, CPUS, VCPUS, OTHERS)
"""The parts of the goal ``excess`` in their order."""


def hinges_of(
    table: RowTable,
    max_per: Mapping[int, int],
    spread_rules: Mapping[int, str],
    units: Mapping[str, int],
    widths: Mapping[str, int],
    soft: Mapping[int, tuple[str, int]],
) -> tuple[Hinge, ...]:
    """Return the convex costs: excess of rules within a host, shared cores, and the balance penalties.

    Balance is Σ_nodes CPUs × Σ_{k=0..9} max(0, share − k × width), share = (dedicated + shared / ratio) / usable CPUs;
    by usage it is vCPUs × what they use / usable CPUs. Weighed by its CPUs a node of any size is worth its share alone,
    so equal shares are the optimum. `widths` are in thousandths (`placer.model.balance_steps`).
    """
    structure = table.structure
    out = []
    for k, row in enumerate(table.rows):
        node = row.node
        if row.kind is RowKind.RULE:
            domains = 1
            if node is not None and spread_rules[row.number] == "l3":
                domains = structure.l3_domains[node]
            goal, weight = soft.get(row.number, ("rules", 1))
            out.append(Hinge(goal=goal, row=k, offset=max_per[row.number] * domains, slope=weight))
        elif row.kind is RowKind.CORES and structure.whole is not None and node is not None:
            out.append(Hinge(goal="cores", row=k, offset=structure.whole[node]))
        elif row.kind in LOADS and structure.usable is not None and node is not None and structure.usable[node]:
            goal, per_cpu = LOADS[row.kind]
            a_cpu = structure.ratio.numerator * per_cpu * structure.load_scale
            out.extend(
                Hinge(
                    goal=goal,
                    row=k,
                    offset=step * widths[goal] * structure.usable[node] * a_cpu,
                    slope=units[goal] // (THOUSAND * a_cpu),
                    scale=THOUSAND,
                )
                for step in range(BALANCE_STEPS)
            )
    return tuple(out)


def shortages_of(table: RowTable, units: Mapping[str, int], *, only_threads: bool) -> tuple[Shortage, ...]:
    """Return how rows that are over count towards the goal ``excess``, in the unit of each part.

    `only_threads` says that every dedicated vCPU takes one thread: else one that takes a whole core may be what has no
    place, so a thread counts a core's part of a CPU.
    """
    structure = table.structure
    sets: dict[tuple[RowKind, str | int], list[tuple[int, NodeSet]]] = {}
    for k, row in enumerate(table.rows):
        sets.setdefault((row.kind, row.what), []).append((k, row.nodes))
    out = []
    for (kind, what), rows in sets.items():
        if kind is RowKind.PAGES or (kind is RowKind.MEMORY and structure.told):
            out.append(Shortage(part=MEMORY, apart=_apart(rows, int(what) if kind is RowKind.PAGES else 1)))
        elif kind in (RowKind.DEVICE, RowKind.RESOURCE):
            out += [Shortage(part=OTHERS, apart=(((k, 1),),)) for k, _ in rows]
    shared = [sets.get((RowKind.CPUS, what), []) for what in (SHARED, BESIDE)]
    if any(shared):
        each = units[VCPUS] // structure.ratio.numerator
        apart = [family for rows in shared for family in _apart(rows, each)]
        out.append(Shortage(part=VCPUS, apart=tuple(apart)))
    for node, cpu_rows in enumerate(structure.cpu_rows):
        found = []
        for one in cpu_rows:
            at = table.index.get(Row(RowKind.CPUS, (node,), one.name))
            if at is not None and not one.shared:
                found.append(((at, units[CPUS] // _most_a_vcpu(one, only_threads=only_threads)),))
        if found:
            out.append(Shortage(part=CPUS, apart=tuple(found)))
    return tuple(out)


def excess_parts(classes: Sequence[HostClass], shapes: Sequence[Shape], constants: Mapping[str, int]) -> frozenset[str]:
    """Return the parts of the goal ``excess`` of which anything can have no place."""
    found = {part for part in EXCESS_PARTS if constants.get(part)}
    for cls in classes:
        shape, over = shapes[cls.shape], set(cls.over_rows) - set(cls.silent)
        for shortage in shape.shortages if over else ():
            if any(row in over for family in shortage.apart for row, _ in family):
                found.add(shortage.part)
        if VCPUS in shape.cost and any(shape.cost[VCPUS][placement] for placement, _ in cls.content):
            found.add(VCPUS)
    return frozenset(found)


def _apart(rows: Sequence[tuple[int, NodeSet]], each: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    return tuple(tuple((row, each) for row in family) for family in families(rows)) if rows else ()


def _most_a_vcpu(row: CpuRow, *, only_threads: bool) -> int:
    """Return how much of a row a dedicated vCPU takes at most."""
    whole = (row.isolate, row.core + row.filled, row.fast or 0, row.slow or 0)
    return max(1, row.loose, row.slow_loose or 0, *(() if only_threads else whole))


def goal_units(structures: Sequence[Structure], *, only_threads: bool) -> dict[str, int]:
    """Return the unit of each goal of balance and of each part of ``excess``, in which their slopes are whole numbers.

    Of balance it is a billionth where that would grow too large: then slopes are rounded down, and the bound is a
    little lower than it could be.
    """
    out = {goal: _unit(structures, per_cpu) for goal, per_cpu in LOADS.values()}
    out[MEMORY] = out[OTHERS] = 1
    cpu_rows = [row for structure in structures for rows in structure.cpu_rows for row in rows if not row.shared]
    out[CPUS] = math.lcm(*(_most_a_vcpu(row, only_threads=only_threads) for row in cpu_rows))
    out[VCPUS] = math.lcm(*(structure.ratio.numerator for structure in structures))
    return out


def _unit(structures: Sequence[Structure], per_cpu: int) -> int:
    unit = COST_UNIT
    for a_cpu in sorted({structure.ratio.numerator * structure.load_scale for structure in structures}):
        unit = math.lcm(unit, THOUSAND * a_cpu * per_cpu)
        if unit > COST_UNIT * 10_000:
            return COST_UNIT * 1_000
    return unit
