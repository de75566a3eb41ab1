"""What hosts have, what VMs may take of it, and the goal `excess`: docs/explanation/floating-vms.md.

A host that has all that its VMs take has it in every plan. Where a set of nodes is over now, no kind of VM may take
more of it than it does, and what has no place is counted.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

from benchmarks.truth.floats import Nodes, beyond
from benchmarks.truth.hall import is_over, keep, lack
from benchmarks.truth.model import Expr, NotCoveredError, ReferenceModel, Take, node_cpus, shared_on
from benchmarks.truth.places import Place, device_use, is_at, memory_use, requests, resource_use
from benchmarks.truth.reads.reading import Host, Vm


def vcpu_scale(model: ReferenceModel) -> int:
    """Return the units of a CPU in which those that shared vCPUs lack are whole on every host."""
    return math.lcm(*(host.ratio.numerator for host in model.inventory.hosts))


def place_now(model: ReferenceModel, vm: Vm) -> Place | None:
    """Return the place that a VM has now, None where it is nowhere."""
    if not model.inventory.present(vm):
        return None
    return next((place for place, _ in model.choice[vm.name] if is_at(vm, place)), None)


def residents(model: ReferenceModel, host: Host) -> Iterable[tuple[Vm, Place]]:
    """Yield the VMs that are on a host now with their places."""
    for vm in model.inventory.vms:
        place = place_now(model, vm)
        if place is not None and place.host.name == host.name:
            yield vm, place


def crowded_nodes(model: ReferenceModel) -> frozenset[tuple[str, int]]:
    """Return the (host, node) whose dedicated vCPUs and emulator CPUs have too few CPUs now, or share one."""
    found = set()
    for host in model.inventory.hosts:
        pinned: Counter[int] = Counter()
        count: Counter[int] = Counter()
        for vm, place in residents(model, host):
            for cpu in held_now(vm, place):
                pinned[cpu] += 1
            count.update(threads_now(vm, place))
        for node in host.nodes:
            pool = node.cpus & host.dedicated
            shares = any(many > (cpu in pool) for cpu, many in pinned.items() if cpu in node.cpus)
            if shares or count[node.id] > len(pool) or _lacks_cores(model, host, node.id):
                found.add((host.name, node.id))
    return frozenset(found)


def _lacks_cores(model: ReferenceModel, host: Host, node: int) -> bool:
    """Tell whether VMs that are on a node, nobody knows on which CPUs, take more whole cores than it has, or leave too
    few CPUs to the others: a fleet that runs so is a fact.
    """
    pool = node_cpus(host, node) & host.dedicated
    whole = {core for core in map(host.core_of.__getitem__, pool) if core <= host.usable}
    least, widest = min((len(core & pool) for core in whole), default=0), max(map(len, whole), default=1)
    cores = others = 0
    for vm, place in residents(model, host):
        if place.parts or not vm.dedicated or vm.dedicated & vm.pins.keys():
            continue
        for number, (cell, at) in enumerate(zip(place.cells, place.cpu_nodes, strict=True)):
            own = len(vm.dedicated.intersection(cell.vcpus)) if at == node else 0
            others += vm.own_emulator and not number and at == node
            if vm.thread_policy == "prefer":
                others += own
            else:
                cores += own if vm.thread_policy == "isolate" else -(-own // widest)
    return cores > len(whole) or cores * least + others > len(pool)


def held_now(vm: Vm, place: Place) -> list[int]:
    """Return the CPUs that a VM has for itself, as far as they are known."""
    found = [cpu for part in place.parts for cpu in part.own]
    if not place.parts:
        found += [min(vm.pins[vcpu]) for vcpu in vm.dedicated if vcpu in vm.pins]
        found += sorted(vm.emulator or ()) if vm.own_emulator else []
    return found


def threads_now(vm: Vm, place: Place) -> Counter[int]:
    """Return node -> CPUs that the dedicated vCPUs and the emulator's own CPU of a VM take, idle siblings included."""
    found: Counter[int] = Counter(place.host.node_of[cpu] for part in place.parts for cpu in part.own)
    for number, (cell, node) in enumerate(zip(place.cells, place.cpu_nodes, strict=not place.parts)):
        found[node] += len(vm.dedicated.intersection(cell.vcpus)) + (vm.own_emulator and not number)
    if vm.thread_policy != "prefer" and not place.parts:
        own = {cpu for vcpu in vm.dedicated for cpu in vm.pins.get(vcpu, ())}
        for cpu in frozenset[int]().union(*(place.host.core_of[cpu] for cpu in own)) - own:
            found[place.host.node_of[cpu]] += cpu in place.host.dedicated
    return found


