"""Between placer's plans and the reference's: a witness as a plan, and a plan as the reference sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.truth.reads.reading import Host, Inventory, Vm
from benchmarks.truth.reference import Placed
from placer.measure.as_now import as_now
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanCell, PlanVm, Unplaced
from placer.model.vm import Bound, CellMode, EmulatorPolicy
from placer.model.vm import Vm as FleetVm


def plan_of(
    fleet: Fleet, inventory: Inventory, placed: Mapping[str, Placed], options: Mapping[str, int | None]
) -> Plan:
    """Return a witness of the reference as a plan of placer's, so that `placer.check` can say whether it holds."""
    from placer.measure.moved import fitting_changes, move_of

    free = _free_shared(inventory, placed)
    vms = []
    for vm in inventory.vms:
        if vm.name not in placed:
            continue
        own = fleet.vm_by_name[vm.name]
        planned = _planned(fleet, own, vm, placed[vm.name], free)
        change = min(fitting_changes(own, planned, move_of(fleet, own, planned)), key=str)
        came = own.current.host if own.current is not None else None
        vms.append(replace(planned, change=change, from_host=came if came != planned.host else None))
    return Plan(
        fleet_path=None,
        fleet_digest=fleet.digest,
        seed=0,
        rounds=0,
        status="feasible",
        goals=(),
        vms=tuple(vms),
        unplaced=tuple(Unplaced(name=vm.name, reason="no room") for vm in inventory.vms if vm.name not in placed),
        options=dict(options),
    )


def _free_shared(inventory: Inventory, placed: Mapping[str, Placed]) -> dict[tuple[str, int], frozenset[int]]:
    """Return (host, node) -> the CPUs that shared vCPUs float over: those for them that nobody takes or keeps idle."""
    taken: dict[str, set[int]] = {}
    for vm in inventory.vms:
        if vm.name in placed:
            where = placed[vm.name]
            host = inventory.host(where.host)
            mine = taken.setdefault(where.host, set())
            if where.emulator is not None:
                mine.add(where.emulator)
            for cpus in where.cpus:
                mine.update(cpus)
                if vm.thread_policy != "prefer":
                    for cpu in cpus:
                        mine.update(host.core_of[cpu])
    return {
        (host.name, node.id): (node.cpus & host.shared) - taken.get(host.name, set())
        for host in inventory.hosts
        for node in host.nodes
    }


def _planned(
    fleet: Fleet, own: FleetVm, vm: Vm, where: Placed, free: Mapping[tuple[str, int], frozenset[int]]
) -> PlanVm:
    spec = own.spec
    if where.floats:
        return _floating(fleet, own, where)
    host = fleet.host_by_name[where.host]
    pins: dict[int, frozenset[int]] = {}
    for vcpus, node, cpus in zip(where.vcpus, where.cpu_nodes, where.cpus, strict=True):
        left = list(cpus)
        for vcpu in vcpus:
            if vcpu not in vm.dedicated:
                pins[vcpu] = free[where.host, node] or host.topology.node(node).cpus
            else:
                # Those whose CPUs are not known, on a node that has too few, stay so.
                whole = host.topology.node(node).cpus
                pins[vcpu] = frozenset({left.pop(0)}) if left else whole & host.usable_cpus or whole
    if vm.pins_fixed and vm.host == where.host:
        pins = dict(vm.pins)
    if spec.emulator_threads is EmulatorPolicy.ISOLATE:
        emulator = frozenset({where.emulator}) if where.emulator is not None else None
    elif spec.emulator_threads is not EmulatorPolicy.SHARE and host.housekeeping_cpus:
        emulator = host.housekeeping_cpus
    else:
        emulator = frozenset().union(*pins.values())
    if vm.pins_fixed and vm.host == where.host and vm.emulator is not None:
        emulator = vm.emulator
    now = own.current
    known = now is not None and now.nodes is not None
    changed = known and now is not None and len(now.nodes or ()) != len(where.vcpus)
    return PlanVm(
        name=vm.name,
        host=where.host,
        uuid=own.uuid,
        cells=_cells(vm, where),
        pins=pins,
        shown=spec.cell_mode is CellMode.GIVEN or (spec.cell_mode is CellMode.AUTO and len(where.vcpus) > 1),
        new_cells=spec.cell_mode is CellMode.AUTO and (now is None or changed),
        emulator=emulator,
        iothreads=dict.fromkeys(spec.iothreads, emulator or frozenset()),
        devices=where.devices,
    )


