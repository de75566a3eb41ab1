"""The reference: one CP-SAT model of a fleet, a Boolean a (VM, place) and a (VM, cell, CPU), as docs/reference says it.

Nothing is counted together and no symmetry is broken, so it is for small fleets alone; what it has instead is one
reading of the documents in some hundred lines that share nothing with the engines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ortools.sat.python import cp_model

from benchmarks.truth.floats import Nodes, floats_now
from benchmarks.truth.places import Place, is_at, place_as_is, places
from benchmarks.truth.reads.reading import Cell, Host, Inventory, Vm

Expr = Any
"""A linear expression of CP-SAT, or an int."""


class NotCoveredError(Exception):
    """What the reference does not know: it says so and gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What a place takes: `units` of a set of nodes where `var` is 1; `vm` None for headroom's."""

    nodes: Nodes
    vm: Vm | None
    units: int
    var: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A cell on a node that has too few CPUs for who is there now: where `var` is 1 its CPUs stay as they are."""

    vm: Vm
    host: str
    cell: int
    node: int
    vcpus: int
    pins: frozenset[int]
    var: Expr

    @property
    def known(self) -> bool:
        """Tell whether its CPUs are known."""
        return bool(self.vm.pins)


def _keeps_cell(vm: Vm, place: Place, number: int, node: int) -> bool:
    """Tell whether a place leaves the vCPUs of a cell on the node that they are on now."""
    now = vm.nodes or ()
    same = place.host.name == vm.host and len(now) == len(place.cpu_nodes)
    return same and now[number] == place.cpu_nodes[number] == node


@dataclass(slots=True)
class ReferenceModel:
    """All that a plan of the inventory has to keep, as constraints of `model`; `benchmarks.truth.build` makes one.

    `choice[vm]` are the places of a VM, each with its variable; `own[vm, host, cell]` maps a CPU to the variable that
    says whether a dedicated vCPU of the cell has it; `emulator[vm, host]` the same for an emulator CPU; `slots` the
    CPUs of headroom's VMs. `holders` has all of those by (host, CPU), `takers` also what keeps a CPU idle, `idle` that
    alone with the VM whose policy it is. `taken` says whether a CPU of the shared pool is gone. `crowded` are (host,
    node) whose dedicated vCPUs have too few CPUs now, or not one each, `left` their cells. `excess`: the goal's parts,
    `over` whether any host is over now. `binds`: VMs that float and "shall" or "may" be bound.
    """

    inventory: Inventory
    max_moves: int | None = None
    max_migrations: int | None = None
    max_repins: int | None = None
    binds: Mapping[str, str] = field(default_factory=dict)
    model: cp_model.CpModel = field(default_factory=cp_model.CpModel)
    choice: dict[str, list[tuple[Place, cp_model.IntVar]]] = field(default_factory=dict)
    own: dict[tuple[str, str, int], dict[int, cp_model.IntVar]] = field(default_factory=dict)
    emulator: dict[tuple[str, str], dict[int, cp_model.IntVar]] = field(default_factory=dict)
    slots: dict[tuple[str, int], cp_model.IntVar] = field(default_factory=dict)
    slot_choice: list[tuple[Place, cp_model.IntVar]] = field(default_factory=list)
    taken: dict[tuple[str, int], cp_model.IntVar] = field(default_factory=dict)
    holders: dict[tuple[str, int], list[Expr]] = field(default_factory=lambda: defaultdict(list))
    takers: dict[tuple[str, int], list[Expr]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[tuple[str, int], list[tuple[Vm, Expr]]] = field(default_factory=lambda: defaultdict(list))
    crowded: frozenset[tuple[str, int]] = frozenset()
    left: list[Left] = field(default_factory=list)
    memory: dict[tuple[str, int | None], list[Take]] = field(default_factory=lambda: defaultdict(list))
    excess: dict[str, list[Expr]] = field(default_factory=lambda: defaultdict(list))
    over: bool = False

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

    def place(self, vm: Vm) -> None:
        """Give a VM a variable for each place that it may have, one of which is chosen where it is present."""
        found: list[tuple[Place, cp_model.IntVar]] = []
        for host in self.inventory.hosts:
            if self._may_be(vm, host):
                here = self.inventory.present(vm) and vm.host == host.name
                every = list(places(vm, host, self.inventory.present(vm), self.binds.get(vm.name)))
                if here and not any(is_at(vm, place) for place in every):
                    every += place_as_is(vm, host)
                if not here and floats_now(vm) and any(len(vm.pins.get(vcpu, ())) == 1 for vcpu in vm.dedicated):
                    raise NotCoveredError("VMs that float and take CPUs of their own to another host")
                if vm.devices and (any(place.parts for place in every) or (here and not every)):
                    raise NotCoveredError("devices of VMs that float, and of VMs that have more than their host")
                for place in every:
                    if self._stays_put(vm) and not is_at(vm, place):
                        continue
                    found.append((place, self.boolean(f"{vm.name} place {len(found)}")))
        self.choice[vm.name] = found
        chosen = sum(var for _, var in found)
        self.model.add(chosen == 1 if self.inventory.present(vm) else chosen <= 1)

    def _stays_put(self, vm: Vm) -> bool:
        if not self.inventory.present(vm):
            return False
        if vm.movable == "drain" and not any(
            rule.kind == "drain" and rule.weight is None and vm.host in rule.hosts for rule in self.inventory.rules
        ):
            return True
        return vm.movable == "false" or vm.pins_fixed

    def _may_be(self, vm: Vm, host: Host) -> bool:
        """Tell whether a VM may be on a host: where it is it may stay, elsewhere nothing may forbid it."""
        if host.failed:
            return False
        here = self.inventory.present(vm)
        if here and vm.host == host.name:
            return True
        live = vm.movable in ("live", "drain") and vm.running
        if here and (self._stays_put(vm) or (live and self._crosses(vm, host))):
            return False
        if vm.vcpus > len(host.usable):
            return False
        smt = any(len(core) > 1 for core in host.core_of.values())
        if vm.thread_policy == "require" and vm.dedicated and not smt:
            return False
        return not forbidden(self.inventory, vm, host)

    def _crosses(self, vm: Vm, host: Host) -> bool:
        """Tell whether a live move would leave the migration domain, or go back a generation."""
        if vm.host is None:
            return False
        own = self.inventory.host(vm.host)
        return own.domain != host.domain or host.gen < own.gen

    # CPUs

    def cpus(self, vm: Vm) -> None:
        """Give each dedicated vCPU a CPU of its cell's node, and isolated emulator threads one on cell 0's node."""
        fixed = vm.pins if vm.pins_fixed and self.inventory.present(vm) else None
        needs: dict[tuple[str, int, int], list[Expr]] = defaultdict(list)
        homes: dict[tuple[str, int], list[Expr]] = defaultdict(list)
        for place, var in self.choice[vm.name]:
            for part in place.parts:
                for cpu in part.own:
                    self.holders[place.host.name, cpu].append(var)
                    self.takers[place.host.name, cpu].append(var)
            if place.parts:
                continue
            for number, (cell, node) in enumerate(zip(place.cells, place.cpu_nodes, strict=True)):
                dedicated = len(vm.dedicated.intersection(cell.vcpus))
                if dedicated:
                    needs[place.host.name, number, node].append(dedicated * var)
            lead = next(number for number, cell in enumerate(place.cells) if cell.vcpus)
            homes[place.host.name, place.cpu_nodes[lead]].append(var)
        for (name, number, node), terms in needs.items():
            host = self.inventory.host(name)
            at = self.own.setdefault((vm.name, name, number), {})
            if fixed is None:
                cpus = self._allowed(vm, host, node)
                if self._stays_crowded(vm, host, node):
                    terms = [*terms, self._left_as_is(vm, host, number, node)]
            else:
                cell = self.choice[vm.name][0][0].cells[number]
                cpus = frozenset[int]().union(*(fixed[vcpu] for vcpu in vm.dedicated.intersection(cell.vcpus)))
            self.one_each(at, name, cpus, f"{vm.name} cell {number}", sum(terms))
        if vm.own_emulator:
            for (name, node), terms in homes.items():
                host = self.inventory.host(name)
                at = self.emulator.setdefault((vm.name, name), {})
                cpus = node_cpus(host, node) & host.dedicated if fixed is None else vm.emulator or frozenset()
                if fixed is None and self._stays_crowded(vm, host, node):
                    cpus = self._allowed(vm, host, node)
                self.one_each(at, name, cpus, f"{vm.name} emulator", sum(terms))

    def _stays_crowded(self, vm: Vm, host: Host, node: int) -> bool:
        """Tell whether a VM is on this node now, and the node has too few CPUs for who is there."""
        here = self.inventory.present(vm) and vm.host == host.name and node in (vm.nodes or ())
        return here and (host.name, node) in self.crowded

    def _allowed(self, vm: Vm, host: Host, node: int) -> frozenset[int]:
        """Return the CPUs that dedicated vCPUs may have: of the pool, and where CPUs are too few those they have."""
        found = node_cpus(host, node) & host.dedicated
        if vm.core_kind != "any":
            found = found & host.efficiency if vm.core_kind == "efficiency" else found - host.efficiency
        if self._stays_crowded(vm, host, node):
            if vm.thread_policy != "prefer" or vm.own_emulator or vm.pins_fixed or vm.reshape:
                raise NotCoveredError("VMs of more than a CPU a vCPU, or of other cells, where CPUs are too few")
            found |= node_cpus(host, node) & frozenset[int]().union(*vm.pins.values())
        return found

    def _left_as_is(self, vm: Vm, host: Host, number: int, node: int) -> Expr:
        """Return what a cell on a node of too few CPUs needs less: nothing where its CPUs are known, for it keeps all
        or gets others of its own; where they are not known it may stay without any. Other cells may move meanwhile.
        """
        as_is = self.boolean(f"{vm.name} cell {number} is left as it is")
        cells = next(place.cells for place, _ in self.choice[vm.name] if is_at(vm, place))
        own = vm.dedicated.intersection(cells[number].vcpus)
        pins = frozenset[int]().union(*(vm.pins.get(vcpu, ()) for vcpu in own))
        self.left.append(Left(vm=vm, host=host.name, cell=number, node=node, vcpus=len(own), pins=pins, var=as_is))
        here = (var for place, var in self.choice[vm.name] if _keeps_cell(vm, place, number, node))
        self.model.add(as_is <= sum(here))
        return 0 if own <= vm.pins.keys() else -len(own) * as_is

    def one_each(self, at: dict[int, cp_model.IntVar], host: str, cpus: Iterable[int], name: str, number: Expr) -> None:
        made = []
        for cpu in sorted(cpus):
            var = self.boolean(f"{name} on {host} CPU {cpu}")
            at[cpu] = var
            made.append(var)
            self.holders[host, cpu].append(var)
            self.takers[host, cpu].append(var)
        self.model.add(sum(made) == number)

    def thread_policy(self, vm: Vm) -> None:
        whole: dict[tuple[str, int], dict[int, list[cp_model.IntVar]]] = {}
        for (name, host_name, number), at in self.own.items():
            if name != vm.name or vm.thread_policy == "prefer":
                continue
            host = self.inventory.host(host_name)
            if vm.thread_policy == "isolate":
                self._isolate(vm, host, at)
                continue
            for cpu, var in at.items():
                # A flat guest is one cell: its parts fill the cores of a node together.
                unit = (host_name, -1 - host.node_of[cpu] if vm.flat else number)
                whole.setdefault(unit, {}).setdefault(cpu, []).append(var)
        for (host_name, _), own in whole.items():
            self._require(vm, self.inventory.host(host_name), own)

    def _isolate(self, vm: Vm, host: Host, at: Mapping[int, cp_model.IntVar]) -> None:
        """Keep the siblings of every dedicated vCPU idle: nobody has them, no shared vCPU floats over them."""
        for cpu, var in at.items():
            for mate in host.core_of[cpu] - {cpu}:
                if mate not in host.usable and not vm.pins_fixed:
                    self.model.add(var == 0)
                for other in self.holders.get((host.name, mate), ()):
                    self.model.add(var + other <= 1)
                self.takers[host.name, mate].append(var)
                self.idle[host.name, mate].append((vm, var))

    def _require(self, vm: Vm, host: Host, at: Mapping[int, Sequence[cp_model.IntVar]]) -> None:
        """Give a cell whole cores, one of which it may leave partly empty; nobody else has CPUs of them."""
        partly = []
        for core in {host.core_of[cpu] for cpu in at}:
            mine = [var for cpu in sorted(core) for var in at.get(cpu, ())]
            inside = self.any_of(mine, f"{vm.name} core")
            if not core <= host.usable and not vm.pins_fixed:
                self.model.add(inside == 0)
            part = self.boolean(f"{vm.name} part of a core")
            self.model.add(sum(mine) >= len(core) * (inside - part))
            partly.append(part)
            ids = {var.index for var in mine}
            for cpu in core:
                for other in self.holders.get((host.name, cpu), ()):
                    if other.index not in ids:
                        self.model.add(inside + other <= 1)
                self.takers[host.name, cpu].append(inside)
                self.idle[host.name, cpu].append((vm, inside - sum(at.get(cpu, ()))))
        self.model.add(sum(partly) <= 1)

    # Moves

    def moved(self, vm: Vm) -> tuple[Expr, Expr]:
        """Return whether a VM changes host, and whether it changes node on its host, as sums of its places."""
        if not self.inventory.present(vm):
            return 0, 0
        away = [var for place, var in self.choice[vm.name] if place.host.name != vm.host]
        near = [var for place, var in self.choice[vm.name] if place.host.name == vm.host and not is_at(vm, place)]
        return sum(away), sum(near)

    def limits(self) -> None:
        """Keep the limits on moves; without any, VMs stay on their nodes, but for those on hosts to be emptied."""
        most, migrations = self.max_moves, self.max_migrations
        pairs = [self.moved(vm) for vm in self.inventory.vms]
        if most is None and migrations is None:
            drains = [rule for rule in self.inventory.rules if rule.kind == "drain" and rule.weight is None]
            drained = {host for rule in drains for host in rule.hosts}
            for vm, (away, near) in zip(self.inventory.vms, pairs, strict=True):
                if vm.host not in drained:
                    self.model.add(away + near == 0)
        if migrations is not None:
            self.model.add(sum(away for away, _ in pairs) <= migrations)
        if most is not None:
            self.model.add(sum(away + near for away, near in pairs) <= most)
        if self.max_repins is not None:
            self.model.add(sum(self.repinned(vm) for vm in self.inventory.vms) <= self.max_repins)

    def repinned(self, vm: Vm) -> Expr:
        """Return whether a VM that stays on its nodes gets dedicated CPUs that it has not now, or another one for its
        isolated emulator threads, or is bound to nodes.
        """
        if not self.inventory.present(vm):
            return 0
        if floats_now(vm):
            return sum(var for place, var in self.choice[vm.name] if is_at(vm, place) and not place.parts)
        if not vm.dedicated <= vm.pins.keys():
            return 0
        stays = [(place, var) for place, var in self.choice[vm.name] if is_at(vm, place)]
        missing = []
        for number, cell in enumerate(stays[0][0].cells if stays else ()):
            at = self.own.get((vm.name, str(vm.host), number), {})
            missing += [
                1 - at[cpu] if cpu in at else 1
                for vcpu in vm.dedicated.intersection(cell.vcpus)
                for cpu in vm.pins[vcpu]
            ]
        if vm.own_emulator and len(vm.emulator or ()) == 1:
            at = self.emulator.get((vm.name, str(vm.host)), {})
            missing += [1 - at[cpu] if cpu in at else 1 for cpu in vm.emulator or ()]
        if not missing:
            return 0
        found = self.boolean(f"{vm.name} is re-pinned")
        for one in missing:
            self.model.add(found >= one - (1 - sum(var for _, var in stays)))
        return found


def forbidden(inventory: Inventory, vm: Vm, host: Host) -> bool:
    """Tell whether something keeps a VM from newly coming to a host: no SMT for ``require``, or a rule.

    Drains keep every VM away.
    """
    if vm.thread_policy == "require" and all(len(core) == 1 for core in host.core_of.values()):
        return True
    for rule in inventory.rules:
        if rule.weight is not None:
            continue
        if rule.kind == "drain" and host.name in rule.hosts:
            return True
        if rule.kind == "dedicated" and (vm.name in rule.members) is not (host.name in rule.hosts):
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
