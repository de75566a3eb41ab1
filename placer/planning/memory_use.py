"""What memory of a host a plan takes, node by node and page size by page size."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from placer.model.host import Host, NodeKind, Topology
from placer.model.plan import PlanVm
from placer.model.vm import VmSpec

Pool = tuple[int, int | None]
"""Node id, and the page size in KiB of its pool: None for ordinary memory."""


def memory_taken(spec: VmSpec, topology: Topology, planned: PlanVm) -> Iterator[tuple[Pool, int]]:
    """Yield (pool, KiB) of everything a placed VM takes.

    Where a page size is set, a cell takes whole pages on each of its nodes. The overhead is taken from ordinary memory
    in equal parts, each rounded up to a KiB: a part a node of every cell.
    """
    size = pool_size(spec, topology)
    page = spec.page_kib or 1
    parts = [node for cell in planned.cells for node in cell.nodes]
    for cell in planned.cells:
        for node, kib in cell.nodes.items():
            yield (node, size), -(-kib // page) * page
    share = -(-spec.overhead_taken_kib // len(parts))
    for node in parts:
        yield (node, None), share


def pool_size(spec: VmSpec, topology: Topology) -> int | None:
    """Return the page size (KiB) of the pools a VM takes its memory from on such a host; None = ordinary memory."""
    return None if spec.page_kib == topology.page_kib else spec.page_kib


def memory_room(host: Host) -> dict[Pool, int]:
    """Return what VMs may take of each pool (KiB): pages not reserved; memory less pools and reserves, × ratio.

    What is reserved for the whole host is taken in equal parts: memory from the nodes with CPUs and memory (from all
    nodes where there is none such), pages from the nodes that pool their size.
    """
    nodes, reserve = host.topology.nodes, host.reserve
    ratio = Fraction(host.memory_ratio)
    sharing = [node.id for node in nodes if node.cpus and node.memory_kib] or [node.id for node in nodes]
    room: dict[Pool, int] = {}
    for node in nodes:
        if node.kind is NodeKind.DEVICE:
            continue
        kept = reserve.memory_kib.get(node.id, 0)
        if node.id in sharing:
            kept += reserve.memory_kib.get(None, 0) // len(sharing)
        room[node.id, None] = max(0, int((node.memory_kib - node.pool_kib - kept) * ratio))
        for size, count in node.pages.items():
            pools = sum(1 for other in nodes if other.pages.get(size))
            whole = reserve.pages.get(None, {}).get(size, 0)
            held = reserve.pages.get(node.id, {}).get(size, 0) + (-(-whole // pools) if pools else 0)
            room[node.id, size] = max(0, count - held) * size
    return room
