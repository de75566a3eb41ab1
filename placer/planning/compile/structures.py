"""Structures: what of a host its rows and placements depend on, apart from how much it has. They become the engines'
shapes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from placer.model.goals import BALANCE_USAGE
from placer.model.usage_levels import THOUSAND
from placer.planning.compile.capacity import FreeCore, HostCapacity
from placer.planning.compile.flavors import FlavorGroup
from placer.planning.compile.needs import Needs, Part
from placer.planning.compile.placements import NodeView, Placement
from solvers.pins.cores import Core
from solvers.pins.cpu_rows import CpuRow, WholeDemand, node_cpu_rows
from solvers.problem import COST_UNIT, Hinge, IntArray

PLENTY = 1 << 40
"""The capacity of a row that only measures."""
BALANCE_STEPS = 10
ONE_L3 = "one-l3"
"""The scope of a rule whose members must share an L3 domain: on a node they take no more CPUs than its largest has. Its
rows are limits alone: what the rule is broken by now shows in the pins."""
FLOATS = 1 << 20
MAY_BE_OVER = ("memory", "shared ")
"""How the rows of a node begin of which a host that runs may hold more than it has, rules aside: that may stay, but not
get worse."""
_LOAD, _USED = "load", "used"
_LOADS = {_LOAD: ("balance", 1), _USED: (BALANCE_USAGE, THOUSAND)}
"""Row -> the goal that it measures, and the row's units a CPU (times the ratio's numerator)."""


@dataclass(frozen=True, slots=True)
class Structure:
    """What placements and rows of a host depend on; hosts of equal structure share one shape.

    `cpu_rows` are the CPU rows of each node with their capacity left out, `exact` whether they all allow whatever can
    be pinned; `widths` the threads of each node's widest core, `even` whether all its cores have as many; `ratio`
    shared vCPUs a CPU; `page_sizes` (KiB) that any node pools; `usable` and `whole` enter only where a convex goal
    needs them, `balance` are those goals that look at the load of nodes.
    """

    view: NodeView
    cpu_rows: tuple[tuple[CpuRow, ...], ...]
    exact: bool
    widths: tuple[int, ...]
    even: tuple[bool, ...]
    ratio: Fraction
    page_sizes: tuple[int, ...]
    node_resources: tuple[str, ...]
    host_resources: tuple[str, ...]
    l3_domains: tuple[int, ...]
    usable: tuple[int, ...] | None = None
    whole: tuple[int, ...] | None = None
    balance: tuple[str, ...] = ()


def structure_of(
    view: NodeView,
    capacity: HostCapacity,
    *,
    whole: WholeDemand,
    any_shared: bool,
    balance: tuple[str, ...],
    cores: bool,
) -> tuple[Structure, tuple[tuple[int, ...], ...]]:
    """Return a host's structure, and apart from it the capacities of its CPU rows a node."""
    rows, room, widths = [], [], []
    exact = True
    for node in capacity.nodes:
        elsewhere = len(node.shared_cpus) - sum(len(core.floats) for core in node.cores)
        cpus = [core_of(core).room for core in node.cores]
        found = node_cpu_rows(cpus, whole, floating=elsewhere, shared=any_shared)
        rows.append(tuple(dataclasses.replace(row, capacity=0) for row in found.rows))
        room.append(tuple(row.capacity for row in found.rows))
        widths.append({core.width for core in node.cores} or {1})
        # A core that spans nodes is whole on none of them: what could take it is left out.
        exact &= found.exact and not (node.cores_span and whole.any)
    return Structure(
        view=view,
        cpu_rows=tuple(rows),
        exact=exact,
        widths=tuple(max(found) for found in widths),
        even=tuple(len(found) == 1 for found in widths),
        ratio=capacity.ratio,
        page_sizes=tuple(sorted({size for node in capacity.nodes for size in node.pages})),
        node_resources=tuple(sorted({name for node in capacity.nodes for name in node.resources})),
        host_resources=tuple(sorted(capacity.resources)),
        l3_domains=tuple(node.l3_domains for node in capacity.nodes),
        usable=tuple(node.usable_cpus for node in capacity.nodes) if balance else None,
        whole=tuple(len(node.cores) for node in capacity.nodes) if cores else None,
        balance=balance,
    ), tuple(room)


def core_of(core: FreeCore) -> Core:
    """Return a free core as it is pinned."""
    return Core(cpus=core.cpus, width=core.width, l3=core.l3, floats=core.floats, beside=core.beside)


