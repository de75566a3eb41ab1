"""The rows of hosts of one structure, what each placement takes of them, and how much a host has."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.model.balance import CPUS, HOSTS, MEMORY, NODES, USAGE
from placer.model.usage_levels import THOUSAND
from placer.planning.compile.capacity import HostCapacity, NodeCapacity
from placer.planning.compile.flavors import FlavorGroup
from placer.planning.compile.loose import Loose, LoosePart, NodeSet, families
from placer.planning.compile.needs import Needs, Part, joint_slots
from placer.planning.compile.placements import Placement, running_nodes
from placer.planning.compile.rows import MEASURING, PLENTY, Row, RowKind
from placer.planning.compile.structures import Structure, UnionRow
from solvers.problem import IntArray

ONE_L3 = "one-l3"
"""The scope of a rule whose members must share an L3 domain: on a node they take no more CPUs than its largest has. Its
rows are limits alone: what the rule is broken by now shows in the pins."""
ONE_L3_FLOATS = "one-l3-floats"
"""That of such a rule of which some member has shared vCPUs: where all that float do so in one domain and keep a CPU of
it, dedicated vCPUs of members may take one less beside a member that floats, a row of the number -1 - rule.
"""
A_CPU = 1 << 16
"""Units of such a row that a CPU has, a member that floats taking one of them: more than float on a node."""
FLOATS = 1 << 20
"""What vCPUs that float take of the largest domain: more than any has."""
_NOTHING = Part(dedicated=0, shared=0, ram_kib=0, memory_kib=0, overhead_kib=0)
PER_CPU = {CPUS: 1, USAGE: THOUSAND}
"""What a load is of -> the row's units a CPU (times the ratio's numerator)."""
Place = Placement | Loose


@dataclass(slots=True)
class RowTable:
    """The rows of one structure, and how much of each a placement takes and a host has."""

    structure: Structure
    rows: list[Row] = field(default_factory=list)
    index: dict[Row, int] = field(default_factory=dict)
    _inside: dict[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    _inside_of: int = 0
    _numbers: dict[tuple[RowKind, NodeSet, str | int], int] = field(default_factory=dict)
    _parts: dict[Hashable, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def row(self, kind: RowKind, nodes: NodeSet = (), what: str | int = "") -> int:
        """Return the index of a row, made if it is new."""
        number = self._numbers.get((kind, nodes, what))
        if number is None:
            row = Row(kind, nodes, what)
            number = self._numbers[kind, nodes, what] = self.index[row] = len(self.rows)
            self.rows.append(row)
        return number

    def inside(self) -> dict[int, tuple[tuple[int, ...], ...]]:
        """Return row over several nodes -> the largest families inside it (`Shape.inside`), smaller rows first."""
        if self._inside_of < len(self.rows):
            alike: dict[Hashable, list[tuple[int, NodeSet]]] = {}
            for k, row in enumerate(self.rows):
                if row.nodes:
                    alike.setdefault(_measured(row), []).append((k, row.nodes))
            wide = sorted((k for k, row in enumerate(self.rows) if len(row.nodes) > 1), key=self._width)
            self._inside = {}
            for k in wide:
                own = self._alike(self.rows[k], alike[_measured(self.rows[k])])
                self._inside[k] = families(own) if own else ()
            self._inside_of = len(self.rows)
        return self._inside

    def _width(self, row: int) -> int:
        return len(self.rows[row].nodes)

    def holding(self, room: IntArray, now: IntArray) -> IntArray:
        """Return (K,): the most that a host may come to hold of each row where it holds `now` and has `room`.

        What rows inside one are over is no matter of the row's room.
        """
        out = np.maximum(np.maximum(room, 0), now)
        over = out - room
        for row, families_inside in self.inside().items() if over.any() else ():
            more = max((int(over[list(family)].sum()) for family in families_inside), default=0)
            over[row] = max(int(over[row]), more)
            out[row] = room[row] + over[row]
        return out

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
            extra = 1 if needs.extra_cpu and slot == needs.lead(placement.option) else 0
            nodes = placement.cpu_nodes[slot], placement.memory_nodes[slot]
            if (joint := joint_slots(needs, placement.cpu_nodes, slot)) != (slot,):
                part = dataclasses.replace(part, dedicated=sum(parts[one].dedicated for one in joint))
            for row, amount in self._part_use(group, part, extra, *nodes):
                _add(out, row, amount)
        if self.structure.whole is not None:
            self._core_load(out, needs, placement)
        self._devices(out, needs, placement)
        running = running_nodes(needs, placement)
        self._resources(out, needs, running)
        for number in group.rules:
            scope = spread_rules.get(number)
            if scope == "host":
                _add(out, self.row(RowKind.RULE, (), number), 1)
            elif scope == "node":
                for node in set(running):
                    _add(out, self.row(RowKind.RULE, (node,), number), 1)
            elif scope == "l3":
                for node, domains in self._l3_touched(parts, placement).items():
                    _add(out, self.row(RowKind.RULE, (node,), number), domains)
            elif scope in (ONE_L3, ONE_L3_FLOATS):
                for part, node in zip((part for part in parts if part.vcpus), running, strict=True):
                    taken = self._cpus_taken(needs, part, node)
                    _add(out, self.row(RowKind.ONE_L3, (node,), number), FLOATS if part.shared else taken)
                    if scope == ONE_L3_FLOATS:
                        units = A_CPU * taken + bool(part.shared)
                        _add(out, self.row(RowKind.ONE_L3, (node,), -1 - number), units)
        return out

    def _part_use(
        self, group: FlavorGroup, part: Part, extra: int, node: int, memory: int
    ) -> tuple[tuple[int, int], ...]:
        """Return (row, units) that a part takes with its CPUs on one node and its memory on one; most sets of nodes
        ask again.
        """
        needs = group.needs
        key = (needs.thread_policy, needs.core_kind, group.busy, part, extra, node, memory)
        if key not in self._parts:
            out: dict[int, int] = {}
            self._cpu(out, needs, part, node, extra)
            self._load(out, group, part, node, extra)
            self._memory(out, needs, part, (memory,))
            self._parts[key] = tuple(out.items())
        return self._parts[key]

    def _loose_use(self, group: FlavorGroup, loose: Loose, spread_rules: Mapping[int, str]) -> dict[int, int]:
        """Return what a VM takes that is not bound to one node a cell: of the rows of its sets, and of all above."""
        needs, out = group.needs, dict[int, int]()
        ratio = self.structure.ratio
        for slot, part in enumerate(loose.parts):
            for at, (node, count) in enumerate(part.own):
                own = dataclasses.replace(_NOTHING, dedicated=count)
                self._cpu(out, needs, own, node, 1 if needs.extra_cpu and slot == 0 and at == 0 else 0)
            if part.shared and len(part.cpus) == 1:
                self._cpu(out, needs, dataclasses.replace(_NOTHING, shared=part.shared), part.cpus[0], 0)
            elif part.shared:
                for over in self.structure.union_rows:
                    if set(part.cpus) <= set(over.nodes):
                        _add(out, self.row(RowKind.CPUS, over.nodes, over.name), part.shared * ratio.denominator)
            self._loose_load(out, group, part)
            self._memory(out, needs, part, part.memory)
        for number, (kind, _, _) in enumerate(needs.device_units(0)):
            node_of = loose.device_nodes[number] if number < len(loose.device_nodes) else None
            _add(out, self.row(RowKind.DEVICE, () if node_of is None else (node_of,), kind), 1)
        nodes = loose.cpu_nodes
        self._resources(out, needs, nodes)
        for number in group.rules:
            scope = spread_rules.get(number)
            if scope == "host":
                _add(out, self.row(RowKind.RULE, (), number), 1)
            elif scope in ("node", "l3"):
                for node in nodes:
                    _add(
                        out,
                        self.row(RowKind.RULE, (node,), number),
                        self.structure.l3_domains[node] if scope == "l3" else 1,
                    )
            elif scope in (ONE_L3, ONE_L3_FLOATS):
                for node in nodes:
                    _add(out, self.row(RowKind.ONE_L3, (node,), number), FLOATS)
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
        floats = (part.shared + part.beyond) * ratio.denominator if whole else 0
        for node in part.cpus if whole else ():
            load[node] = load.get(node, 0) + floats * scale * usable[node] // whole
        in_all = floats + ratio.numerator * sum(count for _, count in part.own)
        for resource, each in ((CPUS, 1), (USAGE, THOUSAND if group.busy is None else group.busy)):
            self._add_load(out, resource, (), in_all * each)
            for node, asked in load.items():
                self._add_load(out, resource, (node,), asked * each)

    def _on(
        self,
        out: dict[int, int],
        kind: RowKind,
        what: str | int,
        nodes: NodeSet,
        amount: int,
        unions: tuple[NodeSet, ...],
    ) -> None:
        """Take of the row of a set of nodes, and of those of all unions that hold it."""
        if len(nodes) == 1:
            _add(out, self.row(kind, nodes, what), amount)
        for union in unions:
            if set(nodes) <= set(union):
                _add(out, self.row(kind, union, what), amount)

    def is_load(self, row: int) -> bool:
        """Tell whether a row measures a load that goals of balance look at."""
        return self.rows[row].kind is RowKind.LOAD

    def is_untold(self, row: Row) -> bool:
        """Tell whether the host does not tell how much it has of a row: pages of a size that no node pools."""
        return row.kind is RowKind.PAGES and row.what not in self.structure.page_sizes

    def _cpus_taken(self, needs: Needs, part: Part, node: int) -> int:
        """Return the CPUs that a part takes of its L3 domain at least: idle siblings too where all cores are alike."""
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
            if not part.vcpus:
                continue
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
                    _add(out, self.row(RowKind.CPUS, (node,), row.name), amount)
            elif part.dedicated or extra:
                _add(out, self.row(RowKind.CPUS, (node,), row.name), demand)
        for union in self.structure.union_rows:
            if node not in union.nodes:
                continue
            own, demand = union.of(node), 0
            if own is not None:
                demand = own.demand(needs.thread_policy, part.dedicated, needs.core_kind) + own.demand("extra", extra)
            if amount := ratio.numerator * demand + ratio.denominator * part.shared:
                _add(out, self.row(RowKind.CPUS, union.nodes, union.name), amount)

    def _load(self, out: dict[int, int], group: FlavorGroup, part: Part, node: int, extra: int) -> None:
        """Count the work a part brings to a node: what it asks for, and what it really uses where that is known."""
        ratio = self.structure.ratio
        asked = (part.dedicated + extra) * ratio.numerator + part.shared * ratio.denominator
        used = asked * THOUSAND if group.busy is None else part.vcpus * group.busy * ratio.numerator
        for resource, amount in ((CPUS, asked), (USAGE, used)):
            self._add_load(out, resource, (), amount)
            self._add_load(out, resource, (node,), amount * self.structure.load_scale)

    def _add_load(self, out: dict[int, int], resource: str, nodes: NodeSet, amount: int) -> None:
        """Count a load on the row of a node, or of the host where none is said, if a goal of balance looks at it."""
        if (resource, NODES if nodes else HOSTS) in self.structure.loads:
            _add(out, self.row(RowKind.LOAD, nodes, resource), amount)

    def _memory_load(self, out: dict[int, int], part: Part | LoosePart, nodes: NodeSet) -> None:
        """Count the memory of a part on its nodes: where it floats over several, in proportion to what VMs may take."""
        if self.structure.memory is None:
            return
        kib, unit = part.memory_kib + part.overhead_kib, self.structure.memory_unit
        if (MEMORY, HOSTS) in self.structure.loads:
            _add(out, self.row(RowKind.LOAD, (), MEMORY), kib // unit)
        if (MEMORY, NODES) in self.structure.loads:
            whole = sum(self.structure.memory[node] for node in nodes)
            for node in nodes:
                share = kib if len(nodes) == 1 else kib * self.structure.memory[node] // max(1, whole)
                _add(out, self.row(RowKind.LOAD, (node,), MEMORY), share // unit)

    def _memory(self, out: dict[int, int], needs: Needs, part: Part | LoosePart, nodes: NodeSet) -> None:
        self._memory_load(out, part, nodes)
        unions = self.structure.memory_unions
        if part.page_kib is None or not self.structure.pages_told:
            self._on(out, RowKind.MEMORY, "", nodes, part.memory_kib + part.overhead_kib, unions)
            return
        self._on(out, RowKind.MEMORY, "", nodes, part.overhead_kib, unions)
        self._on(out, RowKind.PAGES, part.page_kib, nodes, part.memory_kib // part.page_kib, unions)

    def _core_load(self, out: dict[int, int], needs: Needs, placement: Placement) -> None:
        """Count the fewest cores the VM touches on each node: a lower bound of what pinning can reach."""
        vcpus: dict[int, int] = {}
        for slot, part in enumerate(needs.options[placement.option]):
            extra = (
                1 if needs.extra_cpu and slot == needs.lead(placement.option) and needs.thread_policy == "prefer" else 0
            )
            vcpus[placement.cpu_nodes[slot]] = vcpus.get(placement.cpu_nodes[slot], 0) + part.dedicated + extra
        for node, count in vcpus.items():
            width = self.structure.widths[node]
            _add(
                out, self.row(RowKind.CORES, (node,)), count if needs.thread_policy == "isolate" else -(-count // width)
            )

    def _devices(self, out: dict[int, int], needs: Needs, placement: Placement) -> None:
        for (kind, _, _), node in zip(needs.device_units(placement.option), placement.device_nodes, strict=True):
            _add(out, self.row(RowKind.DEVICE, () if node is None else (node,), kind), 1)

    def _resources(self, out: dict[int, int], needs: Needs, nodes: NodeSet) -> None:
        for name, amount in needs.resources:
            if name in self.structure.node_resources:
                share = -(-amount // len(nodes))
                for node in nodes:
                    _add(out, self.row(RowKind.RESOURCE, (node,), name), share)
            else:
                _add(out, self.row(RowKind.RESOURCE, (), name), amount)

    def capacity(self, host: HostCapacity, cpu_room: Sequence[Sequence[int]], rule_room: Mapping[Row, int]) -> IntArray:
        """Return (K,): how much of each row a host of this structure has, before anything is placed."""
        out = np.zeros(len(self.rows), dtype=np.int64)
        for k, row in enumerate(self.rows):
            if row in rule_room:
                out[k] = rule_room[row]
            elif len(row.nodes) == 1:
                out[k] = self._node_capacity(host, row, row.nodes[0], cpu_room[row.nodes[0]])
            elif row.kind in MEASURING:
                out[k] = PLENTY
            elif row.kind is RowKind.CPUS:
                out[k] = self._cpus_of_union(host, self._union_row(row), cpu_room)
            elif row.nodes:
                out[k] = min(PLENTY, sum(self._node_capacity(host, row, node, ()) for node in row.nodes))
            else:
                has = host.devices if row.kind is RowKind.DEVICE else host.resources
                out[k] = has.get(str(row.what), 0)
        return out

    def _node_capacity(self, host: HostCapacity, row: Row, node: int, cpu_room: Sequence[int]) -> int:
        """Return what one node of a row has; `cpu_room`, of its CPU rows, only where it is the row's only node."""
        here = host.nodes[node]
        match row.kind:
            case RowKind.CPUS:
                return self._cpus_of(here, str(row.what), node, cpu_room)
            case RowKind.MEMORY:
                return here.memory_kib if self.structure.told else PLENTY
            case RowKind.PAGES:
                return here.pages.get(row.number, 0)
            case RowKind.DEVICE:
                return here.devices.get(str(row.what), 0)
            case kind:
                return PLENTY if kind in MEASURING else here.resources.get(str(row.what), 0)

    def _cpus_of(self, here: NodeCapacity, name: str, node: int, cpu_room: Sequence[int]) -> int:
        ratio = self.structure.ratio
        for one, room in zip(self.structure.cpu_rows[node], cpu_room, strict=True):
            if one.name == name:
                return ratio.numerator * room if one.shared else room
        return ratio.numerator * len(here.shared_cpus)

    def _cpus_of_union(self, host: HostCapacity, union: UnionRow, cpu_room: Sequence[Sequence[int]]) -> int:
        on = ((node, union.name_on(node)) for node in union.nodes)
        return sum(self._cpus_of(host.nodes[node], name, node, cpu_room[node]) for node, name in on)

    def _union_row(self, row: Row) -> UnionRow:
        return next(one for one in self.structure.union_rows if (one.nodes, one.name) == (row.nodes, row.what))

    def _alike(self, row: Row, others: Sequence[tuple[int, NodeSet]]) -> list[tuple[int, NodeSet]]:
        """Return those of other rows, (number, nodes), that are over less of the same, in the same units."""
        less = [(k, nodes) for k, nodes in others if set(nodes) < set(row.nodes)]
        if row.kind is not RowKind.CPUS:
            return less
        union, out = self._union_row(row), []
        for k, nodes in less:
            other = self.rows[k]
            inner = None if other.node is not None else self._union_row(other)
            names = (str(other.what) if inner is None else inner.name_on(node) for node in nodes)
            if all(name == union.name_on(node) for node, name in zip(nodes, names, strict=True)):
                out.append((k, nodes))
        return out


def _measured(row: Row) -> Hashable:
    """Return what a row is of: rows of CPUs over several nodes add up rows of different names."""
    return row.kind if row.kind is RowKind.CPUS else (row.kind, row.what)


def _add(out: dict[int, int], row: int, amount: int) -> None:
    if amount:
        out[row] = out.get(row, 0) + amount