def _floating(fleet: Fleet, own: FleetVm, where: Placed) -> PlanVm:
    """Return a VM that floats: as it is where it stays, over all of a host that it comes to."""
    host = fleet.host_by_name[where.host]
    now = as_now(own, host)
    if now is not None:
        return now
    given = own.spec.cell_mode is CellMode.GIVEN
    pool = host.shared_pool or host.usable_cpus or host.topology.cpus
    # One CPU alone would read as one of its own, which a dedicated vCPU that floats has not.
    around = frozenset().union(*(node.cpus for node in host.topology.nodes if node.cpus & pool))
    wide = next((cpus for cpus in (pool, around) if len(cpus) > 1), host.topology.cpus)
    return PlanVm(
        name=own.name,
        host=where.host,
        uuid=own.uuid,
        cells=tuple(
            PlanCell(id=number, vcpus=frozenset(vcpus), memory_kib=kib, mode="floats", nodes={})
            for number, (vcpus, kib) in enumerate(zip(where.vcpus, where.memory_kib, strict=True))
        ),
        pins={vcpu: wide if own.spec.is_dedicated(vcpu) else pool for vcpu in range(own.spec.vcpus)},
        shown=given,
        new_cells=own.spec.cell_mode is CellMode.AUTO and own.current is None,
        bound=(Bound(),),
    )


def _cells(vm: Vm, where: Placed) -> tuple[PlanCell, ...]:
    if vm.flat:
        nodes: dict[int, int] = {}
        for node, kib in zip(where.memory_nodes, where.memory_kib, strict=True):
            nodes[node] = nodes.get(node, 0) + kib
        return (
            PlanCell(
                id=0,
                vcpus=frozenset(range(vm.vcpus)),
                memory_kib=vm.memory_kib,
                mode="strict" if len(nodes) == 1 else "interleave",
                nodes=nodes,
            ),
        )
    return tuple(
        PlanCell(id=number, vcpus=frozenset(vcpus), memory_kib=kib, mode="strict", nodes={node: kib})
        for number, (vcpus, kib, node) in enumerate(zip(where.vcpus, where.memory_kib, where.memory_nodes, strict=True))
    )


def placed_of(inventory: Inventory, plan: Plan) -> dict[str, Placed]:
    """Return a plan of placer's as the reference sees it."""
    found = {}
    for vm in inventory.vms:
        planned = plan.vm_by_name.get(vm.name)
        if planned is not None:
            found[vm.name] = _placed(inventory.host(planned.host), vm, planned)
    return found


def _placed(host: Host, vm: Vm, planned: PlanVm) -> Placed:
    if planned.bound:
        return Placed(
            host=planned.host,
            vcpus=tuple(tuple(sorted(cell.vcpus)) for cell in planned.cells),
            memory_kib=tuple(cell.memory_kib for cell in planned.cells),
            cpu_nodes=(),
            memory_nodes=(),
            cpus=(),
            emulator=None,
            devices=(),
            floats=True,
        )
    if vm.flat:
        count = vm.interleave
        sizes = [vm.vcpus // count + (n < vm.vcpus % count) for n in range(count)]
        starts = [sum(sizes[:n]) for n in range(count)]
        vcpus = tuple(tuple(range(start, start + size)) for start, size in zip(starts, sizes, strict=True))
        memory = tuple(sorted(planned.cells[0].nodes))
    else:
        vcpus = tuple(tuple(sorted(cell.vcpus)) for cell in planned.cells)
        memory = tuple(min(cell.nodes) for cell in planned.cells)
    cpu_nodes = tuple(
        host.node_of[min(planned.pins[min(own)])] if own else far for own, far in zip(vcpus, memory, strict=True)
    )
    pins = {vcpu: min(pin) for vcpu, pin in planned.pins.items() if vcpu in vm.dedicated and len(pin) == 1}
    if vm.host == planned.host and not vm.pins:
        # The only CPU of a node names none: that of a VM whose CPUs are not known may be others' too.
        pools = [node.cpus & host.usable or node.cpus for node in host.nodes]
        alone = {min(pool) for pool in pools if len(pool) == 1}
        pins = {vcpu: cpu for vcpu, cpu in pins.items() if cpu not in alone}
    cpus = tuple(tuple(sorted(pins[vcpu] for vcpu in own if vcpu in pins)) for own in vcpus)
    return Placed(
        host=planned.host,
        vcpus=vcpus,
        memory_kib=tuple(cell.memory_kib for cell in planned.cells),
        cpu_nodes=cpu_nodes,
        memory_nodes=memory,
        cpus=cpus,
        emulator=min(planned.emulator) if vm.own_emulator and planned.emulator else None,
        devices=tuple(planned.devices),
    )
