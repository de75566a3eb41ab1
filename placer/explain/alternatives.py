"""The other places a VM could be at, all else as planned: SAFE, BLOCKED by whom, or WORSE in which goal by how much."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from placer.errors import InputError, did_you_mean
from placer.measure.moved import Move, is_present, move_of
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.rules import RuleKind, matches
from placer.model.units import count
from placer.model.vm import Vm
from placer.planning.after import fleet_after, part_nodes
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.compile.loose import Loose, own_nodes
from placer.planning.compile.placements import Placement, canonical
from placer.planning.compile.rows import Row, RowKind
from placer.planning.decode.reasons import row_words
from solvers.evaluate import evaluate, violations
from solvers.problem import MoveBudget, Shape
from solvers.result import HostPattern

WORK = 40_000
"""About how many (class, placement) pairs are priced: in a large fleet only the first classes of hosts are."""


class Verdict(StrEnum):
    """What another place would be."""

    SAFE = "SAFE"
    BLOCKED = "BLOCKED"
    WORSE = "WORSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One other place: `cpu_nodes` and `memory_nodes` are node ids, one a part; empty where no place was looked at.

    `hosts` are alike for this VM. `goal` is the first goal that differs from the plan and `by` how much larger it gets,
    in the goal's own unit (negative: better, which only an unproven plan leaves); `constraint` and `whom` say what
    blocks the place and which VMs hold it.
    """

    hosts: tuple[str, ...]
    cpu_nodes: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    verdict: Verdict
    goal: str | None = None
    by: float | None = None
    constraint: str | None = None
    whom: tuple[str, ...] = ()
    planned: bool = False
    now: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """All places of one VM, the planned one first, and how many hosts were not looked at."""

    places: tuple[Alternative, ...]
    hosts_left_out: int


def alternatives(fleet: Fleet, plan: Plan, name: str) -> Alternatives:
    """Return every place of a VM of the plan, on its own host each, on others the best of each kind of host.

    All other VMs stay where the plan puts them; they may be pinned anew within their nodes. Goals that only pins settle
    (`l3`) and headroom are not judged.

    Raises
    ------
    InputError
        The fleet has no such VM.
    """
    vm = fleet.vm_by_name.get(name)
    if vm is None:
        raise InputError(f"the fleet has no VM {name!r}", field="VM", cure=did_you_mean(name, fleet.vm_by_name))
    held = _why_held(fleet, vm)
    if held is not None and vm.current is not None:
        hosts = tuple(host.name for host in fleet.hosts if host.name != vm.current.host and not host.failed)
        return Alternatives(places=(_blocked(hosts, held),) if hosts else (), hosts_left_out=0)
    return _Search(fleet, plan, vm).run()


def _why_held(fleet: Fleet, vm: Vm) -> str | None:
    if not is_present(fleet, vm) or not (vm.pins_fixed or fleet.is_held(vm)):
        return None
    why = "its pins are fixed" if vm.pins_fixed else "it must not move"
    return f"{why} ({', '.join(vm.movable_why)})" if vm.movable_why else why


def _blocked(hosts: tuple[str, ...], constraint: str, whom: Sequence[str] = ()) -> Alternative:
    return Alternative(
        hosts=hosts,
        cpu_nodes=(),
        memory_nodes=(),
        verdict=Verdict.BLOCKED,
        constraint=constraint,
        whom=tuple(whom),
    )


def as_planned(fleet: Fleet, plan: Plan, vm: Vm) -> Fleet:
    """Return the fleet with every other VM where the plan puts it, `vm` where it is now; VMs left out are not in it."""
    planned = plan.vm_by_name
    vms = tuple(
        vm if other.name == vm.name else other
        for other in fleet_after(fleet, plan).vms
        if other.name in planned or other.name == vm.name
    )
    return dataclasses.replace(fleet, vms=vms)


@dataclass(frozen=True, slots=True)
class _Target:
    """A class of hosts; `own`: the one of them that the VM is on now, else the others."""

    number: int
    own: bool


_Judged = tuple[tuple[int, tuple[int, ...]], Alternative]
"""A place behind what orders it: 0 and the change in every objective, or 1 and how much blocks it."""

_NEVER: tuple[int, tuple[int, ...]] = (2, ())


