"""What grows with the load of rows: excess of rules within a host, shared cores, balance, and what has no place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from placer.model.balance import HOSTS, NODES, Load
from placer.model.balance import MEMORY as MEMORY_LOAD
from placer.model.units import KIB_PER_GIB
from placer.model.usage_levels import THOUSAND
from placer.planning.compile.loose import NodeSet, families
from placer.planning.compile.row_table import PER_CPU, RowTable
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
    loads: Sequence[Load],
    soft: Mapping[int, tuple[str, int]],
) -> tuple[Hinge, ...]:
    """Return the convex costs: excess of rules within a host, shared cores, and the balance penalties.

    Balance is Σ over places of capacity × Σ over steps of max(0, share − step), as `loads` say it: of CPUs the share is
    (dedicated + shared / ratio) / usable CPUs, by usage vCPUs × what they use / usable CPUs, of memory what is taken of
    what VMs may take. Weighed by its capacity a place of any size is worth its share alone, so equal shares are the
    optimum.
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
        elif row.kind is RowKind.LOAD:
            has = _has(structure, str(row.what), node)
            out.extend(
                Hinge(
                    goal=load.goal,
                    row=k,
                    offset=step * has,
                    slope=int(units[load.goal] / _parts(structure, load)),
                    scale=THOUSAND,
                )
                for load in loads
                if has and load.resource == row.what and load.places == (HOSTS if node is None else NODES)
                for step in load.steps
            )
    return tuple(out)


def _has(structure: Structure, resource: str, node: int | None) -> int:
    """Return how much a node or the host has of what a load is of, in the units of its row."""
    has = structure.memory if resource == MEMORY_LOAD else structure.usable
    assert has is not None
    amount = sum(has) if node is None else has[node]
    if resource == MEMORY_LOAD:
        return amount // structure.memory_unit
    return amount * _a_cpu(structure, resource, HOSTS if node is None else NODES)


def _a_cpu(structure: Structure, resource: str, places: str) -> int:
    return structure.ratio.numerator * PER_CPU[resource] * (structure.load_scale if places == NODES else 1)


def _parts(structure: Structure, load: Load) -> Fraction:
    """Return of how many thousandths of a unit of its row a load's goal makes one."""
    if load.resource == MEMORY_LOAD:
        return load.parts(Fraction(KIB_PER_GIB, structure.memory_unit))
    return load.parts(Fraction(_a_cpu(structure, load.resource, load.places)))


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
    chosen = [
        (table.index[row], union.nodes)
        for union in structure.union_rows
        if union.name not in (SHARED, BESIDE) and {union.name_on(node) for node in union.nodes} <= {SHARED, BESIDE}
        if (row := Row(RowKind.CPUS, union.nodes, union.name)) in table.index
    ]
    if chosen:
        shared = [[*shared[0], *shared[1], *chosen]]
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
    return max(1, row.loose, row.fast_loose or 0, row.slow_loose or 0, *(() if only_threads else whole))


def goal_units(structures: Sequence[Structure], loads: Sequence[Load], *, only_threads: bool) -> dict[str, int]:
    """Return the unit of each goal of balance and of each part of ``excess``, in which their slopes are whole numbers.

    Of balance it is a billionth where that would grow too large: then slopes are rounded down, and the bound is a
    little lower than it could be.
    """
    loads = [load for load in loads if not load.by_label]
    goals = {load.goal for load in loads}
    out = {goal: _unit(structures, [load for load in loads if load.goal == goal]) for goal in goals}
    out[MEMORY] = out[OTHERS] = 1
    cpu_rows = [row for structure in structures for rows in structure.cpu_rows for row in rows if not row.shared]
    out[CPUS] = math.lcm(*(_most_a_vcpu(row, only_threads=only_threads) for row in cpu_rows))
    out[VCPUS] = math.lcm(*(structure.ratio.numerator for structure in structures))
    return out


def _unit(structures: Sequence[Structure], loads: Sequence[Load]) -> int:
    unit = COST_UNIT
    for parts in sorted({_parts(structure, load) for structure in structures for load in loads}):
        unit = math.lcm(unit, parts.numerator)
        if unit > COST_UNIT * 10_000:
            return COST_UNIT * 1_000
    return unit
