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
from placer.planning.compile.loose import Loose, LoosePart, NodeSet
from placer.planning.compile.needs import Needs, Part
from placer.planning.compile.placements import NodeView, Placement
from solvers.pins.cores import Core
from solvers.pins.cpu_rows import CpuRow, WholeDemand, node_cpu_rows
from solvers.problem import IntArray

PLENTY = 1 << 40
"""The capacity of a row that only measures."""
ONE_L3 = "one-l3"
"""The scope of a rule whose members must share an L3 domain: on a node they take no more CPUs than its largest has. Its
rows are limits alone: what the rule is broken by now shows in the pins."""
FLOATS = 1 << 20
_NOTHING = Part(dedicated=0, shared=0, ram_kib=0, memory_kib=0, overhead_kib=0)
SHARED, BESIDE = "shared vCPUs", "shared beside dedicated"
"""Rows of shared vCPUs: on the CPUs that they may float over, and there together with dedicated vCPUs."""
_LOAD, _USED = "load", "used"
MOST_LOAD_UNITS = 64
LOADS = {_LOAD: ("balance", 1), _USED: (BALANCE_USAGE, THOUSAND)}
"""Row -> the goal that it measures, and the row's units a CPU (times the ratio's numerator)."""
Place = Placement | Loose


@dataclass(frozen=True, slots=True)
class Structure:
    """What placements and rows of a host depend on; hosts of equal structure share one shape.

    `cpu_rows` are the CPU rows of each node with their capacity left out, `exact` whether they all allow whatever can
    be pinned; `widths` the threads of each node's widest core, `even` whether all its cores have as many; `ratio`
    shared vCPUs a CPU; `page_sizes` (KiB) that any node pools; `usable` and `whole` enter only where a convex goal
    needs them, `balance` are those goals that look at the load of nodes. `cpu_unions` and `memory_unions` are the
    unions of nodes that have a row of their own, for VMs that are not bound to one node a cell (`loose`), `split` says
    whether dedicated and shared CPUs are apart there. `carrying` are the CPUs of each node that may carry shared vCPUs,
    where a floating VM may be wider than they are; `told` says whether the host's memory is known.
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
    split: bool = False
    cpu_unions: tuple[NodeSet, ...] = ()
    memory_unions: tuple[NodeSet, ...] = ()
    carrying: tuple[int, ...] | None = None
    told: bool = True

    @property
    def load_scale(self) -> int:
        """Units a CPU of the rows that balance looks at, so that what floats over all nodes parts into whole ones."""
        if self.usable is None or not self.cpu_unions:
            return 1
        return min(MOST_LOAD_UNITS, sum(self.usable) // max(1, math.gcd(*self.usable)))


def structure_of(
    view: NodeView,
    capacity: HostCapacity,
    *,
    whole: WholeDemand,
    any_shared: bool,
    balance: tuple[str, ...],
    cores: bool,
    unions: tuple[tuple[NodeSet, ...], tuple[NodeSet, ...]] = ((), ()),
    widest: int = 0,
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
    carrying = tuple(len(node.shared_cpus) for node in capacity.nodes)
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
        split=capacity.split if unions[0] else False,
        cpu_unions=unions[0],
        memory_unions=unions[1],
        carrying=carrying if widest > min((n for n in carrying if n), default=0) else None,
        told=any(node.memory_told for node in capacity.nodes),
    ), tuple(room)


def core_of(core: FreeCore) -> Core:
    """Return a free core as it is pinned."""
    return Core(cpus=core.cpus, width=core.width, l3=core.l3, floats=core.floats, beside=core.beside, slow=core.slow)


@dataclass(slots=True)
class RowTable:
    """The rows of one structure: names, and how much of each a placement takes and a host has."""

    structure: Structure
    names: list[tuple[int | None, str]] = field(default_factory=list)
    index: dict[tuple[int | None, str], int] = field(default_factory=dict)
    over: dict[int, tuple[NodeSet, str]] = field(default_factory=dict)
    """Rows over several nodes: the nodes and the resource."""

    def row(self, node: int | None, name: str) -> int:
        """Return the index of a row, made if it is new."""
        key = (node, name)
        if key not in self.index:
            self.index[key] = len(self.names)
            self.names.append(key)
        return self.index[key]

    def use(self, group: FlavorGroup, placement: Place, spread_rules: Mapping[int, str]) -> dict[int, int]:
        """Return row -> units that one VM of the flavor takes when so placed.

        `spread_rules` maps the rules that are rows to their scope: anti-affinities over host, node or l3, and
        affinities over l3 (`ONE_L3`).
        """
        if isinstance(placement, Loose):
            return self._loose_use(group, placement, spread_rules)
        needs, out = group.needs, dict[int, int]()
        parts = needs.options[placement.option]
        for slot, part in enumerate(parts):
            extra = 1 if needs.extra_cpu and slot == 0 else 0
            self._cpu(out, needs, part, placement.cpu_nodes[slot], extra)
            self._load(out, group, part, placement.cpu_nodes[slot], extra)
            self._memory(out, needs, part, (placement.memory_nodes[slot],))
        if self.structure.whole is not None:
            self._core_load(out, needs, placement)
        self._devices(out, needs, placement)
        self._resources(out, needs, placement.cpu_nodes)
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

    def _loose_use(self, group: FlavorGroup, loose: Loose, spread_rules: Mapping[int, str]) -> dict[int, int]:
        """Return what a VM takes that is not bound to one node a cell: of the rows of its sets, and of all above."""
        needs, out = group.needs, dict[int, int]()
        ratio = self.structure.ratio
        for slot, part in enumerate(loose.parts):
            for node, count in part.own:
                own = dataclasses.replace(_NOTHING, dedicated=count)
                self._cpu(out, needs, own, node, 1 if needs.extra_cpu and slot == 0 and node == part.own[0][0] else 0)
            if part.shared and len(part.cpus) == 1:
                self._cpu(out, needs, dataclasses.replace(_NOTHING, shared=part.shared), part.cpus[0], 0)
            elif part.shared:
                asked = part.shared * ratio.denominator
                self._on(out, SHARED, part.cpus, asked, self.structure.cpu_unions)
                if not self.structure.split:
                    self._on(out, BESIDE, part.cpus, asked, self.structure.cpu_unions)
            self._loose_load(out, group, part)
            self._memory(out, needs, part, part.memory)
        for number, (kind, _, count) in enumerate(needs.devices):
            node_of = loose.device_nodes[number] if number < len(loose.device_nodes) else None
            _add(out, self.row(node_of, f"device {kind}"), count)
        nodes = loose.cpu_nodes
        self._resources(out, needs, nodes)
        for number in group.rules:
            scope = spread_rules.get(number)
            if scope == "host":
                _add(out, self.row(None, f"rule {number}"), 1)
            elif scope in ("node", "l3"):
                for node in nodes:
                    _add(out, self.row(node, f"rule {number}"), self.structure.l3_domains[node] if scope == "l3" else 1)
            elif scope == ONE_L3:
                for node in nodes:
                    _add(out, self.row(node, f"{ONE_L3} {number}"), FLOATS)
        return out

    def _loose_load(self, out: dict[int, int], group: FlavorGroup, part: LoosePart) -> None:
        """Count the work of a part on each node in proportion to its CPUs, as the measure does, rounded down."""
        usable = self.structure.usable
        if usable is None:
            return
        whole = sum(usable[node] for node in part.cpus)
        ratio = self.structure.ratio
        scale = self.structure.load_scale
        load = {node: count * ratio.numerator * scale for node, count in part.own}
        for node in part.cpus if whole else ():
            floating = (part.shared + part.beyond) * ratio.denominator * scale * usable[node] // whole
            load[node] = load.get(node, 0) + floating
        for node, asked in load.items():
            if "balance" in self.structure.balance:
                _add(out, self.row(node, _LOAD), asked)
            if BALANCE_USAGE in self.structure.balance:
                used = THOUSAND if group.busy is None else group.busy
                _add(out, self.row(node, _USED), asked * used)

    def _on(self, out: dict[int, int], what: str, nodes: NodeSet, amount: int, unions: tuple[NodeSet, ...]) -> None:
        """Take of the row of a set of nodes, and of those of all unions that hold it."""
        if len(nodes) == 1:
            _add(out, self.row(nodes[0], what), amount)
        for union in unions:
            if set(nodes) <= set(union):
                _add(out, self.union_row(union, what), amount)

    def union_row(self, nodes: NodeSet, what: str) -> int:
        """Return the index of the row of a resource over several nodes, made if it is new."""
        row = self.row(None, f"{what} of nodes {', '.join(map(str, nodes))}")
        self.over[row] = (nodes, what)
        return row

    def is_untold(self, row: int) -> bool:
        """Tell whether the host does not tell how much it has of a row: pages of a size that no node pools."""
        kind, _, rest = (self.over[row][1] if row in self.over else self.names[row][1]).partition(" ")
        return kind == "pages" and int(rest.split()[1]) not in self.structure.page_sizes

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
            demand = row.demand(needs.thread_policy, part.dedicated, needs.core_kind)
            demand += row.demand("extra", extra)
            if row.shared:
                amount = ratio.numerator * demand + ratio.denominator * part.shared
                if amount:
                    _add(out, self.row(node, row.name), amount)
            elif part.dedicated or extra:
                _add(out, self.row(node, row.name), demand)
        if not self.structure.cpu_unions:
            return
        width = self.structure.widths[node]
        filled = width * -(-part.dedicated // width)
        whole = {"isolate": width * part.dedicated, "require": filled, "pairs": filled}
        taken = whole.get(needs.thread_policy, part.dedicated) + extra
        for union in self.structure.cpu_unions:
            if node not in union:
                continue
            if part.shared:
                _add(out, self.union_row(union, SHARED), part.shared * ratio.denominator)
            if not self.structure.split and (part.shared or taken):
                asked = taken * ratio.numerator + part.shared * ratio.denominator
                _add(out, self.union_row(union, BESIDE), asked)

    def _load(self, out: dict[int, int], group: FlavorGroup, part: Part, node: int, extra: int) -> None:
        """Count the work a part brings to a node: what it asks for, and what it really uses where that is known."""
        ratio = self.structure.ratio
        scale = self.structure.load_scale
        asked = ((part.dedicated + extra) * ratio.numerator + part.shared * ratio.denominator) * scale
        if "balance" in self.structure.balance:
            _add(out, self.row(node, _LOAD), asked)
        if BALANCE_USAGE in self.structure.balance:
            used = asked * THOUSAND if group.busy is None else part.vcpus * group.busy * ratio.numerator * scale
            _add(out, self.row(node, _USED), used)

    def _memory(self, out: dict[int, int], needs: Needs, part: Part | LoosePart, nodes: NodeSet) -> None:
        unions = self.structure.memory_unions
        if needs.page_kib is None:
            self._on(out, "memory", nodes, part.memory_kib + part.overhead_kib, unions)
            return
        self._on(out, "memory", nodes, part.overhead_kib, unions)
        self._on(out, f"pages of {needs.page_kib} KiB", nodes, part.memory_kib // needs.page_kib, unions)

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

    def _resources(self, out: dict[int, int], needs: Needs, nodes: NodeSet) -> None:
        for name, amount in needs.resources:
            if name in self.structure.node_resources:
                share = -(-amount // len(nodes))
                for node in nodes:
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
            elif k in self.over:
                nodes, what = self.over[k]
                out[k] = min(PLENTY, sum(self._node_capacity(host, n, what, (), ratio) for n in nodes))
            elif node is None:
                kind, _, what = name.partition(" ")
                out[k] = host.devices.get(what, 0) if kind == "device" else host.resources.get(what, 0)
            else:
                out[k] = self._node_capacity(host, node, name, cpu_room[node], ratio)
        return out

    def _node_capacity(self, host: HostCapacity, node: int, name: str, cpu_room: Sequence[int], ratio: Fraction) -> int:
        here = host.nodes[node]
        for row, room in zip(self.structure.cpu_rows[node], cpu_room, strict=bool(cpu_room)):
            if row.name == name:
                return ratio.numerator * room if row.shared else room
        if name == "memory":
            return here.memory_kib if self.structure.told else PLENTY
        if name == SHARED:
            return ratio.numerator * len(here.shared_cpus)
        if name == BESIDE:
            return ratio.numerator * len(here.shared_cpus | here.dedicated_cpus)
        if name in (*LOADS, "cores"):
            return PLENTY
        kind, _, what = name.partition(" ")
        if kind == "pages":
            return here.pages.get(int(what.split()[1]), 0)
        return here.devices.get(what, 0) if kind == "device" else here.resources.get(what, 0)


def _add(out: dict[int, int], row: int, amount: int) -> None:
    if amount:
        out[row] = out.get(row, 0) + amount
