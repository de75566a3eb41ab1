"""Where new VMs go in a fleet that runs: without touching what is there, and if that does not do, what has to move.

Hosts are screened by what is free on them, and only so many of them are planned as the VMs may need: the answer for a
few VMs takes no longer on ten thousand hosts than on a hundred.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from placer.errors import ImpossibleError, NothingFoundError
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, PlanVm, Unplaced
from placer.model.rules import Rule, RuleKind, matches
from placer.model.vm import Vm
from placer.planner import solve_fleet
from placer.planning.wanted import Wanted

FIRST_HOSTS = 32
"""So many hosts are planned at first, four times as many when they do not do."""
WIDER = 4
GOALS = ("placed", "rules", "remote")
_CONFINED = (RuleKind.DRAIN, RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Where the new VMs go.

    Attributes
    ----------
    vms : the new VMs that have a place; `unplaced` those without, with why.
    moved, repinned : VMs that run and would have to go elsewhere, or on other CPUs of their nodes, for that.
    hosts : how many hosts were planned, of `hosts_in_all`.
    proven : no plan within the moves allowed places more of them; None where all have a place.
    """

    vms: tuple[PlanVm, ...]
    unplaced: tuple[Unplaced, ...]
    moved: tuple[PlanVm, ...]
    repinned: tuple[str, ...]
    hosts: int
    hosts_in_all: int
    proven: bool | None


def fit(
    fleet: Fleet,
    wanted: Sequence[tuple[Wanted, int]],
    *,
    max_moves: int = 0,
    time_limit_s: float = 1.0,
    seed: int = 0,
) -> Fit:
    """Return where so many VMs of each kind go.

    Parameters
    ----------
    max_moves : most VMs that may move where there is no room otherwise; each number up to it is tried in turn.
    time_limit_s : for each plan of a part of the fleet.

    Notes
    -----
    First nothing that runs is touched: VMs keep their pins as far as they are known. Then others may be pinned anew on
    their nodes, and then as few as it takes, up to `max_moves`, may move. No rule holds the new VMs.
    """
    new = _new_vms(fleet, wanted)
    present = tuple(vm for vm in fleet.vms if vm.current is not None)
    on: dict[str, list[Vm]] = defaultdict(list)
    for vm in present:
        if vm.current is not None:
            on[vm.current.host].append(vm)
    open_hosts = _by_room(fleet, on)
    many = FIRST_HOSTS
    found = None
    while found is None or found.unplaced:
        chosen = open_hosts[:many]
        found = _planned(fleet, chosen, on, new, moves=0, keep=True, time_limit_s=time_limit_s, seed=seed)
        if many >= len(open_hosts):
            break
        many *= WIDER
    assert found is not None
    if found.unplaced:
        # What has to give way may be bound by rules to VMs anywhere: the whole fleet is planned.
        everyone = [host for host in fleet.hosts if not host.failed]
        for moves in [0, *_doubled(max_moves)]:
            other = _planned(fleet, everyone, on, new, moves=moves, keep=False, time_limit_s=time_limit_s, seed=seed)
            if len(other.unplaced) < len(found.unplaced):
                found = other
            if not found.unplaced:
                break
    return found


def _doubled(most: int) -> list[int]:
    out, number = [], 1
    while number < most:
        out.append(number)
        number *= 2
    return [*out, most] if most else []


def _new_vms(fleet: Fleet, wanted: Sequence[tuple[Wanted, int]]) -> tuple[Vm, ...]:
    names = set(fleet.vm_by_name)
    made = []
    for one, count in wanted:
        for number in range(1, count + 1):
            name = f"{one.text} {number}" if count > 1 else one.text
            while name in names:
                name += "'"
            names.add(name)
            made.append(one.vm(name))
    return tuple(made)