def keep_capacity(model: ReferenceModel) -> None:
    """Constrain the model by all that hosts have, and note the parts of the goal `excess`."""
    for vm in model.inventory.vms:
        for place, var in model.choice[vm.name]:
            for (nodes, size), kib in memory_use(vm, place).items():
                model.memory[place.host.name, size].append(Take(nodes=nodes, vm=vm, units=kib, var=var))
    for host in model.inventory.hosts:
        if not host.failed:
            _memory(model, host)
            _dedicated(model, host)
            _shared(model, host)
            _countables(model, host)


def _memory(model: ReferenceModel, host: Host) -> None:
    now: dict[int | None, list[Take]] = defaultdict(list)
    for vm, place in residents(model, host):
        for (nodes, size), kib in memory_use(vm, place).items():
            now[size].append(Take(nodes=nodes, vm=vm, units=kib, var=1))
    for (name, size), takes in model.memory.items():
        if name != host.name:
            continue
        room: dict[int, Expr] = {
            node.id: (node.memory_kib if node.kind != "device" else 0)
            if size is None
            else node.pools.get(size, 0) * size
            for node in host.nodes
        }
        keep(model, takes, now[size], room)
        if is_over(now[size], room):
            model.over = True
            model.excess["memory"].append(lack(model, takes, room))


def _dedicated(model: ReferenceModel, host: Host) -> None:
    """Give every dedicated vCPU a CPU of the pool that is its alone, but where a node has too few of them now."""
    crowded = [node for node in host.nodes if (host.name, node.id) in model.crowded]
    model.over |= bool(crowded)
    free = {cpu for node in crowded for cpu in node.cpus}
    for (name, cpu), holders in model.holders.items():
        if name == host.name and cpu not in free:
            model.model.add(sum(holders) <= 1)
    for node in crowded:
        pool = node.cpus & host.dedicated
        takes = _threads(model, host, node.id)
        now = [
            Take(nodes=frozenset({node.id}), vm=vm, units=threads_now(vm, place)[node.id], var=1)
            for vm, place in residents(model, host)
        ]
        over = keep(model, takes, now, {node.id: len(pool)}, soft=True)
        for vm in model.inventory.vms:
            for place, var in model.choice[vm.name]:
                if model.inventory.present(vm) and place.host.name == host.name and _other_cell(vm, place, node.id):
                    model.model.add(var + over <= 1)
        shared = []
        for cpu in node.cpus:
            holders = model.holders.get((host.name, cpu), [])
            above = model.model.new_int_var(0, max(1, len(holders)), "CPU shared")
            model.model.add_max_equality(above, [sum(holders) - (cpu in pool), 0])
            shared.append(above)
            alone = [(var, over) for var in _arrivals(model, host, node.id, cpu)]
            for left in model.left:
                at = model.own.get((left.vm.name, host.name, left.cell), {})
                if (left.host, left.node) == (host.name, node.id) and cpu in at:
                    alone.append((at[cpu], left.var if left.known else 0))
                    if cpu not in pool:
                        model.model.add(at[cpu] <= left.var)
                    if left.known and cpu in left.pins:
                        model.model.add(at[cpu] >= left.var)
            for var, unless in alone:
                for other in holders:
                    if other.index != var.index:
                        model.model.add(var + other <= 1 + unless)
        most = model.model.new_int_var(0, 10**4, "dedicated vCPUs without a CPU")
        model.model.add_max_equality(most, [sum(shared), sum(take.units * take.var for take in takes) - len(pool)])
        model.excess["CPUs"].append(most)


def beside_now(vm: Vm, place: Place) -> Counter[Nodes]:
    """Return nodes -> CPUs that a VM takes beside shared vCPUs: of the shared pool what fixed pins have, else any."""
    host = place.host
    floated: Counter[int] = Counter()
    if vm.pins_fixed:
        floated.update(host.node_of[cpu] for cpu in set(held_now(vm, place)) & host.shared)
    found: Counter[Nodes] = Counter({frozenset({node}): count for node, count in floated.items()})
    for node, count in {} if host.split else threads_now(vm, place).items():
        found[_any_of(host, node)] += max(0, count - floated[node])
    return found


def _any_of(host: Host, node: int) -> Nodes:
    """Return a node with its CPUs that nobody may float over, which -1 - node stands for, where it has any."""
    return frozenset({node, -1 - node} if node_cpus(host, node) & (host.dedicated - host.shared) else {node})


