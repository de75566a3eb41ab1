"""Which devices the VMs of a host are taken to have now: nobody tells, so those nearest to each that go round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from placer.model.fleet import Fleet
from placer.model.host import LOCAL, Host
from placer.model.vm import MAX_AUTO_CELLS
from placer.planning.compile.flavors import current_positions
from placer.planning.compile.needs import spec_needs

DeviceNodes = tuple[int | None, ...]
"""The node (position in the topology) of each device of a VM, in the order of its needs; None: on no node."""


def devices_now(fleet: Fleet, host: Host, vms: Iterable[int]) -> dict[int, DeviceNodes]:
    """Return VM -> where its devices are taken to be, for the VMs (indices) that are on the host on known nodes.

    Each gets the nearest that is left, one on a node of its VM first; devices that can be served from
    fewer nodes choose before others. Where none are left the nearest are shared: that host has too few. A VM is left
    out where the host has no such device at all.
    """
    position = {node.id: number for number, node in enumerate(host.topology.nodes)}
    left: Counter[tuple[str, int | None]] = Counter()
    for device in host.topology.devices:
        left[device.kind, None if device.node is None else position.get(device.node)] += device.count
    homes: dict[int, tuple[int, ...]] = {}
    requests: list[tuple[int, int, int, str, list[int | None]]] = []
    for vm in vms:
        nodes = current_positions(host, fleet.vms[vm]) if fleet.vms[vm].spec.devices else None
        if nodes is None:
            continue
        homes[vm] = nodes[0]
        units = spec_needs(fleet.vms[vm].spec, locked_cells=len(nodes[0])).device_units(0)
        for slot, (kind, policy, part) in enumerate(units):
            own = nodes[0] if part is None else (nodes[0][part],)
            able = [node for one, node in left if one == kind]
            strict = policy == "required" or part is not None
            near = [node for node in able if not strict or node is None or node in own] or able
            near.sort(key=lambda node: _away(host, own, node))
            requests.append((len(near), vm, slot, kind, near))
    found: dict[int, dict[int, int | None]] = {vm: {} for vm in homes}
    for _, vm, slot, kind, near in sorted(requests, key=lambda one: one[:3]):
        if not near:
            homes.pop(vm, None)
            continue
        node = next((one for one in near if left[kind, one] >= 1), near[0])
        left[kind, node] -= 1
        found[vm][slot] = node
    return {vm: tuple(found[vm][slot] for slot in sorted(found[vm])) for vm in homes}


def have_choice(fleet: Fleet, host: Host, vms: Iterable[int], asked: Mapping[str, int]) -> bool:
    """Tell whether VMs of the host could have other devices than `devices_now` says, and somebody could want those.

    `asked` is how many devices of each kind all VMs of the fleet ask for. A VM that stays may as well have the others,
    which the counts do not know.
    """
    there: Counter[tuple[str, int | None]] = Counter()
    for device in host.topology.devices:
        there[device.kind, device.node if device.node in host.topology.node_ids else None] += device.count
    kinds = {request.kind for vm in vms for request in fleet.vms[vm].spec.devices}
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
