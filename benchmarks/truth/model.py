"""The reference: one CP-SAT model of a fleet, a Boolean a (VM, place) and a (VM, cell, CPU), as docs/reference says it.

Nothing is counted together and no symmetry is broken, so it is for small fleets alone; what it has instead is one
reading of the documents in some hundred lines that share nothing with the engines.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ortools.sat.python import cp_model

from benchmarks.truth.places import Place, device_use, is_at, memory_use, places, resource_use
from benchmarks.truth.reading import Cell, Host, Inventory, Vm, equal_cells

Expr = Any
"""A linear expression of CP-SAT, or an int."""
MOST_SLOTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """What a headroom goal counts: a VM of equal cells with dedicated vCPUs; no memory: CPU slots alone."""

    vcpus: int
    memory_kib: int
    cells: int


@dataclass(slots=True)
class ReferenceModel:
    """All that a plan of the inventory has to keep, as constraints of `model`.

    `choice[vm]` are the places of a VM, each with its variable; `own[vm, host, cell]` maps a CPU to the variable that
    says whether a dedicated vCPU of the cell has it; `emulator[vm, host]` the same for an emulator CPU; `slots` the
    CPUs of headroom's VMs.
    """

    inventory: Inventory
    max_moves: int | None = None
    max_migrations: int | None = None
    flavor: Flavor | None = None
    model: cp_model.CpModel = field(default_factory=cp_model.CpModel)
    choice: dict[str, list[tuple[Place, cp_model.IntVar]]] = field(default_factory=dict)
    own: dict[tuple[str, str, int], dict[int, cp_model.IntVar]] = field(default_factory=dict)
    emulator: dict[tuple[str, str], dict[int, cp_model.IntVar]] = field(default_factory=dict)
    slots: dict[tuple[str, int], cp_model.IntVar] = field(default_factory=dict)
    slot_choice: list[tuple[Place, cp_model.IntVar]] = field(default_factory=list)
    taken: dict[tuple[str, int], cp_model.IntVar] = field(default_factory=dict)
    _holders: dict[tuple[str, int], list[Expr]] = field(default_factory=lambda: defaultdict(list))
    _takers: dict[tuple[str, int], list[Expr]] = field(default_factory=lambda: defaultdict(list))
    _rows: dict[tuple[str, object, object], list[Expr]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        """Build it."""
        if self.flavor is not None:
            self._headroom(self.flavor)
        for vm in self.inventory.vms:
            self._place(vm)
        for vm in self.inventory.vms:
            self._cpus(vm)
        for vm in self.inventory.vms:
            self._thread_policy(vm)
        for holders in self._holders.values():
            self.model.add(sum(holders) <= 1)
        for host in self.inventory.hosts:
            self._capacity(host)
            self._shared(host)
        self._limits()

    def boolean(self, name: str) -> cp_model.IntVar:
        """Return a new Boolean."""
        return self.model.new_bool_var(name)

    def any_of(self, terms: Iterable[Expr], name: str) -> Expr:
        """Return a variable that is 1 exactly where one of the terms is; 0 where there are none."""
        terms = list(terms)
        if not terms:
            return 0
        found = self.boolean(name)
        self.model.add_max_equality(found, terms)
        return found

    # Places

    def _place(self, vm: Vm) -> None:
        found: list[tuple[Place, cp_model.IntVar]] = []
        for host in self.inventory.hosts:
            if self._may_be(vm, host):
                for place in places(vm, host, self.inventory.present(vm)):
                    if self._stays_put(vm) and not is_at(vm, place):
                        continue
                    found.append((place, self.boolean(f"{vm.name} place {len(found)}")))
        self.choice[vm.name] = found
        chosen = sum(var for _, var in found)
        self.model.add(chosen == 1 if self.inventory.present(vm) else chosen <= 1)
        for place, var in found:
            for (node, size), amount in memory_use(vm, place).items():
                self._rows[place.host.name, node, size].append(amount * var)
            for (at, name), amount in resource_use(vm, place).items():
                self._rows[place.host.name, at, f"resource {name}"].append(amount * var)
            for (kind, at), amount in device_use(vm, place).items():
                self._rows[place.host.name, at, f"device {kind}"].append(amount * var)

    def _stays_put(self, vm: Vm) -> bool:
        return self.inventory.present(vm) and (vm.movable == "false" or vm.pins_fixed)

    def _may_be(self, vm: Vm, host: Host) -> bool:
        """Tell whether a VM may be on a host: where it is it may stay, elsewhere nothing may forbid it."""
        if host.failed:
            return False
        here = self.inventory.present(vm)
        if here and vm.host == host.name:
            return True
        if here and (self._stays_put(vm) or (vm.movable == "live" and vm.running and self._crosses(vm, host))):
            return False
        smt = any(len(core) > 1 for core in host.core_of.values())
        if vm.thread_policy == "require" and vm.dedicated and not smt:
            return False
        return not forbidden(self.inventory, vm, host)

    def _crosses(self, vm: Vm, host: Host) -> bool:
        return vm.host is not None and self.inventory.host(vm.host).domain != host.domain

    # CPUs

    def _cpus(self, vm: Vm) -> None:
        """Give each dedicated vCPU a CPU of its cell's node, and isolated emulator threads one on cell 0's node."""
        fixed = vm.pins if vm.pins_fixed and self.inventory.present(vm) else None
        needs: dict[tuple[str, int, int], list[Expr]] = defaultdict(list)
        homes: dict[tuple[str, int], list[Expr]] = defaultdict(list)
        for place, var in self.choice[vm.name]:
            for number, (cell, node) in enumerate(zip(place.cells, place.cpu_nodes, strict=True)):
                dedicated = len(vm.dedicated.intersection(cell.vcpus))
                if dedicated:
                    needs[place.host.name, number, node].append(dedicated * var)
            homes[place.host.name, place.cpu_nodes[0]].append(var)
        for (name, number, node), terms in needs.items():
            host = self.inventory.host(name)
            at = self.own.setdefault((vm.name, name, number), {})
            if fixed is None:
                cpus = node_cpus(host, node) & host.dedicated
            else:
                cell = self.choice[vm.name][0][0].cells[number]
                cpus = frozenset[int]().union(*(fixed[vcpu] for vcpu in vm.dedicated.intersection(cell.vcpus)))
            self._one_each(at, name, cpus, f"{vm.name} cell {number}", sum(terms))
        if vm.own_emulator:
            for (name, node), terms in homes.items():
                host = self.inventory.host(name)
                at = self.emulator.setdefault((vm.name, name), {})
                cpus = node_cpus(host, node) & host.dedicated if fixed is None else vm.emulator or frozenset()
                self._one_each(at, name, cpus, f"{vm.name} emulator", sum(terms))

    def _one_each(
        self, at: dict[int, cp_model.IntVar], host: str, cpus: Iterable[int], name: str, number: Expr
    ) -> None:
        made = []
        for cpu in sorted(cpus):
            var = self.boolean(f"{name} on {host} CPU {cpu}")
            at[cpu] = var
            made.append(var)
            self._holders[host, cpu].append(var)
            self._takers[host, cpu].append(var)
        self.model.add(sum(made) == number)

    def _thread_policy(self, vm: Vm) -> None:
        for (name, host_name, _), at in self.own.items():
            if name != vm.name or vm.thread_policy == "prefer":
                continue
            host = self.inventory.host(host_name)
            if vm.thread_policy == "isolate":
                self._isolate(vm, host, at)
            else:
                self._require(vm, host, at)

    def _isolate(self, vm: Vm, host: Host, at: Mapping[int, cp_model.IntVar]) -> None:
        """Keep the siblings of every dedicated vCPU idle: nobody has them, no shared vCPU floats over them."""
        for cpu, var in at.items():
            for mate in host.core_of[cpu] - {cpu}:
                if mate not in host.usable and not vm.pins_fixed:
                    self.model.add(var == 0)
                for other in self._holders.get((host.name, mate), ()):
                    self.model.add(var + other <= 1)
                self._takers[host.name, mate].append(var)

    def _require(self, vm: Vm, host: Host, at: Mapping[int, cp_model.IntVar]) -> None:
        """Give a cell whole cores, one of which it may leave partly empty; nobody else has CPUs of them."""
        partly = []
        for core in {host.core_of[cpu] for cpu in at}:
            mine = [at[cpu] for cpu in sorted(core) if cpu in at]
            inside = self.any_of(mine, f"{vm.name} core")
            if not core <= host.usable and not vm.pins_fixed:
                self.model.add(inside == 0)
            part = self.boolean(f"{vm.name} part of a core")
            self.model.add(sum(mine) >= len(core) * (inside - part))
            partly.append(part)
            ids = {var.index for var in mine}
            for cpu in core:
                for other in self._holders.get((host.name, cpu), ()):
                    if other.index not in ids:
                        self.model.add(inside + other <= 1)
                self._takers[host.name, cpu].append(inside)
        self.model.add(sum(partly) <= 1)

    # Capacity

    def _capacity(self, host: Host) -> None:
        room: dict[tuple[object, object], int] = {}
        for node in host.nodes:
            ordinary = node.memory_kib if node.kind != "device" else 0
            room[node.id, None] = ordinary
            room.update({(node.id, size): pages for size, pages in node.pools.items()})
            room.update({(node.id, f"resource {name}"): amount for name, amount in node.resources.items()})
        room.update({(None, f"resource {name}"): amount for name, amount in host.resources.items()})
        room.update({(at, f"device {kind}"): count for (kind, at), count in host.devices.items()})
        for (name, where, what), terms in self._rows.items():
            if name == host.name:
                self.model.add(sum(terms) <= room.get((where, what), 0))

    def _shared(self, host: Host) -> None:
        """Let shared vCPUs float over the CPUs of their node that nobody takes, `ratio` of them a CPU."""
        floating: dict[int, list[Expr]] = defaultdict(list)
        for vm in self.inventory.vms:
            for place, var in self.choice[vm.name]:
                if place.host.name == host.name:
                    for node, count in shared_on(vm, place.cells, place.cpu_nodes).items():
                        floating[node].append(count * var)
        for node, terms in floating.items():
            pool = sorted(node_cpus(host, node) & host.shared)
            for cpu in pool:
                self.taken[host.name, cpu] = self.any_of(self._takers[host.name, cpu], f"{host.name} {cpu} taken") + 0
            free = sum(1 - self.taken[host.name, cpu] for cpu in pool)
            self.model.add(host.ratio.denominator * sum(terms) <= host.ratio.numerator * free)

    # Moves

    def moved(self, vm: Vm) -> tuple[Expr, Expr]:
        """Return whether a VM changes host, and whether it changes node on its host, as sums of its places."""
        if not self.inventory.present(vm):
            return 0, 0
        away = [var for place, var in self.choice[vm.name] if place.host.name != vm.host]
        near = [var for place, var in self.choice[vm.name] if place.host.name == vm.host and not is_at(vm, place)]
        return sum(away), sum(near)

    def _limits(self) -> None:
        """Keep the limits on moves; without any, VMs that are somewhere stay on their nodes."""
        most, migrations = self.max_moves, self.max_migrations
        if most is None and migrations is None:
            most = migrations = 0
        pairs = [self.moved(vm) for vm in self.inventory.vms]
        if migrations is not None:
            self.model.add(sum(away for away, _ in pairs) <= migrations)
        if most is not None:
            self.model.add(sum(away + near for away, near in pairs) <= most)

    # Headroom

    def _headroom(self, flavor: Flavor) -> None:
        """Count VMs to come: CPUs of their own, memory and overhead, cells on nodes that reach each other."""
        vm = flavor_vm(flavor)
        for host in self.inventory.hosts:
            if host.failed or forbidden(self.inventory, vm, host):
                continue
            cells: dict[int, list[Expr]] = defaultdict(list)
            for place in _slot_places(vm, host):
                count = self.model.new_int_var(0, MOST_SLOTS, f"slots {len(self.slot_choice)}")
                self.slot_choice.append((place, count))
                for node in place.cpu_nodes:
                    cells[node].append(flavor.vcpus // flavor.cells * count)
                if flavor.memory_kib:
                    for (node, size), amount in memory_use(vm, place).items():
                        self._rows[host.name, node, size].append(amount * count)
            for node, terms in cells.items():
                at: dict[int, cp_model.IntVar] = {}
                self._one_each(at, host.name, node_cpus(host, node) & host.dedicated, "slot", sum(terms))
                self.slots.update({(host.name, cpu): var for cpu, var in at.items()})


def _slot_places(vm: Vm, host: Host) -> Iterable[Place]:
    """Yield the places of a headroom VM; one without memory may have its cells on any nodes with CPUs, each choice of
    nodes once.
    """
    seen: set[frozenset[tuple[int, int]]] = set()
    if vm.memory_kib:
        for place in places(vm, host, False):
            key = frozenset(zip(place.cpu_nodes, place.memory_nodes, strict=True))
            if key not in seen:
                seen.add(key)
                yield place
        return
    nodes = [node.id for node in host.nodes if node.cpus & host.usable]
    if host.kvm:
        for chosen in itertools.combinations(nodes, len(vm.cells)):
            yield Place(host=host, cells=vm.cells, cpu_nodes=chosen, memory_nodes=chosen, device_nodes=())


def flavor_vm(flavor: Flavor) -> Vm:
    """Return the VM that a flavor of the goal headroom stands for."""
    return Vm(
        name="",
        vcpus=flavor.vcpus,
        memory_kib=flavor.memory_kib,
        auto=False,
        flat=False,
        cells=equal_cells(flavor.vcpus, flavor.memory_kib, flavor.cells),
        interleave=1,
        share_node=False,
        locality=None,
        page_kib=None,
        dedicated=frozenset(range(flavor.vcpus)),
        thread_policy="prefer",
        own_emulator=False,
        overhead_kib=128 * 1024 + -(-flavor.memory_kib // 512) + 8 * 1024 * flavor.vcpus,
        any_tier=False,
        weight=Fraction(1),
        priority=0,
        devices=(),
        resources={},
        labels={},
        kvm=True,
        reshape=False,
        host=None,
        nodes=None,
        memory_nodes=None,
        pins={},
        pins_fixed=False,
        emulator=None,
        movable="live",
        running=True,
        usage=None,
    )


def forbidden(inventory: Inventory, vm: Vm, host: Host) -> bool:
    """Tell whether something keeps a VM from newly coming to a host: no SMT for ``require``, or a rule.

    Drains keep every VM away.
    """
    if vm.thread_policy == "require" and all(len(core) == 1 for core in host.core_of.values()):
        return True
    for rule in inventory.rules:
        if rule.kind == "drain" and host.name in rule.hosts:
            return True
        confines = vm.name in rule.members and rule.kind in ("within", "outside")
        if confines and (host.name in rule.hosts) is (rule.kind == "outside"):
            return True
    return False


def node_cpus(host: Host, node: int) -> frozenset[int]:
    """Return the CPUs of a node."""
    return next(one.cpus for one in host.nodes if one.id == node)


def shared_on(vm: Vm, cells: Sequence[Cell], cpu_nodes: Sequence[int]) -> dict[int, int]:
    """Return node -> shared vCPUs of a placed VM there."""
    found: dict[int, int] = {}
    for cell, node in zip(cells, cpu_nodes, strict=True):
        count = len(cell.vcpus) - len(vm.dedicated.intersection(cell.vcpus))
        if count:
            found[node] = found.get(node, 0) + count
    return found