class _Search:
    def __init__(self, fleet: Fleet, plan: Plan, vm: Vm) -> None:
        self.fleet, self.plan, self.vm = fleet, plan, vm
        settled = as_planned(fleet, plan, vm)
        goals = parse_goals(plan.options.get("goals"), fleet)
        self.compiled: Compiled = compile_fleet(settled, goals, self._budget())
        self.problem = self.compiled.problem
        self.vm_number = next(n for n, other in enumerate(settled.vms) if other.name == vm.name)
        self.flavor = self.compiled.flavors.of_vm[self.vm_number]
        self.from_host = vm.current.host if vm.current is not None and is_present(fleet, vm) else None
        self.from_class = None if self.from_host is None else self._class_of(self.from_host)
        self.from_placement = self._placement_now()
        self.base: tuple[_Target, int] | None = None
        self.residents: dict[str, list[PlanVm]] = {}
        for other in plan.vms:
            if other.name != vm.name:
                self.residents.setdefault(other.host, []).append(other)

    def _budget(self) -> MoveBudget:
        """Return what the plan's limits leave to this VM beside the moves of the others."""
        moves = [
            move_of(self.fleet, self.fleet.vm_by_name[other.name], other)
            for other in self.plan.vms
            if other.name != self.vm.name
        ]
        left = {}
        for key, kinds in (
            ("max_moves", (Move.CHANGES_HOST, Move.CHANGES_NODE)),
            ("max_migrations", (Move.CHANGES_HOST,)),
        ):
            limit = self.plan.options.get(key)
            used = sum(move in kinds for move in moves)
            left[key] = None if limit is None else max(0, int(limit) - used)
        return MoveBudget(moves=left["max_moves"], migrations=left["max_migrations"])

    def run(self) -> Alternatives:
        planned = self.plan.vm_by_name.get(self.vm.name)
        targets = list(self._targets())
        own = None if planned is None else self._target_of(planned.host)
        most = max(20, WORK // max(1, len(targets)))
        first = [] if own is None else [own]
        looked = [*first, *(target for target in targets if target != own)][:most]
        left = sum(len(self._hosts(target)) for target in targets if target not in looked)
        own, looked = self._narrow(own, looked)
        self.base = None if planned is None or own is None else self._planned_place(planned, own)
        base = (
            None
            if self.base is None
            else evaluate(self.problem, self._patterns(*self.base), [0] * len(self.problem.flavors))
        )
        places: list[_Judged] = []
        for target in looked:
            found = sorted(self._places(target, base), key=lambda judged: judged[0])
            places.extend(found if target == own else found[:1])
        places.sort(key=lambda judged: (not judged[1].planned, judged[0], judged[1].hosts))
        return Alternatives(places=tuple(place for _, place in places), hosts_left_out=left)

    def _narrow(self, own: _Target | None, looked: list[_Target]) -> tuple[_Target | None, list[_Target]]:
        """Leave the classes that are not looked at out of the problem: what is on them stays and adds the same.

        Where a rule ties the VM to others, all hosts stay in.
        """
        tied = [rule for rule in self.problem.rules if self.flavor in rule.members]
        here = [] if self.from_class is None else [self.from_class]
        kept = sorted({*here, *(target.number for target in looked)})
        if tied or len(kept) == len(self.problem.classes):
            return own, looked
        place = {number: new for new, number in enumerate(kept)}
        classes = tuple(self.problem.classes[number] for number in kept)
        self.problem = dataclasses.replace(self.problem, classes=classes, rules=())
        self.from_class = None if self.from_class is None else place[self.from_class]
        moved = [_Target(place[target.number], target.own) for target in looked]
        return None if own is None else _Target(place[own.number], own.own), moved

    def _targets(self) -> Iterator[_Target]:
        for number, cls in enumerate(self.problem.classes):
            if number == self.from_class:
                yield _Target(number, own=True)
            if cls.count > (number == self.from_class):
                yield _Target(number, own=False)

    def _hosts(self, target: _Target) -> tuple[str, ...]:
        if target.own and self.from_host is not None:
            return (self.from_host,)
        names = (self.fleet.hosts[index].name for index in self.problem.classes[target.number].members)
        return tuple(name for name in names if name != self.from_host)

    def _target_of(self, host: str) -> _Target | None:
        number = self._class_of(host)
        return None if number is None else _Target(number, own=host == self.from_host)

    def _placement_now(self) -> int | None:
        """Return the index of the placement where the VM is now; None where it is nowhere or on no known node."""
        number = next((n for n, host in enumerate(self.fleet.hosts) if host.name == self.from_host), None)
        entries = self.compiled.now.get(number, {}) if number is not None else {}
        return next((placement for placement, vms in entries.items() if self.vm_number in vms), None)

    def _class_of(self, host: str) -> int | None:
        index = next(n for n, one in enumerate(self.fleet.hosts) if one.name == host)
        return next((n for n, cls in enumerate(self.problem.classes) if index in cls.members), None)

    def _planned_place(self, planned: PlanVm, own: _Target) -> tuple[_Target, int] | None:
        """Return where the plan has the VM, the devices' nodes the same where that can be told."""
        shape = self.problem.classes[own.number].shape
        found = [n for n in self._own_placements(self.problem.shapes[shape]) if self._is_at(planned, shape, n)]
        position = {node: n for n, node in enumerate(self.fleet.host_by_name[planned.host].topology.node_ids)}
        devices = tuple(None if node is None else position[node] for _, node in planned.devices)
        same = [n for n in found if self.compiled.placements[shape][n].device_nodes == devices]
        return (own, (same or found)[0]) if found else None

    def _own_placements(self, shape: Shape) -> list[int]:
        return [int(n) for n in np.flatnonzero(shape.flavor == self.flavor)]

    def _is_at(self, planned: PlanVm, shape: int, placement: int) -> bool:
        host, found = self.fleet.host_by_name[planned.host], self.compiled.placements[shape][placement]
        if isinstance(found, Loose) or planned.bound:
            own = own_nodes(self.vm.spec, planned.pins, host.topology)
            return isinstance(found, Loose) and bool(planned.bound) and found.own_nodes == own
        position = {node: n for n, node in enumerate(host.topology.node_ids)}
        nodes, memory = part_nodes(self.vm, planned, host.topology)
        if len(found.cpu_nodes) != len(nodes):
            return False
        needs = self.compiled.flavors.groups[self.flavor].needs
        cpus, far = (tuple(position[node] for node in ids) for ids in (nodes, memory))
        at = Placement(found.option, cpus, far, found.device_nodes)
        return canonical(needs, at) == canonical(needs, found)

    def _patterns(self, target: _Target, placement: int) -> list[HostPattern]:
        """Return all hosts as planned, the VM at this place and no more where it is now."""
        out: list[HostPattern] = []
        for index, cls in enumerate(self.problem.classes):
            rest = cls.count
            for own in (True, False):
                here = target == _Target(index, own)
                if here or (own and index == self.from_class):
                    rest -= 1
                    out.append(
                        HostPattern(host_class=index, count=1, placements=self._content(index, own, here, placement))
                    )
            if rest:
                out.append(HostPattern(host_class=index, count=rest, placements=cls.content))
        return out

    def _content(self, number: int, own: bool, here: bool, placement: int) -> tuple[tuple[int, int], ...]:
        content = dict(self.problem.classes[number].content)
        if own and self.from_placement is not None:
            content[self.from_placement] -= 1
        if here:
            content[placement] = content.get(placement, 0) + 1
        return tuple(sorted((p, many) for p, many in content.items() if many))

    def _places(self, target: _Target, base: tuple[int, ...] | None) -> Iterator[_Judged]:
        cls = self.problem.classes[target.number]
        hosts = self._hosts(target)
        host = self.fleet.host_by_name[hosts[0]]
        if not cls.allowed[self.flavor] and not target.own:
            yield _NEVER, _blocked(hosts, self._forbidden(host))
            return
        shape = self.problem.shapes[cls.shape]
        now = self.from_placement if target.own else None
        own = [n for n in self._own_placements(shape) if n == now or not shape.stay_only[n]]
        if not own:
            yield _NEVER, _blocked(hosts, "no node is large enough")
        ids = host.topology.node_ids
        for placement in own:
            at = self.compiled.placements[cls.shape][placement]
            place = Alternative(
                hosts=hosts,
                cpu_nodes=tuple(ids[n] for n in at.cpu_nodes),
                memory_nodes=tuple(ids[n] for n in at.memory_nodes),
                verdict=Verdict.SAFE,
                planned=(target, placement) == self.base,
                now=placement == now,
            )
            yield self._judged(place, target, placement, base)

    def _judged(self, place: Alternative, target: _Target, placement: int, base: tuple[int, ...] | None) -> _Judged:
        cls = self.problem.classes[target.number]
        shape = self.problem.shapes[cls.shape]
        patterns = self._patterns(target, placement)
        taken = shape.use[placement].copy()
        for index, many in self._content(target.number, target.own, False, placement):
            taken += many * shape.use[index]
        short = np.flatnonzero((taken > cls.capacity) & (shape.use[placement] > 0))
        broken = [] if place.planned else violations(self.problem, patterns, [0] * len(self.problem.flavors))
        if not broken:
            return self._priced(place, patterns, base)
        if len(short):
            row = self.compiled.rows[cls.shape][int(short[0])]
            constraint, whom = row_words(self.compiled, row), self._holders(place.hosts[0], row)
        else:
            constraint, whom = self._broken(broken[0])
        blocked = dataclasses.replace(place, verdict=Verdict.BLOCKED, constraint=constraint, whom=whom)
        return (1, (len(broken),)), blocked

    def _priced(self, place: Alternative, patterns: list[HostPattern], base: tuple[int, ...] | None) -> _Judged:
        values = evaluate(self.problem, patterns, [0] * len(self.problem.flavors))
        if base is None:
            return (0, values), place
        change = tuple(value - was for value, was in zip(values, base, strict=True))
        for objective, by in zip(self.problem.objectives, change, strict=True):
            if by:
                verdict = Verdict.WORSE if by > 0 else Verdict.SAFE
                goal = objective.words
                place = dataclasses.replace(place, verdict=verdict, goal=goal, by=by / objective.unit)
                break
        return (0, change), place

    def _forbidden(self, host: Host) -> str:
        for rule in self.fleet.rules:
            if not rule.is_soft and rule.keeps_off(self.vm.name, self.vm.spec.labels, host.name, host.labels):
                emptied = ": the host is being emptied" if rule.kind is RuleKind.DRAIN else ""
                return f"the rule {rule.label}{emptied}"
        if host.failed:
            return "the host has failed"
        for needs, has, what in ((self.vm.spec.kvm, host.kvm, "KVM"), (self.vm.spec.needs_smt, host.smt, "SMT")):
            if needs and not has:
                return f"the host has no {what}"
        if self.vm.spec.width > host.widest_vm:
            usable = count(len(host.usable_cpus), "usable CPU")
            return f"it has {count(self.vm.spec.width, 'vCPU')}, and the host {usable}"
        return f"its migration domain: the host is of {host.migration_domain or 'none'}, generation {host.gen}"

    def _holders(self, host: str, row: Row) -> tuple[str, ...]:
        """Return the VMs that hold the most of what is short, at most five."""
        topology = self.fleet.host_by_name[host].topology
        where = frozenset(topology.node_ids[node] for node in row.nodes or range(len(topology.nodes)))
        sizes: dict[str, int] = {}
        for other in self.residents.get(host, ()):
            spec = self.fleet.vm_by_name[other.name].spec
            on = [any(topology.node_of_cpu[cpu] in where for cpu in pin) for pin in other.pins.values()]
            match row.kind:
                case RowKind.RULE | RowKind.ONE_L3:
                    members = self.compiled.fleet.rules[row.rule].members
                    amount = int(matches(members, other.name, spec.labels) and any(on))
                case RowKind.MEMORY | RowKind.PAGES:
                    amount = sum(kib for cell in other.cells for at, kib in cell.nodes.items() if at in where)
                case RowKind.DEVICE:
                    amount = sum(device == row.what and (at is None or at in where) for device, at in other.devices)
                case RowKind.RESOURCE:
                    amount = spec.resources.get(str(row.what), 0)
                case _:
                    amount = sum(on)
            if amount:
                sizes[other.name] = amount
        return tuple(sorted(sizes, key=lambda name: (-sizes[name], name))[:5])

    def _broken(self, line: str) -> tuple[str, tuple[str, ...]]:
        """Return a violation of the referee in the planner's words, and the other members of a rule."""
        for rule in self.fleet.rules:
            if line.startswith(f"rule {rule.label}: "):
                members = [
                    other.name
                    for other in self.plan.vms
                    if other.name != self.vm.name
                    and any(
                        matches(chosen, other.name, self.fleet.vm_by_name[other.name].spec.labels)
                        for chosen in rule.selections
                    )
                ]
                return f"the rule {rule.label}", tuple(members[:5])
        if "allowed" in line:
            return "the limit on moves", ()
        return line, ()
