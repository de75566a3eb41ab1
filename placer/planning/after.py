"""The fleet as it is once a plan has been carried out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from placer.measure.sets_taken import bound_memory
from placer.model.fleet import Fleet
from placer.model.host import Topology
from placer.model.plan import Change, Plan, PlanVm
from placer.model.rules import RuleKind, Selection, matches, own_name
from placer.model.sets import bounds_now
from placer.model.vm import CellMode, Current, Vm
from placer.planning.compile.needs import part_vcpus


def fleet_after(fleet: Fleet, plan: Plan) -> Fleet:
    """Return the fleet with every planned VM where the plan puts it, pins included; VMs left out are nowhere."""
    planned = plan.vm_by_name
    hosts = fleet.host_by_name
    vms = tuple(
        as_planned(vm, planned[vm.name], hosts[planned[vm.name].host].topology)
        if vm.name in planned
        else dataclasses.replace(vm, current=None)
        for vm in fleet.vms
    )
    return dataclasses.replace(fleet, vms=vms)


def as_planned(vm: Vm, planned: PlanVm, topology: Topology) -> Vm:
    """Return a VM where a plan puts it on a host of this topology."""
    now = vm.current
    devices = tuple(address for address in planned.addresses if address is not None)
    if now is not None and now.host == planned.host and planned.change not in (Change.RENODE, Change.RESTART):
        devices = tuple(sorted({*now.devices, *devices}))
    if planned.bound:
        if now is not None and now.host == planned.host and bounds_now(vm) == planned.bound:
            return vm
        return dataclasses.replace(vm, current=Current(host=planned.host, bound=planned.bound, devices=devices))
    nodes, memory = part_nodes(vm, planned, topology)
    return dataclasses.replace(
        vm,
        current=Current(
            host=planned.host,
            nodes=nodes,
            memory_nodes=memory,
            pins=planned.pins,
            emulator=planned.emulator,
            iothread_pins=planned.iothreads,
            devices=devices,
        ),
    )


def part_nodes(vm: Vm, planned: PlanVm, topology: Topology) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the node ids of each part's vCPUs and of its memory, as `Current` holds them; of a VM that is not bound
    to one node a cell all nodes that it may use.
    """
    node_of = topology.node_of_cpu
    if planned.bound:
        memory = {node for number in range(len(planned.cells)) for node in bound_memory(topology, planned, number)}
        return tuple(sorted({node_of[cpu] for pin in planned.pins.values() for cpu in pin})), tuple(sorted(memory))
    if vm.spec.cell_mode is CellMode.NONE:
        runs = part_vcpus(vm.spec, vm.spec.interleave)
        far = tuple(node for cell in planned.cells for node in cell.nodes)
    else:
        runs = tuple(tuple(sorted(cell.vcpus)) for cell in planned.cells)
        far = tuple(next(iter(cell.nodes)) for cell in planned.cells)
    # A cell without vCPUs is where its memory is.
    nodes = tuple(node_of[min(planned.pins[run[0]])] if run else far[part] for part, run in enumerate(runs))
    return nodes, far


def with_vms(fleet: Fleet, vms: Iterable[Vm]) -> Fleet:
    """Return the fleet with just these VMs, and without the rules that then say nothing of any.

    Hosts that are dedicated to VMs of which none is left stay closed to all others.
    """
    kept = tuple(vms)
    rules = []
    for rule in fleet.rules:
        some = rule.members is None or _selects(rule.members, kept)
        if some and (rule.others is None or _selects(rule.others, kept)):
            rules.append(rule)
        elif not some and kept and rule.kind is RuleKind.DEDICATED:
            everyone = {"name": frozenset(own_name(vm.name, vm.spec.labels) for vm in kept)}
            rules.append(dataclasses.replace(rule, kind=RuleKind.OUTSIDE, members=everyone, name=rule.label))
    return dataclasses.replace(fleet, vms=kept, rules=tuple(rules))


def _selects(selection: Selection, vms: Iterable[Vm]) -> bool:
    return any(matches(selection, vm.name, vm.spec.labels) for vm in vms)