def _other_cell(vm: Vm, place: Place, node: int) -> bool:
    """Tell whether a VM has a cell of dedicated vCPUs on a node of its host in place of another one."""
    if vm.host != place.host.name or vm.nodes is None or len(vm.nodes) != len(place.cpu_nodes):
        return False
    more: Counter[tuple[int, int, int]] = Counter()
    for cell, then, before in zip(place.cells, place.cpu_nodes, vm.nodes, strict=True):
        own = len(vm.dedicated.intersection(cell.vcpus))
        if own:
            more[own, len(cell.vcpus), cell.memory_kib] += (then == node) - (before == node)
    return any(count > 0 for count in more.values())


def _arrivals(model: ReferenceModel, host: Host, node: int, cpu: int) -> list[Expr]:
    """Return who may newly come to have a CPU of a node: VMs that are not on it now."""
    found = []
    for vm in model.inventory.vms:
        if model.inventory.present(vm) and vm.host == host.name and node in (vm.nodes or ()):
            continue
        places = [at for (name, on, _), at in model.own.items() if (name, on) == (vm.name, host.name)]
        places += [model.emulator.get((vm.name, host.name), {})]
        found += [at[cpu] for at in places if cpu in at]
    return found + [var for (name, slot), var in model.slots.items() if (name, slot) == (host.name, cpu)]


def _threads(model: ReferenceModel, host: Host, node: int, *, apart: bool = False, floated: bool = False) -> list[Take]:
    """Return what dedicated vCPUs and emulator CPUs take of a node's CPUs, idle siblings included; with `apart` of the
    sets of nodes that `beside_now` tells, with `floated` only of those that shared vCPUs float over.
    """
    cpus = node_cpus(host, node) & host.shared if floated else node_cpus(host, node)
    nodes = _any_of(host, node) if apart else frozenset({node})

    def of(vm: Vm, cpu: int) -> Nodes:
        return frozenset({node}) if apart and vm.pins_fixed and cpu in host.shared else nodes

    takes = []
    for vm in model.inventory.vms:
        for (name, on, _), at in model.own.items():
            if (name, on) == (vm.name, host.name):
                takes += [Take(nodes=of(vm, cpu), vm=vm, units=1, var=var) for cpu, var in at.items() if cpu in cpus]
        for cpu, var in model.emulator.get((vm.name, host.name), {}).items():
            if cpu in cpus:
                takes.append(Take(nodes=of(vm, cpu), vm=vm, units=1, var=var))
        takes += [
            Take(nodes=nodes, vm=vm, units=left.vcpus, var=left.var)
            for left in model.left
            if (left.vm.name, left.host, left.node) == (vm.name, host.name, node) and not left.known
        ]
        for place, var in model.choice[vm.name]:
            own = [cpu for part in place.parts for cpu in part.own if cpu in cpus]
            if place.host.name == host.name:
                takes += [Take(nodes=of(vm, cpu), vm=vm, units=1, var=var) for cpu in own]
    takes += [
        Take(nodes=nodes, vm=None, units=1, var=var)
        for (name, cpu), var in model.slots.items()
        if name == host.name and cpu in cpus
    ]
    for cpu in cpus & host.dedicated:
        takes += [Take(nodes=nodes, vm=vm, units=1, var=idle) for vm, idle in model.idle.get((host.name, cpu), ())]
    return takes


def shared_use(vm: Vm, place: Place) -> Counter[Nodes]:
    """Return nodes -> shared vCPUs of a placed VM that float over them, as far as they may have a CPU each."""
    found: Counter[Nodes] = Counter()
    for part in place.parts:
        if part.floating:
            found[part.cpus] += part.floating - beyond(place.host, part)
    for node, count in {} if place.parts else shared_on(vm, place.cells, place.cpu_nodes).items():
        found[frozenset({node})] += count
    return found


