"""Which devices the VMs of a host have now: those whose addresses are told, else the nearest that go round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from placer.model.fleet import Fleet
from placer.model.host import LOCAL, Host
from placer.model.sets import known_nodes
from placer.model.vm import MAX_AUTO_CELLS, Movable, Vm
from placer.planning.compile.flavors import current_positions
from placer.planning.compile.needs import spec_needs

DeviceNodes = tuple[int | None, ...]
"""The node (position in the topology) of each device of a VM, in the order of its needs; None: on no node."""


def devices_now(fleet: Fleet, host: Host, vms: Iterable[int]) -> dict[int, DeviceNodes]:
    """Return VM -> where its devices are taken to be, for the VMs (indices) that are on the host on known nodes.

    Devices whose addresses are known are where they are. Of the others each gets the nearest that is left, one on a
    node of its VM first; devices that can be served from fewer nodes choose before others. Where none are left the
    nearest are shared: that host has too few. A VM is left out where the host has no such device at all.
    """
    position = {node.id: number for number, node in enumerate(host.topology.nodes)}
    left: Counter[tuple[str, int | None]] = Counter()
    for device in host.topology.devices:
        left[device.kind, None if device.node is None else position.get(device.node)] += device.count
    homes: dict[int, tuple[int, ...]] = {}
    found: dict[int, dict[int, int | None]] = {}
    requests: list[tuple[int, int, int, str, list[int | None]]] = []
    for vm in vms:
        nodes = current_positions(host, fleet.vms[vm]) if fleet.vms[vm].spec.devices else None
        if nodes is None:
            # What a VM that floats is known to have is nobody else's either.
            if fleet.vms[vm].current is not None and fleet.vms[vm].spec.devices:
                units = spec_needs(fleet.vms[vm].spec, locked_cells=1).device_units(0)
                held = known_slots(fleet.vms[vm], units, host)
                left.subtract((units[slot][0], node) for slot, node in held.items())
            continue
        homes[vm] = nodes[0]
        units = spec_needs(fleet.vms[vm].spec, locked_cells=len(nodes[0])).device_units(0)
        held = known_slots(fleet.vms[vm], units, host)
        found[vm] = held
        left.subtract((units[slot][0], node) for slot, node in held.items())
        for slot, (kind, policy, part) in enumerate(units):
            if slot in held:
                continue
            own = nodes[0] if part is None else (nodes[0][part],)
            able = [node for one, node in left if one == kind]
            strict = policy == "required" or part is not None
            near = [node for node in able if not strict or node is None or node in own] or able
            near.sort(key=lambda node: _away(host, own, node))
            requests.append((len(near), vm, slot, kind, near))
    for _, vm, slot, kind, near in sorted(requests, key=lambda one: one[:3]):
        if not near:
            if found[vm] and fleet.vms[vm].movable is Movable.NO:
                found[vm][slot] = None  # what it is known to have counts all the same
            else:
                homes.pop(vm, None)
            continue
        node = next((one for one in near if left[kind, one] >= 1), near[0])
        left[kind, node] -= 1
        found[vm][slot] = node
    return {vm: tuple(found[vm][slot] for slot in sorted(found[vm])) for vm in homes}


def known_slots(vm: Vm, units: Sequence[tuple[str, str, int | None]], host: Host) -> dict[int, int | None]:
    """Return slot -> the node (position) of the devices that a VM is known to have on its host.

    `units` are kind, policy and part of each of its devices.
    """
    slots: dict[int, int | None] = {}
    if vm.current is None or not vm.current.devices:
        return slots
    names = frozenset(vm.current.devices)
    position = {node.id: number for number, node in enumerate(host.topology.nodes)}
    for device in host.topology.devices:
        for _ in range(device.held(names)):
            slot = next((one for one, unit in enumerate(units) if unit[0] == device.kind and one not in slots), None)
            if slot is not None:
                slots[slot] = None if device.node is None else position.get(device.node)
    return slots


def have_choice(fleet: Fleet, host: Host, vms: Iterable[int], asked: Mapping[str, int]) -> bool:
    """Tell whether VMs of the host could have other devices than `devices_now` says, and somebody could want those.

    `asked` is how many devices of each kind all VMs of the fleet ask for. A VM that stays may as well have the others,
    which the counts do not know.
    """
    there: Counter[tuple[str, int | None]] = Counter()
    for device in host.topology.devices:
        there[device.kind, device.node if device.node in host.topology.node_ids else None] += device.count
    kinds: set[str] = set()
    for vm in vms:
        current = fleet.vms[vm].current
        # A VM that is not bound to nodes is taken to have those nearest to it wherever it may move.
        sure = current is not None and known_nodes(fleet.vms[vm]) is not None
        names = frozenset(current.devices if current and sure else ())
        own: Counter[str] = Counter()
        for device in host.topology.devices if names else ():
            own[device.kind] += device.held(names)
        kinds |= {one.kind for one in fleet.vms[vm].spec.devices if one.per == "cell" or own[one.kind] < one.count}
    for kind in kinds:
        counts = [count for (own, _), count in there.items() if own == kind]
        if len(counts) > 1 and min(counts) < asked[kind]:
            return True
    return False


def devices_asked(fleet: Fleet) -> Counter[str]:
    """Return how many devices of each kind all VMs ask for at most."""
    asked: Counter[str] = Counter()
    for vm in fleet.vms:
        for request in vm.spec.devices:
            asked[request.kind] += request.count * (MAX_AUTO_CELLS if request.per == "cell" else 1)
    return asked


def _away(host: Host, own: tuple[int, ...], node: int | None) -> tuple[bool, float]:
    """Return an order: devices on no node or on one of the VM's first, then by their distances from all of them."""
    if node is None:
        return False, 1.0
    return node not in own, sum(host.topology.distances[mine][node] for mine in own) / (LOCAL * len(own))
