"""The smallest fleet: the fewest, or cheapest, hosts of given shapes that hold a demand, with the proof."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from placer.check.fits import impossible_vms
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.vm import Vm
from placer.options import DEFAULT_TIME_LIMIT_S
from placer.planner import solve_fleet

SPARE = 1.25
"""The first offer of hosts is what the CPUs and memory need at least, times this; it doubles until the demand fits."""
TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestFleet:
    """The answer: hosts a shape, their cost and its proven lower bound, and the plan on them.

    `cost` and `bound` are in the unit of the hosts' `cost`: with cost 1 they count hosts.
    """

    hosts: dict[str, int]
    cost: float
    bound: float | None
    status: str
    plan: Plan
    fleet: Fleet


def smallest_fleet(
    fleet: Fleet, shapes: Sequence[str], *, time_limit_s: float = DEFAULT_TIME_LIMIT_S, seed: int = 0, workers: int = 1
) -> SmallestFleet:
    """Return the cheapest hosts of the named shapes that hold all VMs of the fleet, as if none of them were anywhere.

    Parameters
    ----------
    shapes : names of hosts of the fleet, each the pattern of a shape to buy as many of as needed.

    Raises
    ------
    InputError
        A shape that is no host, or a VM that no host of any shape could hold.
    """
    patterns = [_pattern(fleet, name) for name in shapes]
    demand = tuple(dataclasses.replace(vm, current=None) for vm in fleet.vms)
    _refuse_impossible(dataclasses.replace(fleet, hosts=tuple(patterns), vms=demand))
    offer = [_least(pattern, demand) for pattern in patterns]
    for _ in range(TRIES):
        hosts = tuple(
            dataclasses.replace(pattern, name=f"{pattern.name}-{number + 1}", uuid=None, uri=None)
            for pattern, count in zip(patterns, offer, strict=True)
            for number in range(count)
        )
        offered = dataclasses.replace(fleet, hosts=hosts, vms=demand, digest="")
        plan = solve_fleet(offered, goals="placed,rules,hosts", time_limit_s=time_limit_s, seed=seed, workers=workers)
        if not plan.unplaced:
            return _answer(offered, plan, shapes)
        offer = [2 * count for count in offer]
    raise InputError(
        f"{len(plan.unplaced)} VMs found no place on {sum(offer) // 2} hosts: {plan.unplaced[0].reason}",
        cure="loosen the rules, or offer larger shapes",
    )


def _pattern(fleet: Fleet, name: str) -> Host:
    found = fleet.host_by_name.get(name) or fleet.host_by_name.get(f"{name}-1")
    if found is None:
        known = ", ".join(sorted({host.name for host in fleet.hosts})[:8])
        raise InputError(f"no host is named {name!r}", field="shapes", cure=f"name hosts of the fleet: {known}")
    return dataclasses.replace(found, name=name, failed=False)


def _refuse_impossible(fleet: Fleet) -> None:
    impossible = impossible_vms(fleet)
    if impossible:
        name, reason = next(iter(impossible.items()))
        raise InputError(
            f"{len(impossible)} VMs fit no host of these shapes, {name!r} among them: {reason}", field="shapes"
        )


def _least(pattern: Host, demand: Sequence[Vm]) -> int:
    """Return a first guess of how many hosts of one shape alone hold the demand, by CPUs and by memory."""

    cpus = sum(vm.spec.vcpus for vm in demand)
    memory = sum(vm.spec.memory_kib + vm.spec.overhead_taken_kib for vm in demand)
    room = sum(node.memory_kib for node in pattern.topology.nodes)
    need = max(cpus / max(1.0, len(pattern.usable_cpus) * pattern.cpu_ratio), memory / max(1, room), 1.0)
    return math.ceil(need * SPARE) + 1


def _answer(fleet: Fleet, plan: Plan, shapes: Sequence[str]) -> SmallestFleet:
    used = Counter(host.rpartition("-")[0] for host in {vm.host for vm in plan.vms})
    goal = plan.goal("hosts")
    assert goal.value is not None
    return SmallestFleet(
        hosts={shape: used.get(shape, 0) for shape in shapes},
        cost=goal.value,
        bound=goal.bound,
        status=goal.status,
        plan=plan,
        fleet=fleet,
    )
