"""Check what a host has: memory and page pools of each node, devices, free resources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from placer.check.findings import Findings, some
from placer.measure.as_now import as_now
from placer.measure.cpu_use import CpuUse, cpu_use
from placer.measure.measure import cells_for_devices, device_places
from placer.measure.sets_taken import Nodes, beside_shared, room_beside, taken_by
from placer.measure.shortage import BEYOND, Short, memory_pools, short_of
from placer.model.host import Host, Topology
from placer.model.plan import Change, PlanVm
from placer.model.units import format_kib
from placer.model.vm import CellMode, CpuPolicy, Vm

Placed = Sequence[tuple[Vm, PlanVm]]
MOST_UNIONS = 256
BESIDE = "CPUs for shared vCPUs beside dedicated ones"


def check_excess(host: Host, placed: Placed, residents: Sequence[Vm], shorts: Sequence[Short], found: Findings) -> None:
    """Note what of a host has no place, and refuse that anything came to a place that is over.

    `residents` are the VMs that are there now, `shorts` what has no place under the plan. On every set of nodes that
    is over, which lacks more than any part of it does, no kind of VM takes more than now; what stays as it is may stay,
    and is only told.
    """
    for short in shorts:
        if short.what == BEYOND:
            found.warn(f"host {host.name!r}: {short.units:g} {BEYOND}: they wait for each other")
    now = [(vm, planned) for vm in residents if (planned := as_now(vm, host)) is not None]
    before, after = _by_kind(host, now), _by_kind(host, placed)
    for resource, room in _rooms(host, placed).items():
        for union in sorted(_unions(_sets(after, resource)), key=lambda nodes: (len(nodes), sorted(nodes))):
            total = sum(_within(kinds, resource, union) for kinds in after.values())
            has = sum(room.get(node, 0) for node in union)
            if total - has <= _lacked_inside(after, resource, union, room):
                continue
            message = f"host {host.name!r}, {_nodes_words(union)}: {_words(host, resource, union, has, after)}"
            more = [
                kind
                for kind, kinds in after.items()
                if _within(kinds, resource, union) > _within(before.get(kind, {}), resource, union)
            ]
            others = [p.name for vm, p in placed if resource == ("CPUs", None) and _other_cell(host, vm, p, union)]
            if others:
                text = f"{message}; VMs like {some(others)} have a cell there that is elsewhere now"
                found.fault(text, where="vms.cells", host=host.name)
            elif not more:
                then = sum(_within(kinds, resource, union) for kinds in before.values())
                found.warn(f"{message}; now they take {_amount(resource, host, then)}")
            else:
                names = [p.name for vm, p in placed if _kind(vm) in more]
                text = f"{message}; VMs like {some(names)} take more of it than now"
                found.fault(text, where="vms.cells", host=host.name)


def check_taken(
    host: Host,
    placed: Placed,
    lacks: Mapping[Nodes, Fraction],
    residents: Sequence[Vm],
    shorts: Sequence[Short],
    arrivals: set[str],
    found: Findings,
) -> None:
    """Refuse that the CPUs which a plan really takes leave too few to who floats over a node or several, and fewer than
    now; over several also where anything comes or gets other CPUs.

    What is over by count alone `check_excess` tells. `lacks` is what `lacked_beside` finds, `residents` are VMs that
    are there now.
    """
    if not lacks or any(short.what == "shared vCPUs" for short in shorts):
        return
    now = [(vm, planned) for vm in residents if (planned := as_now(vm, host)) is not None]
    before = lacked_beside(cpu_use(host, now))
    changes = any(planned.name in arrivals or planned.change is not Change.NONE for _, planned in placed)
    # Who stays on CPUs that nobody knows has some: to name them is no reason why others should have fewer than now.
    stays = not any(
        planned.name in arrivals
        or (planned.change is not Change.NONE and vm.current is not None and bool(vm.current.pins))
        for vm, planned in placed
    )
    for nodes, cpus in lacks.items():
        message = (
            f"host {host.name!r}, {_nodes_words(nodes)}: shared vCPUs lack {float(cpus):g} CPUs beside those that are"
            f" taken, at overcommit {host.cpu_ratio:g}"
        )
        then = sum(lack for one, lack in before.items() if one <= nodes)
        if not stays and (cpus > then or (len(nodes) > 1 and changes)):
            found.fault(message, where="vms.pins", host=host.name)
        else:
            found.warn(f"{message}; now they lack {float(then):g}")


def lacked_beside(use: CpuUse) -> dict[Nodes, Fraction]:
    """Return nodes -> CPUs that shared vCPUs lack there beside what is taken, where they do: nodes that sets to float
    over share stand together.

    By count others might be taken: isolated ones, over which nobody floats.
    """
    host, wanted = use.host, Counter[Nodes]()
    if host.shared_pool == host.dedicated_pool and not any(planned.bound for _, planned in use.placed):
        return {}
    for vm, planned in use.placed:
        if planned.bound or vm.spec.cpu_policy is not CpuPolicy.DEDICATED:
            wanted.update(taken_by(vm, host, planned).shared)
    ratio = Fraction(str(host.cpu_ratio))
    left = {node.id: len((node.cpus & host.shared_pool) - use.taken) for node in host.topology.nodes}
    lacks = {}
    for nodes in _joined(wanted):
        units, _ = short_of(
            {own: many * ratio.denominator for own, many in wanted.items() if own <= nodes},
            {node: left.get(node, 0) * ratio.numerator for node in nodes},
        )
        if units:
            lacks[nodes] = Fraction(units) / ratio.numerator
    return lacks


def _joined(sets: Iterable[Nodes]) -> list[Nodes]:
    """Return the sets, those that share nodes as one."""
    out: list[Nodes] = []
    for nodes in sets:
        touched = [one for one in out if one & nodes]
        out = [*(one for one in out if not one & nodes), nodes.union(*touched)]
    return out


def _other_cell(host: Host, vm: Vm, planned: PlanVm, nodes: Nodes) -> bool:
    """Tell whether a VM that is on the host has a cell of dedicated vCPUs on these nodes in place of another one."""
    now, spec = vm.current, vm.spec
    if now is None or now.host != host.name or not now.nodes or len(now.nodes) != len(planned.cells) or planned.bound:
        return False
    node_of = host.topology.node_of_cpu
    more: Counter[tuple[int, int, int]] = Counter()
    for cell, before in zip(planned.cells, now.nodes, strict=True):
        own = [vcpu for vcpu in cell.vcpus if spec.is_dedicated(vcpu)]
        if own:
            alike = (len(own), len(cell.vcpus), cell.memory_kib)
            more[alike] += (node_of[min(planned.pins[own[0]])] in nodes) - (before in nodes)
    return any(count > 0 for count in more.values())


Resource = tuple[str, int | None]
"""What is counted, and the page size of its pool."""
Kinds = dict[tuple[Resource, Nodes], int]


def _kind(vm: Vm) -> object:
    spec = vm.spec
    return (spec.vcpus, spec.memory_kib, spec.page_sizes, spec.cpu_policy, spec.thread_policy, spec.overhead_taken_kib)


def _by_kind(host: Host, placed: Iterable[tuple[Vm, PlanVm]]) -> dict[object, Kinds]:
    """Return what the VMs of each kind take of each resource, by sets of nodes."""
    out: dict[object, Kinds] = {}
    beside = room_beside(host)
    ratio = Fraction(str(host.cpu_ratio))
    for vm, planned in placed:
        kinds = out.setdefault(_kind(vm), {})
        taken = taken_by(vm, host, planned)
        parts: list[tuple[Resource, Nodes, int]] = [
            (("memory", size), nodes, kib) for (nodes, size), kib in taken.memory.items()
        ]
        parts += [(("shared vCPUs", None), nodes, many * ratio.denominator) for nodes, many in taken.shared.items()]
        parts += [((BESIDE, None), nodes, many * ratio.denominator) for nodes, many in taken.shared.items()]
        for node, many in taken.threads.items():
            parts.append((("CPUs", None), frozenset((node,)), many))
        parts += [((BESIDE, None), nodes, many * ratio.numerator) for nodes, many in beside_shared(taken, host, beside)]
        for resource, nodes, units in parts:
            kinds[resource, nodes] = kinds.get((resource, nodes), 0) + units
    return out


def _sets(after: Mapping[object, Kinds], resource: Resource) -> set[Nodes]:
    return {nodes for kinds in after.values() for what, nodes in kinds if what == resource}


def _rooms(host: Host, placed: Placed) -> dict[Resource, dict[int, int]]:
    """Return what each node has of each resource, in the units of `_by_kind`.

    Pools that the host does not tell of hold what is there: nobody new may take of them.
    """
    rooms: dict[Resource, dict[int, int]] = {("memory", size): room for size, room in memory_pools(host).items()}
    ratio = Fraction(str(host.cpu_ratio))
    nodes = host.topology.nodes
    rooms["shared vCPUs", None] = {node.id: ratio.numerator * len(node.cpus & host.shared_pool) for node in nodes}
    rooms["CPUs", None] = {node.id: len(node.cpus & host.dedicated_pool) for node in nodes}
    rooms[BESIDE, None] = {node: ratio.numerator * cpus for node, cpus in room_beside(host).items()}
    rooms.update({("memory", size): {} for size in _sizes(placed) if ("memory", size) not in rooms})
    return rooms


def lacks_pools(host: Host, placed: Placed) -> bool:
    """Tell whether VMs take pages of a size that the host tells no pool of."""
    if not host.topology.pages_told:
        return False
    told = {size for node in host.topology.nodes for size in node.pages}
    return any(size not in told for size in _sizes(placed) if size != host.topology.page_kib)


def _sizes(placed: Placed) -> set[int | None]:
    return {size for vm, _ in placed for size in vm.spec.page_sizes if size not in (None, 4)}


def _within(kinds: Kinds, resource: Resource, union: Nodes) -> int:
    return sum(units for (what, nodes), units in kinds.items() if what == resource and nodes <= union)


def _lacked_inside(after: Mapping[object, Kinds], resource: Resource, union: Nodes, room: Mapping[int, int]) -> int:
    """Return the most that any part of a set of nodes lacks: whichever it is, it is without one of the nodes."""
    wanted: Counter[Nodes] = Counter()
    for kinds in after.values():
        for (what, nodes), units in kinds.items():
            if what == resource and nodes < union:
                wanted[nodes] += units
    parts = [{nodes: units for nodes, units in wanted.items() if node not in nodes} for node in union]
    return max(short_of(part, room)[0] for part in parts)


def _unions(sets: set[Nodes]) -> set[Nodes]:
    """Return the sets and all unions of sets that share a node."""
    found, queue = set(sets), list(sets)
    while queue and len(found) < MOST_UNIONS:
        one = queue.pop()
        for other in list(found):
            if one & other and one | other not in found:
                found.add(one | other)
                queue.append(one | other)
    return found


def _nodes_words(nodes: Nodes) -> str:
    ids = sorted(node for node in nodes if node >= 0)
    return f"node {ids[0]}" if len(ids) == 1 else f"nodes {', '.join(map(str, ids))}"


def _words(host: Host, resource: Resource, union: Nodes, has: float, after: Mapping[object, Kinds]) -> str:
    total = sum(_within(kinds, resource, union) for kinds in after.values())
    what, size = resource
    if what == "memory":
        pool = "memory" if size is None else f"the pool of {format_kib(size)} pages"
        return f"{pool} has {format_kib(int(has))}, and VMs take {format_kib(int(total))}"
    if what == "CPUs":
        return f"{has:g} CPUs for dedicated vCPUs, and VMs take {total:g}"
    ratio = Fraction(str(host.cpu_ratio))
    shared = sum(_within(kinds, ("shared vCPUs", None), union) for kinds in after.values()) / ratio.denominator
    cpus = (has - (total - shared * ratio.denominator if what == BESIDE else 0)) / ratio.numerator
    return (
        f"{shared:g} shared vCPUs, and {cpus:g} unpinned CPUs × overcommit {host.cpu_ratio:g} carry"
        f" {cpus * host.cpu_ratio:g}"
    )


def _amount(resource: Resource, host: Host, units: float) -> str:
    if resource[0] == "memory":
        return format_kib(int(units))
    return f"{units if resource[0] == 'CPUs' else units / Fraction(str(host.cpu_ratio)).denominator:g}"


def check_devices(host: Host, placed: Placed, arrivals: set[str], found: Findings) -> None:
    """Note every device and free resource of which a host has less than its VMs take.

    What is short now already may stay so, as long as none of `arrivals` (VMs that are not on their planned nodes now)
    takes of it. That warns.
    """
    if any(vm.spec.devices for vm, _ in placed):
        _devices(host, placed, arrivals, found)
    if any(vm.spec.resources for vm, _ in placed):
        _resources(host, placed, arrivals, found)


def _devices(host: Host, placed: Placed, arrivals: set[str], found: Findings) -> None:
    """Every request has its devices; required ones hang on a node of the VM; none is given twice.

    A VM that stays keeps the devices that it has, so it may leave open on which node they are.
    """
    kinds: Counter[str] = Counter()
    there: Counter[tuple[str, int | None]] = Counter()
    for device in host.topology.devices:
        node = device.node if device.node in host.topology.node_ids else None
        kinds[device.kind] += device.count
        there[device.kind, node] += device.count
    used: Counter[str] = Counter()
    given: Counter[tuple[str, int | None]] = Counter()
    newly: set[str] = set()
    newly_on: set[tuple[str, int | None]] = set()
    node_of = host.topology.node_of_cpu
    for vm, planned in placed:
        arrives = planned.name in arrivals
        cells = cells_for_devices(vm.spec, planned)
        wanted = [one.kind for one, count in vm.spec.device_requests(cells) for _ in range(count)]
        if [kind for kind, _ in planned.devices] != wanted:
            named = [kind for kind, _ in planned.devices]
            found.vm(planned, f"its devices are of the kinds {named}, and it asks for {wanted}", where="devices")
            continue
        own = {node_of[cpu] for pin in planned.pins.values() for cpu in pin}
        for message in _by_cell(vm, planned, node_of) if arrives else ():
            found.vm(planned, message, where="devices")
        for request, node in device_places(vm.spec, planned):
            used[request.kind] += 1
            if arrives:
                newly_on.add((request.kind, node))
            if arrives and (vm.current is None or vm.current.host != host.name):
                newly.add(request.kind)
            if node is not None or arrives:
                given[request.kind, node] += 1
            if request.policy == "required" and node is not None and node not in own and arrives:
                found.vm(
                    planned,
                    f"requires a {request.kind} on a node of its own, and has one on node {node}",
                    where="devices",
                )
            if request.policy == "required" and node is None and arrives and not there[request.kind, None]:
                found.vm(
                    planned, f"requires a {request.kind} on a node of its own, and the plan names none", where="devices"
                )
    for kind, count in sorted(used.items()):
        if count > kinds[kind]:
            message = f"host {host.name!r} has {kinds[kind]} devices of kind {kind}, and its VMs have {count}"
            _short(message, bool(newly & {kind}), "devices", host, found)
    for (kind, node), count in sorted(given.items(), key=str):
        if count > there[kind, node] and used[kind] <= kinds[kind]:
            where = "on no node" if node is None else f"on node {node}"
            message = (
                f"host {host.name!r} has {there[kind, node]} devices of kind {kind} {where}, and its VMs have {count}"
            )
            _short(message, (kind, node) in newly_on, "devices", host, found)


def _by_cell(vm: Vm, planned: PlanVm, node_of: Mapping[int, int]) -> Iterator[str]:
    """Devices that are counted by cell hang on the nodes of the cells, so many on each."""
    homes = Counter(node_of[min(planned.pins[min(cell.vcpus)])] for cell in planned.cells if cell.vcpus)
    if vm.spec.cell_mode is CellMode.NONE:
        return
    for request in dict.fromkeys(one for one in vm.spec.devices if one.per == "cell"):
        twice = vm.spec.devices.count(request)
        found = Counter(node for one, node in device_places(vm.spec, planned) if one == request)
        for node, cells in sorted(homes.items()):
            if found[node] != cells * request.count * twice:
                yield f"wants {request.count} {request.kind} for every cell, and has {found[node]} on node {node}"


def _resources(host: Host, placed: Placed, arrivals: set[str], found: Findings) -> None:
    """A free resource that nodes have is taken in equal parts on the nodes of the cells' vCPUs, else from the host."""
    nodes = host.topology.nodes
    on_nodes = {name for node in nodes for name in node.resources}
    has: dict[tuple[int | None, str], int] = {(None, name): amount for name, amount in host.resources.items()}
    has.update({(node.id, name): amount for node in nodes for name, amount in node.resources.items()})
    used: Counter[tuple[int | None, str]] = Counter()
    newly: set[tuple[int | None, str]] = set()
    for vm, planned in placed:
        for name, amount in vm.spec.resources.items():
            parts: Iterable[int | None] = list(_cell_nodes(host.topology, vm, planned)) if name in on_nodes else [None]
            parts = list(parts)
            for node in parts:
                used[node, name] += -(-amount // len(parts))
                if planned.name in arrivals:
                    newly.add((node, name))
    for (node, name), amount in sorted(used.items(), key=str):
        if amount > has.get((node, name), 0):
            where = "" if node is None else f", node {node},"
            message = f"host {host.name!r}{where} has {has.get((node, name), 0)} of {name}, and its VMs take {amount}"
            _short(message, (node, name) in newly, "vms", host, found)


def _cell_nodes(topology: Topology, vm: Vm, planned: PlanVm) -> Iterator[int]:
    """Yield the node of each cell's vCPUs, of each part's where a flat guest is spread over nodes."""
    for cell in planned.cells:
        nodes = {topology.node_of_cpu[cpu] for vcpu in cell.vcpus for cpu in planned.pins[vcpu]}
        yield from sorted(nodes) if vm.spec.interleave > 1 else sorted(nodes)[:1]


def _short(message: str, newly: bool, where: str, host: Host, found: Findings) -> None:
    if newly:
        found.fault(message, where=where, host=host.name)
    else:
        found.warn(f"{message}; all of them are there already")