def _by_room(fleet: Fleet, on: dict[str, list[Vm]]) -> list[Host]:
    """Return the hosts that take VMs: alternately those with the most CPUs free and those with the most memory free."""
    hosts = [host for host in fleet.hosts if not host.failed and host.name not in fleet.drained]
    cpus, memory = {}, {}
    for host in hosts:
        there = on.get(host.name, ())
        cpus[host.name] = len(host.usable_cpus) * host.cpu_ratio - sum(vm.spec.vcpus for vm in there)
        whole = sum(node.memory_kib for node in host.topology.nodes)
        memory[host.name] = whole - sum(vm.spec.memory_kib for vm in there)
    by_cpus = sorted(hosts, key=lambda host: (-cpus[host.name], -memory[host.name]))
    by_memory = sorted(hosts, key=lambda host: (-memory[host.name], -cpus[host.name]))
    return list({host.name: host for pair in zip(by_cpus, by_memory, strict=True) for host in pair}.values())


def _planned(
    fleet: Fleet,
    hosts: Sequence[Host],
    on: dict[str, list[Vm]],
    new: Iterable[Vm],
    *,
    moves: int,
    keep: bool,
    time_limit_s: float,
    seed: int,
) -> Fit:
    """Plan the new VMs beside those of some hosts."""
    there = [vm for host in hosts for vm in on.get(host.name, ())]
    if keep:
        there = [_pinned(vm) for vm in there]
    new = tuple(new)
    # Rules that tie VMs to each other hold none of the new ones, and without moves none of the others is concerned.
    rules = tuple(rule for rule in fleet.rules if _counts(rule, hosts, there, moves=bool(moves)))
    part = dataclasses.replace(fleet, hosts=tuple(hosts), vms=(*there, *new), rules=rules, digest="")
    try:
        plan = solve_fleet(part, goals=GOALS, max_moves=moves, time_limit_s=time_limit_s, seed=seed)
    except (ImpossibleError, NothingFoundError) as error:
        left = tuple(Unplaced(name=vm.name, reason=str(error)) for vm in new)
        return Fit(
            vms=(), unplaced=left, moved=(), repinned=(), hosts=len(hosts), hosts_in_all=len(fleet.hosts), proven=False
        )
    names = {vm.name for vm in new}
    known = part.vm_by_name
    placed = plan.goal("placed")
    return Fit(
        vms=tuple(vm for vm in plan.vms if vm.name in names),
        unplaced=tuple(left for left in plan.unplaced if left.name in names),
        moved=tuple(
            vm
            for vm in plan.vms
            if vm.name not in names and vm.change in (Change.RENODE, Change.MIGRATE, Change.RESTART)
        ),
        repinned=tuple(
            vm.name
            for vm in plan.vms
            if vm.name not in names and vm.change is Change.REPIN and _has_pins(known[vm.name])
        ),
        hosts=len(hosts),
        hosts_in_all=len(fleet.hosts),
        proven=(placed.status == "optimal" and len(hosts) == len(fleet.hosts)) if plan.unplaced else None,
    )


def _counts(rule: Rule, hosts: Sequence[Host], vms: Sequence[Vm], *, moves: bool) -> bool:
    """Tell whether a rule is kept by the plan of these hosts: it says something of them, and of VMs that may move."""
    if rule.kind is RuleKind.RESERVE or (rule.kind not in _CONFINED and not moves):
        return False
    if rule.hosts is not None and not any(matches(rule.hosts, host.name, host.labels) for host in hosts):
        return False
    return rule.members is None or any(matches(rule.members, vm.name, vm.spec.labels) for vm in vms)


def _pinned(vm: Vm) -> Vm:
    """Return a VM that keeps the CPUs it has for itself."""
    current = vm.current
    if current is None or len(current.pins) != vm.spec.vcpus or any(len(pin) != 1 for pin in current.pins.values()):
        return vm
    return dataclasses.replace(vm, pins_fixed=True)


def _has_pins(vm: Vm) -> bool:
    return vm.current is not None and bool(vm.current.pins)
