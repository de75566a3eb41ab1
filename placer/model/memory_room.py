"""What memory of a host VMs may take, node by node and page size by page size."""

from __future__ import annotations

from fractions import Fraction

from placer.model.host import Host, NodeKind

Pool = tuple[int, int | None]
"""Node id, and the page size in KiB of its pool: None for ordinary memory."""


def memory_room(host: Host) -> dict[Pool, int]:
    """Return what VMs may take of each pool (KiB): pages not reserved; memory less pools and reserves, × ratio.

    What is reserved for the whole host is taken in equal parts: memory from the nodes with CPUs and memory (from all
    nodes where there is none such), pages from the nodes that pool their size.
    """
    nodes, reserve = host.topology.nodes, host.reserve
    ratio = Fraction(str(host.memory_ratio))  # as a person wrote it: 0.7 is 7/10
    kept = memory_reserved(host)
    room: dict[Pool, int] = {}
    for node in nodes:
        if node.kind is NodeKind.DEVICE:
            continue
        room[node.id, None] = max(0, int((node.memory_kib - node.pool_kib - kept[node.id]) * ratio))
        for size, count in node.pages.items():
            pools = sum(1 for other in nodes if other.pages.get(size))
            whole = reserve.pages.get(None, {}).get(size, 0)
            held = reserve.pages.get(node.id, {}).get(size, 0) + (-(-whole // pools) if pools else 0)
            room[node.id, size] = max(0, count - held) * size
    return room


def memory_reserved(host: Host) -> dict[int, int]:
    """Return KiB reserved on each node: its own, and an equal part of the host's over nodes with CPUs and memory (over
    all nodes where there is none such).
    """
    nodes, reserve = host.topology.nodes, host.reserve.memory_kib
    sharing = [node.id for node in nodes if node.cpus and node.memory_kib] or [node.id for node in nodes]
    part = -(-reserve.get(None, 0) // len(sharing))
    return {node.id: reserve.get(node.id, 0) + (part if node.id in sharing else 0) for node in nodes}
