"""What memory of a host a plan takes, node by node and page size by page size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from placer.measure.sets_taken import memory_items
from placer.model.host import Topology
from placer.model.memory_room import Pool
from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import CellMode, Vm, VmSpec


def memory_taken(spec: VmSpec, topology: Topology, planned: PlanVm) -> Iterator[tuple[Pool, int]]:
    """Yield (pool, KiB) of everything a placed VM takes.

    Where a page size is set, a cell takes whole pages on each of its nodes. The overhead is taken from ordinary memory
    in equal parts, each rounded up to a KiB: a part a node of every cell. Memory that floats counts on each node that
    may hold it in proportion to what the node has of its kind: where it lies nobody knows.
    """
    for nodes, size, kib in memory_items(spec, topology, planned):
        if len(nodes) == 1:
            yield (min(nodes), size), kib
            continue
        has = {node: _amount(topology, node, size) for node in sorted(nodes)}
        whole, left = sum(has.values()), kib
        for number, (node, amount) in enumerate(has.items()):
            share = left if number == len(has) - 1 else kib * amount // whole if whole else kib // len(has)
            left -= share
            yield (node, size), share


def _amount(topology: Topology, node_id: int, size: int | None) -> int:
    node = topology.node(node_id)
    return node.memory_kib - node.pool_kib if size is None else node.pages.get(size, 0) * size


def pool_size(spec: VmSpec, topology: Topology) -> int | None:
    """Return the page size (KiB) of the pools a VM takes its memory from on such a host; None = ordinary memory."""
    return None if spec.page_kib == topology.page_kib or not topology.pages_told else spec.page_kib


def memory_now(topology: Topology, residents: Iterable[Vm]) -> dict[Pool, int]:
    """Return what VMs take of each pool (KiB) of the host that they are on now, as far as their nodes are known."""
    total: dict[Pool, int] = {}
    for vm in residents:
        cells = cells_now(vm)
        if cells:
            planned = PlanVm(name=vm.name, host="", cells=cells, pins={})
            for pool, kib in memory_taken(vm.spec, topology, planned):
                total[pool] = total.get(pool, 0) + kib
    return total


def cells_now(vm: Vm) -> tuple[PlanCell, ...]:
    """Return a VM's cells with their memory where it is now; empty where that is not known."""
    now, spec = vm.current, vm.spec
    nodes = None if now is None else now.memory_nodes if now.memory_nodes is not None else now.nodes
    if not nodes:
        return ()
    if spec.cell_mode is CellMode.NONE:
        spread: dict[int, int] = {}
        for node, kib in zip(nodes, _parts(spec.memory_kib, len(nodes)), strict=True):
            spread[node] = spread.get(node, 0) + kib
        mode: Literal["strict", "interleave"] = "strict" if len(spread) == 1 else "interleave"
        return (
            PlanCell(id=0, vcpus=frozenset(range(spec.vcpus)), memory_kib=spec.memory_kib, mode=mode, nodes=spread),
        )
    sizes = [cell.memory_kib for cell in spec.cells] if spec.cells else list(_parts(spec.memory_kib, len(nodes)))
    if len(sizes) != len(nodes):
        return ()
    return tuple(
        PlanCell(id=number, vcpus=frozenset(), memory_kib=kib, mode="strict", nodes={node: kib})
        for number, (kib, node) in enumerate(zip(sizes, nodes, strict=True))
    )


def _parts(total: int, count: int) -> Iterator[int]:
    for number in range(count):
        yield total // count + (number < total % count)
