"""Plans of fleets with stand-ins for what a failure loses, as plans of the fleet itself."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

from placer.measure.cpu_use import CpuUse, cpu_use
from placer.measure.score import PlanValues
from placer.measure.summary import capacity_summary
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Vm


def without_stand_ins(fleet: Fleet, plan: Plan) -> Plan:
    """Return the plan without its stand-ins; shared vCPUs float over the CPUs that these held, too."""
    known = fleet.vm_by_name
    there: dict[str, list[tuple[Vm, PlanVm]]] = defaultdict(list)
    touched = {vm.host for vm in plan.vms if vm.name not in known}
    for vm in plan.vms:
        if vm.name in known and vm.host in touched:
            there[vm.host].append((known[vm.name], vm))
    uses = {name: cpu_use(fleet.host_by_name[name], placed) for name, placed in there.items()}
    vms = tuple(
        _floating(uses[vm.host], known[vm.name], vm) if vm.host in uses else vm for vm in plan.vms if vm.name in known
    )
    left = tuple(one for one in plan.unplaced if one.name in known)
    found = dataclasses.replace(plan, vms=vms, unplaced=left, goals=(), certificate=None)
    return dataclasses.replace(found, summary=capacity_summary(PlanValues(fleet, found)))


def _floating(use: CpuUse, vm: Vm, planned: PlanVm) -> PlanVm:
    """Return a VM whose shared vCPUs float over all that is free on their nodes now.

    One bound to sets is as it was; one that stays has the cpusets that it has, as far as they are free.
    """
    if planned.bound:
        return planned
    host = use.host
    node_of = host.topology.node_of_cpu
    taken = use.taken
    pins = dict(planned.pins)
    now = vm.current.pins if vm.current is not None and planned.change.stays else {}
    for vcpu, pin in planned.pins.items():
        if not vm.spec.is_dedicated(vcpu):
            free = (host.topology.node(node_of[min(pin)]).cpus & host.shared_pool) - taken
            pins[vcpu] = now.get(vcpu, free) - taken or free
    if pins == dict(planned.pins):
        return planned
    before, after = frozenset().union(*planned.pins.values()), frozenset().union(*pins.values())
    own = {before: after}
    kept = planned.change is Change.FOLLOW and pins == {vcpu: now.get(vcpu, cpus) for vcpu, cpus in pins.items()}
    return dataclasses.replace(
        planned,
        pins=pins,
        emulator=None if planned.emulator is None else own.get(planned.emulator, planned.emulator),
        iothreads={number: own.get(cpus, cpus) for number, cpus in planned.iothreads.items()},
        change=Change.NONE if kept else planned.change,
    )