def _shared(model: ReferenceModel, host: Host) -> None:
    """Let shared vCPUs float over the CPUs of their nodes that nobody takes, `ratio` of them a CPU."""
    up, down = host.ratio.numerator, host.ratio.denominator
    takes: list[Take] = []
    for vm in model.inventory.vms:
        for place, var in model.choice[vm.name]:
            if place.host.name == host.name:
                takes += [
                    Take(nodes=nodes, vm=vm, units=down * count, var=var)
                    for nodes, count in shared_use(vm, place).items()
                ]
                more = sum(beyond(host, part) for part in place.parts)
                if more:
                    model.excess["vCPUs"].append(more * vcpu_scale(model) * var)
    if not takes:
        return
    for node in host.nodes:
        for cpu in sorted(node.cpus & host.shared):
            model.taken[host.name, cpu] = model.any_of(model.takers[host.name, cpu], f"{host.name} {cpu} taken") + 0
    pool = {node.id: sorted(node.cpus & host.shared) for node in host.nodes}
    alone: dict[int, Expr] = {node: up * len(cpus) for node, cpus in pool.items()}
    free = {node: up * sum(1 - model.taken[host.name, cpu] for cpu in cpus) for node, cpus in pool.items()}
    now, threads, others = [], [], []
    for vm, place in residents(model, host):
        now += [Take(nodes=nodes, vm=vm, units=down * count, var=1) for nodes, count in shared_use(vm, place).items()]
        threads += [
            Take(nodes=frozenset({node}), vm=vm, units=up * count, var=1)
            for node, count in threads_now(vm, place).items()
        ]
        others += [Take(nodes=nodes, vm=vm, units=up * n, var=1) for nodes, n in beside_now(vm, place).items()]
    keep(model, takes, now, alone)
    beside = {**alone, **{-1 - node.id: up * len((node.cpus & host.dedicated) - host.shared) for node in host.nodes}}
    own, either = (
        [
            Take(nodes=one.nodes, vm=one.vm, units=up * one.units, var=one.var)
            for node in host.nodes
            if node.cpus and not host.split
            for one in _threads(model, host, node.id, apart=apart, floated=not apart)
        ]
        for apart in (False, True)
    )
    crowds = is_over(now, alone) or is_over([*now, *others], beside)
    keep(model, takes, now, free, beside=(own, [] if host.split else threads) if crowds else None)
    model.over |= crowds
    crowded = any((host.name, node.id) in model.crowded for node in host.nodes)
    if (crowds or crowded) and not host.split:
        keep(model, [*takes, *either], [*now, *others], beside, soft=True)
    if crowds and any(shared_use(vm, place) for vm, place in residents(model, host)):
        each = vcpu_scale(model) // up
        lacks = [lack(model, takes, alone)]
        if not host.split:
            lacks.append(lack(model, [*takes, *either], beside))
        most = model.model.new_int_var(0, 10**7, "CPUs that shared vCPUs lack")
        model.model.add_max_equality(most, lacks)
        model.excess["vCPUs"].append(each * most)


def _has_more(model: ReferenceModel, host: Host, kind: str) -> bool:
    """Tell whether VMs that are on a host have more devices of a kind than it has."""
    has = sum(count for (own, _), count in host.devices.items() if own == kind)
    return sum(own == kind for vm, place in residents(model, host) for own, _, _ in requests(vm, place.cells)) > has


def _countables(model: ReferenceModel, host: Host) -> None:
    """Keep devices; what is short of a free resource now may stay so while nobody comes who takes of it."""
    devices: dict[tuple[str, int | None], list[Expr]] = defaultdict(list)
    resources: dict[tuple[int | None, str], list[tuple[int, Vm, Place, Expr]]] = defaultdict(list)
    for vm in model.inventory.vms:
        for place, var in model.choice[vm.name]:
            if place.host.name == host.name:
                for device, count in device_use(vm, place).items():
                    devices[device].append(count * var)
                for resource, amount in resource_use(vm, place).items():
                    resources[resource].append((amount, vm, place, var))
    for device, terms in devices.items():
        if _has_more(model, host, device[0]):
            raise NotCoveredError("VMs that have more devices than their host")
        model.model.add(sum(terms) <= host.devices.get(device, 0))
    has: dict[tuple[int | None, str], int] = {(None, name): amount for name, amount in host.resources.items()}
    has.update({(node.id, name): amount for node in host.nodes for name, amount in node.resources.items()})
    for resource, parts in resources.items():
        room = has.get(resource, 0)
        here = sum(resource_use(vm, place)[resource] for vm, place in residents(model, host))
        total = sum(amount * var for amount, _, _, var in parts)
        if here <= room:
            model.model.add(total <= room)
            continue
        model.over = True
        over = model.boolean(f"{resource} is over")
        model.model.add(total <= room).only_enforce_if(over.negated())
        model.model.add(
            sum(var for _, vm, place, var in parts if not (model.inventory.present(vm) and is_at(vm, place))) == 0
        ).only_enforce_if(over)
        above = model.model.new_int_var(0, 10**7, "resource lacked")
        model.model.add_max_equality(above, [total - room, 0])
        model.excess["others"].append(above)
