"""Room for failures is kept at every step where some order keeps it: failures tried by code of the test's own."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy
from placer.moves.model import MoveLimits
from placer.moves.schedule import schedule_moves

GIB = 1024 * 1024


def survives(sizes: Mapping[str, int], at: Mapping[str, Sequence[str]], hosts: Sequence[str], room: int) -> bool:
    """Tell whether the VMs of each host find a place on the others; a VM with two hosts is in both."""
    for failed in hosts:
        free = {host: room - sum(sizes[vm] for vm in at if host in at[vm]) for host in hosts if host != failed}
        hit = sorted((sizes[vm] for vm in at if failed in at[vm]), reverse=True)
        if not packs(hit, list(free.values())):
            return False
    return True


def packs(items: Sequence[int], bins: list[int]) -> bool:
    """Tell whether items fit in bins, by trying all."""
    if not items:
        return True
    for n in {bins.index(free) for free in bins if free >= items[0]}:
        if packs(items[1:], [*bins[:n], bins[n] - items[0], *bins[n + 1 :]]):
            return True
    return False


def some_order_fails(
    rng: random.Random, sizes: Mapping[str, int], now: Mapping[str, str], then: Mapping[str, str], room: int
) -> bool:
    """Tell whether one of a few orders of moves does not survive each failure on the way."""
    moving, hosts = [vm for vm in now if now[vm] != then[vm]], sorted({*now.values(), *then.values()})
    for _ in range(6):
        at = dict(now)
        for vm in rng.sample(moving, len(moving)):
            at[vm] = then[vm]
            if not survives(sizes, {vm: [host] for vm, host in at.items()}, hosts, room):
                return True
    return False


def drawn(build: Any, seed: int) -> tuple[Fleet, Plan] | None:
    """Return a fleet of one-node hosts that survives each failure as it is and once two to five VMs have moved."""
    rng = random.Random(seed)
    names = [f"h{n}" for n in range(rng.choice((3, 4, 4)))]
    room = rng.choice((8, 10))
    sizes = {f"v{n}": rng.choice((1, 2, 3, 4)) for n in range(rng.randint(5, 8))}
    for _ in range(2000):
        now = {vm: rng.choice(names) for vm in sizes}
        then = {**now, **{vm: rng.choice(names) for vm in rng.sample(sorted(sizes), rng.randint(2, 5))}}
        ends = [{vm: [host] for vm, host in at.items()} for at in (now, then)]
        fits = all(sum(sizes[vm] for vm in at if host in at[vm]) <= room for at in ends for host in names)
        if (
            fits
            and all(survives(sizes, at, names, room) for at in ends)
            and some_order_fails(rng, sizes, now, then, room)
        ):
            break
    else:
        return None
    topology = build.topology(nodes=1, cpus=16, threads=1, memory_gib=room)
    vms = [
        build.vm(vm, build.spec(1, gib, cpu_policy=CpuPolicy.SHARED), current=build.now(now[vm]))
        for vm, gib in sizes.items()
    ]
    rule = Rule(kind=RuleKind.RESERVE, scope="host", fail=1, name="n+1")
    fleet = build.fleet([build.host(name, topology) for name in names], vms, [rule])
    cpus = topology.node(0).cpus
    placed = []
    for vm in vms:
        change = Change.NONE if now[vm.name] == then[vm.name] else Change.MIGRATE
        old = None if change is Change.NONE else now[vm.name]
        placed.append(build.placed(vm, [cpus], [0], then[vm.name], change=change, from_host=old))
    return fleet, build.plan(*placed)


def order_exists(fleet: Fleet, plan: Plan) -> bool:
    """Tell whether the VMs can go one after the other, each where there is room, so that every failure is survived."""
    sizes = {vm.name: vm.spec.memory_kib // GIB for vm in fleet.vms}
    now = {vm.name: vm.current.host for vm in fleet.vms if vm.current}
    then = {vm.name: vm.host for vm in plan.vms}
    hosts, room = list(fleet.host_by_name), fleet.hosts[0].topology.node(0).memory_kib // GIB
    for order in itertools.permutations([vm for vm in now if now[vm] != then[vm]]):
        at = dict(now)
        for vm in order:
            load = sum(sizes[other] for other in at if at[other] == then[vm])
            at[vm] = then[vm]
            if load + sizes[vm] > room or not survives(sizes, {v: [h] for v, h in at.items()}, hosts, room):
                break
        else:
            return True
    return False


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_failures_are_survived_at_every_step_or_the_waves_are_named(build: Any, first: int) -> None:
    """Outside of the waves that are named each failure is survived in whatever order the steps of a wave end; and none
    is named where an order of single moves keeps the room.
    """
    looked = 0
    for seed in range(first, first + 20):
        if (found := drawn(build, seed)) is None:
            continue
        fleet, plan = found
        schedule = schedule_moves(fleet, plan, MoveLimits(per_host=2))
        sizes = {vm.name: vm.spec.memory_kib // GIB for vm in fleet.vms}
        at = {vm.name: vm.current.host for vm in fleet.vms if vm.current}
        hosts, room = list(fleet.host_by_name), fleet.hosts[0].topology.node(0).memory_kib // GIB
        named = {n for rule in schedule.broken for n in range(rule.first, rule.last + 1)}
        for number, wave in enumerate(schedule.waves, start=1):
            for many in range(1, len(wave.steps) + 1):
                for done in itertools.combinations(wave.steps, many):
                    just = {**at, **{step.vm: step.target.host for step in done}}
                    kept = survives(sizes, {vm: [host] for vm, host in just.items()}, hosts, room)
                    assert kept or number in named, (seed, number)
            at |= {step.vm: step.target.host for step in wave.steps}
        looked += 1
        if schedule.broken:
            assert not order_exists(fleet, plan), seed
    assert looked >= 10


def test_room_that_the_moves_themselves_take_is_told_so(build: Any) -> None:
    """Two VMs come together on one of two hosts, and nobody could take both: broken from the first wave on."""
    topology = build.topology(nodes=1, cpus=16, threads=1, memory_gib=8)
    hosts = [build.host(name, topology) for name in ("a", "b", "c")]
    spec = build.spec(1, 3, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(f"v{n}", spec, current=build.now("abc"[n // 2])) for n in range(3)]
    rule = Rule(kind=RuleKind.RESERVE, scope="host", fail=1, name="n+1")
    full = build.vm("full", build.spec(1, 7, cpu_policy=CpuPolicy.SHARED), current=None)
    fleet = build.fleet(hosts, [*vms, full], [rule])
    cpus = topology.node(0).cpus
    placed = [build.placed(vm, [cpus], [0], vm.current.host) for vm in vms]
    plan = build.plan(*placed, build.placed(full, [cpus], [0], "c", change=Change.NONE))
    (told,) = schedule_moves(fleet, plan).broken
    assert str(told) == "rule 'n+1' is broken from wave 1 on, and still is after the last one"
