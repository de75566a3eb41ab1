"""Which devices the VMs of a host are taken to have now: nobody tells, so those nearest to each that go round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from placer.model.fleet import Fleet
from placer.model.host import LOCAL, Host
from placer.planning.compile.flavors import current_positions

DeviceNodes = tuple[int | None, ...]
"""The node (position in the topology) of each device request of a VM, in the order of its needs; None: on no node."""


def devices_now(fleet: Fleet, host: Host, vms: Iterable[int]) -> dict[int, DeviceNodes]:
    """Return VM -> where its devices are taken to be, for the VMs (indices) that are on the host on known nodes.

    Each request gets its nearest devices that are left, one on a node of its VM first; requests that can be served from
    fewer nodes choose before others. Where none are left the nearest are shared: that host has too few. A VM is left
    out where the host has no such device at all.
    """
    position = {node.id: number for number, node in enumerate(host.topology.nodes)}
    left: Counter[tuple[str, int | None]] = Counter()
    for device in host.topology.devices:
        left[device.kind, None if device.node is None else position.get(device.node)] += device.count
    homes: dict[int, tuple[int, ...]] = {}
    requests: list[tuple[int, int, int, int, str, list[int | None]]] = []
    for vm in vms:
        nodes = current_positions(host, fleet.vms[vm]) if fleet.vms[vm].spec.devices else None
        if nodes is None:
            continue
        homes[vm] = nodes[0]
        wanted = sorted((one.kind, one.policy, one.count) for one in fleet.vms[vm].spec.devices)
        for slot, (kind, policy, count) in enumerate(wanted):
            able = [node for own, node in left if own == kind]
            near = [node for node in able if policy != "required" or node is None or node in nodes[0]] or able
            near.sort(key=lambda node: _away(host, nodes[0], node))
            requests.append((len(near), -count, vm, slot, kind, near))
    found: dict[int, dict[int, int | None]] = {vm: {} for vm in homes}
    for _, many, vm, slot, kind, near in sorted(requests, key=lambda one: one[:4]):
        if not near:
            homes.pop(vm, None)
            continue
        node = next((one for one in near if left[kind, one] >= -many), near[0])
        left[kind, node] += many
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
    """Return how many devices of each kind all VMs ask for."""
    asked: Counter[str] = Counter()
    for vm in fleet.vms:
        for request in vm.spec.devices:
            asked[request.kind] += request.count
    return asked


def _away(host: Host, own: tuple[int, ...], node: int | None) -> tuple[bool, float]:
    """Return an order: devices on no node or on one of the VM's first, then by their distances from all of them."""
    if node is None:
        return False, 1.0
    return node not in own, sum(host.topology.distances[mine][node] for mine in own) / (LOCAL * len(own))
