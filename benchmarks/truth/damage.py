"""Damaged plans: what `placer.check` lets pass, the reference must accept too.

Memory away from its vCPUs is no plan of placer's, and lawful all the same: damages leave vCPUs on their nodes, and
memory unless it goes where it may not be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.truth.cases import Case
from benchmarks.truth.race import NEAR, fleet_of, of_places, planned, reference
from benchmarks.truth.reads.reading import read
from benchmarks.truth.witness import placed_of
from placer.model.fleet import Fleet
from placer.model.host import NodeKind
from placer.model.plan import Plan, PlanVm


def damaged(case: Case, seed: int, tries: int = 6) -> tuple[list[str], int]:
    """Return damages of a plan that `placer.check` accepts and the reference does not, and how many were tried."""
    from placer.check.check import check

    fleet = fleet_of(case.inventory)
    plan = planned(case, fleet)
    rng = random.Random(f"damage {seed}")
    inventory = read(case.inventory)
    wrong, compared = [], 0
    for what, changed in _damages(rng, fleet, plan, tries):
        compared += 1
        if not check(fleet, changed).ok:
            continue
        try:
            placed = placed_of(inventory, changed)
        except (KeyError, ValueError) as error:
            wrong.append(f"DAMAGE {what} is accepted, and cannot be read: {error}")
            continue
        truth = reference(case, fixed=placed)
        if truth.status == "impossible":
            wrong.append(f"DAMAGE {what} is accepted, the reference refuses it")
        elif truth.status == "optimal":
            wrong += [
                f"DAMAGE {what}: {goal.name} {goal.value:g} is accepted, and {truth.value(goal.name):g} is measured"
                for goal in of_places(fleet, changed).goals
                if goal.value is not None
                and not goal.name.startswith("headroom")
                and abs(truth.value(goal.name) - goal.value) > NEAR
            ]
    return wrong, compared


def _damages(rng: random.Random, fleet: Fleet, plan: Plan, tries: int) -> Iterator[tuple[str, Plan]]:
    if not plan.vms:
        return
    for _ in range(tries):
        vm = rng.choice(plan.vms)
        if vm.bound:
            continue
        what, changed = rng.choice((_pin, _swap, _memory, _host, _emulator, _device))(rng, fleet, plan, vm)
        if changed is not vm:
            vms = tuple(changed if one.name == vm.name else one for one in plan.vms)
            yield f"{what} of {vm.name}", replace(plan, vms=vms)
    goal = rng.choice(plan.goals)
    if goal.value is not None and goal.bound is not None:
        better = replace(goal, value=goal.value + 1, bound=goal.bound + 1)
        yield f"value of {goal.name}", replace(plan, goals=tuple(better if one is goal else one for one in plan.goals))


def _pin(rng: random.Random, fleet: Fleet, plan: Plan, vm: PlanVm) -> tuple[str, PlanVm]:
    vcpu = rng.choice(sorted(vm.pins))
    topology = fleet.host_by_name[vm.host].topology
    home = topology.node(topology.node_of_cpu[min(vm.pins[vcpu])])
    cpus = sorted(home.cpus - vm.pins[vcpu])
    if not cpus:
        return "pin", vm
    return f"pin {vcpu}", replace(vm, pins={**vm.pins, vcpu: frozenset({rng.choice(cpus)})})


def _swap(rng: random.Random, fleet: Fleet, plan: Plan, vm: PlanVm) -> tuple[str, PlanVm]:
    # Which vCPUs of an interleaved guest are on which of its nodes is free.
    cell = rng.choice(vm.cells)
    if len(cell.vcpus) < 2 or fleet.vm_by_name[vm.name].spec.interleave > 1:
        return "pins", vm
    one, other = rng.sample(sorted(cell.vcpus), 2)
    return f"pins {one} and {other}", replace(vm, pins={**vm.pins, one: vm.pins[other], other: vm.pins[one]})


def _memory(rng: random.Random, fleet: Fleet, plan: Plan, vm: PlanVm) -> tuple[str, PlanVm]:
    number = rng.randrange(len(vm.cells))
    cell = vm.cells[number]
    nodes = fleet.host_by_name[vm.host].topology.nodes
    able = [node.id for node in nodes if len(cell.nodes) > 1 or node.kind is not NodeKind.NORMAL]
    if not able:
        return "memory", vm
    node = rng.choice(able)
    moved = replace(cell, nodes={node: cell.memory_kib})
    return f"memory of cell {number}", replace(vm, cells=(*vm.cells[:number], moved, *vm.cells[number + 1 :]))


def _host(rng: random.Random, fleet: Fleet, plan: Plan, vm: PlanVm) -> tuple[str, PlanVm]:
    return "host", replace(vm, host=rng.choice(fleet.hosts).name)


def _emulator(rng: random.Random, fleet: Fleet, plan: Plan, vm: PlanVm) -> tuple[str, PlanVm]:
    cpu = rng.choice(sorted(fleet.host_by_name[vm.host].topology.cpus))
    return "emulator", replace(vm, emulator=frozenset({cpu}))


def _device(rng: random.Random, fleet: Fleet, plan: Plan, vm: PlanVm) -> tuple[str, PlanVm]:
    if not vm.devices:
        return "device", vm
    nodes = (None, *fleet.host_by_name[vm.host].topology.node_ids)
    kind, _ = vm.devices[0]
    return "device", replace(vm, devices=((kind, rng.choice(nodes)), *vm.devices[1:]))