@dataclass(slots=True)
class RowTable:
    """The rows of one structure: names, and how much of each a placement takes and a host has."""

    structure: Structure
    names: list[tuple[int | None, str]] = field(default_factory=list)
    index: dict[tuple[int | None, str], int] = field(default_factory=dict)

    def row(self, node: int | None, name: str) -> int:
        """Return the index of a row, made if it is new."""
        key = (node, name)
        if key not in self.index:
            self.index[key] = len(self.names)
            self.names.append(key)
        return self.index[key]

    def use(self, group: FlavorGroup, placement: Placement, spread_rules: Mapping[int, str]) -> dict[int, int]:
        """Return row -> units that one VM of the flavor takes when so placed.

        `spread_rules` maps the rules that are rows to their scope: anti-affinities over host, node or l3, and
        affinities over l3 (`ONE_L3`).
        """
        needs, out = group.needs, dict[int, int]()
        parts = needs.options[placement.option]
        for slot, part in enumerate(parts):
            extra = 1 if needs.extra_cpu and slot == 0 else 0
            self._cpu(out, needs, part, placement.cpu_nodes[slot], extra)
            self._load(out, group, part, placement.cpu_nodes[slot], extra)
            self._memory(out, needs, part, placement.memory_nodes[slot])
        if self.structure.whole is not None:
            self._core_load(out, needs, placement)
        self._devices(out, needs, placement)
        self._resources(out, needs, placement)
        for number in group.rules:
            scope = spread_rules.get(number)
            if scope == "host":
                _add(out, self.row(None, f"rule {number}"), 1)
            elif scope == "node":
                for node in set(placement.cpu_nodes):
                    _add(out, self.row(node, f"rule {number}"), 1)
            elif scope == "l3":
                for node, domains in self._l3_touched(parts, placement).items():
                    _add(out, self.row(node, f"rule {number}"), domains)
            elif scope == ONE_L3:
                for slot, part in enumerate(parts):
                    node = placement.cpu_nodes[slot]
                    _add(out, self.row(node, f"{ONE_L3} {number}"), self._cpus_taken(needs, part, node))
        return out

    def _cpus_taken(self, needs: Needs, part: Part, node: int) -> int:
        """Return the CPUs that a part takes of its L3 domain at least: idle siblings too where all cores are alike; for
        vCPUs that float over a node more than any domain has.
        """
        if part.shared:
            return FLOATS
        width = self.structure.widths[node] if self.structure.even[node] else 1
        filled = width * -(-part.dedicated // width)
        whole = {"isolate": width * part.dedicated, "require": filled, "pairs": filled}
        return whole.get(needs.thread_policy, part.dedicated)

    def _l3_touched(self, parts: Sequence[Part], placement: Placement) -> dict[int, int]:
        """Return node -> L3 domains a VM is in at least: one, or all of the node's where it has vCPUs that float over
        them.
        """
        out: dict[int, int] = {}
        for slot, part in enumerate(parts):
            node = placement.cpu_nodes[slot]
            out[node] = max(out.get(node, 0), self.structure.l3_domains[node] if part.shared else 1)
        return out

    def _cpu(self, out: dict[int, int], needs: Needs, part: Part, node: int, extra: int) -> None:
        ratio = self.structure.ratio
        for row in self.structure.cpu_rows[node]:
            demand = row.demand(needs.thread_policy, part.dedicated) + row.demand("extra", extra)
            if row.shared:
                amount = ratio.numerator * demand + ratio.denominator * part.shared
                if amount:
                    _add(out, self.row(node, row.name), amount)
            elif part.dedicated or extra:
                _add(out, self.row(node, row.name), demand)

    def _load(self, out: dict[int, int], group: FlavorGroup, part: Part, node: int, extra: int) -> None:
        """Count the work a part brings to a node: what it asks for, and what it really uses where that is known."""
        ratio = self.structure.ratio
        asked = (part.dedicated + extra) * ratio.numerator + part.shared * ratio.denominator
        if "balance" in self.structure.balance:
            _add(out, self.row(node, _LOAD), asked)
        if BALANCE_USAGE in self.structure.balance:
            used = asked * THOUSAND if group.busy is None else part.vcpus * group.busy * ratio.numerator
            _add(out, self.row(node, _USED), used)

    def _memory(self, out: dict[int, int], needs: Needs, part: Part, node: int) -> None:
        if needs.page_kib is None:
            _add(out, self.row(node, "memory"), part.memory_kib + part.overhead_kib)
            return
        _add(out, self.row(node, "memory"), part.overhead_kib)
        _add(out, self.row(node, f"pages of {needs.page_kib} KiB"), part.memory_kib // needs.page_kib)

    def _core_load(self, out: dict[int, int], needs: Needs, placement: Placement) -> None:
        """Count the fewest cores the VM touches on each node: a lower bound of what pinning can reach."""
        vcpus: dict[int, int] = {}
        for slot, part in enumerate(needs.options[placement.option]):
            extra = 1 if needs.extra_cpu and slot == 0 and needs.thread_policy == "prefer" else 0
            vcpus[placement.cpu_nodes[slot]] = vcpus.get(placement.cpu_nodes[slot], 0) + part.dedicated + extra
        for node, count in vcpus.items():
            width = self.structure.widths[node]
            _add(out, self.row(node, "cores"), count if needs.thread_policy == "isolate" else -(-count // width))

    def _devices(self, out: dict[int, int], needs: Needs, placement: Placement) -> None:
        for (kind, _, count), node in zip(needs.devices, placement.device_nodes, strict=True):
            _add(out, self.row(node, f"device {kind}"), count)

    def _resources(self, out: dict[int, int], needs: Needs, placement: Placement) -> None:
        for name, amount in needs.resources:
            if name in self.structure.node_resources:
                share = -(-amount // len(placement.cpu_nodes))
                for node in placement.cpu_nodes:
                    _add(out, self.row(node, f"resource {name}"), share)
            else:
                _add(out, self.row(None, f"resource {name}"), amount)

    def capacity(
        self, host: HostCapacity, cpu_room: Sequence[Sequence[int]], rule_room: Mapping[tuple[int | None, str], int]
    ) -> IntArray:
        """Return (K,): how much of each row a host of this structure has, before anything is placed."""
        out = np.zeros(len(self.names), dtype=np.int64)
        ratio = self.structure.ratio
        for k, (node, name) in enumerate(self.names):
            if (node, name) in rule_room:
                out[k] = rule_room[node, name]
            elif node is None:
                kind, _, what = name.partition(" ")
                out[k] = host.devices.get(what, 0) if kind == "device" else host.resources.get(what, 0)
            else:
                out[k] = self._node_capacity(host, node, name, cpu_room[node], ratio)
        return out

    def _node_capacity(self, host: HostCapacity, node: int, name: str, cpu_room: Sequence[int], ratio: Fraction) -> int:
        here = host.nodes[node]
        for row, room in zip(self.structure.cpu_rows[node], cpu_room, strict=True):
            if row.name == name:
                return ratio.numerator * room if row.shared else room
        if name == "memory":
            return here.memory_kib
        if name in (*_LOADS, "cores"):
            return PLENTY
        kind, _, what = name.partition(" ")
        if kind == "pages":
            return here.pages.get(int(what.split()[1]), 0)
        return here.devices.get(what, 0) if kind == "device" else here.resources.get(what, 0)

    def hinges(
        self, max_per: Mapping[int, int], spread_rules: Mapping[int, str], units: Mapping[str, int]
    ) -> tuple[Hinge, ...]:
        """Return the convex costs: excess of rules within a host, shared cores, and the balance penalties.

        Balance is Σ_nodes Σ_{k=0..9} max(0, share − k/10), share = (dedicated + shared / ratio) / usable CPUs; by usage
        it is vCPUs × what they use / usable CPUs.
        """
        out = []
        for k, (node, name) in enumerate(self.names):
            kind, _, what = name.partition(" ")
            if kind == "rule":
                domains = 1
                if node is not None and spread_rules[int(what)] == "l3":
                    domains = self.structure.l3_domains[node]
                out.append(Hinge(goal="rules", row=k, offset=max_per[int(what)] * domains))
            elif name == "cores" and self.structure.whole is not None and node is not None:
                out.append(Hinge(goal="cores", row=k, offset=self.structure.whole[node]))
            elif (
                name in _LOADS
                and self.structure.usable is not None
                and node is not None
                and self.structure.usable[node]
            ):
                goal, per_cpu = _LOADS[name]
                full = self.structure.ratio.numerator * self.structure.usable[node] * per_cpu
                out.extend(
                    Hinge(
                        goal=goal,
                        row=k,
                        offset=step * full,
                        slope=units[goal] // (BALANCE_STEPS * full),
                        scale=BALANCE_STEPS,
                    )
                    for step in range(BALANCE_STEPS)
                )
        return tuple(out)


def balance_units(structures: Sequence[Structure]) -> dict[str, int]:
    """Return, a goal of balance, a unit in which its slopes are whole numbers; a billionth where that would grow too
    large: then slopes are rounded down, and the bound is a little lower than it could be.
    """
    return {goal: _unit(structures, per_cpu) for goal, per_cpu in _LOADS.values()}


def _unit(structures: Sequence[Structure], per_cpu: int) -> int:
    unit = COST_UNIT
    for structure in structures:
        for usable in structure.usable or ():
            if usable:
                unit = math.lcm(unit, BALANCE_STEPS * structure.ratio.numerator * usable * per_cpu)
                if unit > COST_UNIT * 10_000:
                    return COST_UNIT * 1_000
    return unit


def _add(out: dict[int, int], row: int, amount: int) -> None:
    if amount:
        out[row] = out.get(row, 0) + amount
