"""Memory and huge pages of a host's nodes that are really free, page cache counted as free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from placer.errors import PlacerError
from placer.live.connect import Link, explained, is_unsupported, libvirt_error
from placer.live.host_files import LIBVIRT_ALONE, HostFiles, Reach, read_host_files
from placer.live.preconditions import Refusal
from placer.model.cpuset import format_cpuset
from placer.model.host import Topology
from placer.model.memory_room import Pool
from placer.model.units import format_kib

_WHOLE_HOST = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """Free memory of one pool (KiB): what is surely free, and the most that may be where page cache is not known."""

    sure_kib: int
    most_kib: int


@dataclass(slots=True)
class FreeMemory:
    """What is free on a host, less what was promised to domains since it was read; a pool not in it is not known."""

    pools: Mapping[Pool, Free]
    promised_kib: dict[Pool, int] = field(default_factory=dict)

    def shortage(self, wanted_kib: Mapping[Pool, int]) -> Refusal | None:
        """Return why a domain's memory does not fit; None where it fits or nothing is known."""
        for pool, kib in sorted(wanted_kib.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
            free = self.pools.get(pool)
            promised = self.promised_kib.get(pool, 0)
            if free is None or kib <= max(0, free.sure_kib - promised):
                continue
            node, page = pool
            what = "pages of " + format_kib(page) if page else "memory"
            left = format_kib(max(0, free.sure_kib - promised))
            others = f" after {format_kib(promised)} for domains before it" if promised else ""
            if kib <= free.most_kib - promised:
                return Refusal(
                    reason=f"node {node} has {left} of {what} free{others}, {format_kib(kib)} are wanted; "
                    "how much page cache lies there is not known",
                    cure="give --ssh, then page cache is counted as free",
                )
            cached = " (page cache counted as free)" if page is None and free.sure_kib == free.most_kib else ""
            why = "QEMU would not start" if page else "with a strict policy the kernel would kill QEMU"
            return Refusal(
                reason=f"node {node} has {left} of {what} free{others}{cached}, {format_kib(kib)} are wanted: {why}",
                cure=f"free {what} on node {node}, or solve again",
            )
        return None

    def promise(self, wanted_kib: Mapping[Pool, int]) -> None:
        """Keep memory for a domain that is going to want it."""
        for pool, kib in wanted_kib.items():
            self.promised_kib[pool] = self.promised_kib.get(pool, 0) + kib


def read_free_memory(link: Link, topology: Topology, files: HostFiles | None) -> FreeMemory:
    """Return what is free on a host.

    Free ordinary memory is MemFree + Active(file) + Inactive(file) + SReclaimable of the node, from the host's own
    files. Without them libvirt tells MemFree alone, and page cache only of the whole host: then both are given. The
    mock driver of libvirt tells nothing.

    Raises
    ------
    HostError
        The host does not answer.
    """
    pools: dict[Pool, Free] = {}
    cache_kib = 0 if files is not None else _cache_kib(link)
    for node in topology.nodes:
        known = files.memory.get(node.id) if files is not None else None
        if known is not None:
            free_kib = known.free_kib + known.reclaimable_kib
            pools[node.id, None] = Free(sure_kib=free_kib, most_kib=free_kib)
            continue
        stats = _memory_stats(link, node.id)
        if "free" in stats:
            most_kib = min(stats.get("total", stats["free"]), stats["free"] + cache_kib)
            pools[node.id, None] = Free(sure_kib=stats["free"], most_kib=most_kib)
    sizes = sorted({size for node in topology.nodes for size in node.pages})
    for (node_id, size), count in _free_pages(link, topology.node_ids, sizes).items():
        pools[node_id, size] = Free(sure_kib=count * size, most_kib=count * size)
    return FreeMemory(pools=pools)


def full_node(
    link: Link, topology: Topology, wanted_kib: Mapping[Pool, int], reach: Reach = LIBVIRT_ALONE
) -> Refusal | None:
    """Return why a domain's memory surely does not fit at this moment.

    Where the host's own files are not or cannot be read, what may be page cache is given the benefit of the doubt: that
    they cannot was said when the host was surveyed.

    Raises
    ------
    HostError
        The host does not answer.
    """
    if not wanted_kib or link.is_test_driver:
        return None
    try:
        files = read_host_files([], uri=link.uri, reach=reach)
    except PlacerError:
        files = None
    now = read_free_memory(link, topology, files).pools
    most = {pool: Free(sure_kib=free.most_kib, most_kib=free.most_kib) for pool, free in now.items()}
    return FreeMemory(pools=most).shortage(wanted_kib)


def free_figures(link: Link, topology: Topology) -> dict[int, tuple[int | None, dict[int, int]]]:
    """Return MemFree (KiB, None if unknown) and free huge pages by size, of each node, as libvirt tells them.

    Raises
    ------
    HostError
        The host does not answer.
    """
    sizes = sorted({size for node in topology.nodes for size in node.pages})
    pages = _free_pages(link, topology.node_ids, sizes)
    return {
        node.id: (
            _memory_stats(link, node.id).get("free"),
            {size: pages[node.id, size] for size in sizes if (node.id, size) in pages},
        )
        for node in topology.nodes
    }


def _cache_kib(link: Link) -> int:
    stats = _memory_stats(link, _WHOLE_HOST)
    return stats.get("buffers", 0) + stats.get("cached", 0)


def _memory_stats(link: Link, node: int) -> dict[str, int]:
    with explained(f"host {link.host!r}, memory of node {node}"):
        try:
            return {str(name): int(kib) for name, kib in link.raw.getMemoryStats(node, 0).items()}
        except libvirt_error() as error:
            if is_unsupported(error):
                return {}
            raise


def _free_pages(link: Link, nodes: Iterable[int], sizes: list[int]) -> dict[tuple[int, int], int]:
    """Return the free pages by node and size, asked node by node: ids may have holes."""
    found: dict[tuple[int, int], int] = {}
    for node in nodes if sizes else ():
        with explained(f"host {link.host!r}, free pages of node {format_cpuset([node])}"):
            try:
                answer = link.raw.getFreePages(sizes, node, 1, 0)
            except libvirt_error() as error:
                if is_unsupported(error):
                    return {}
                raise
        for size, count in answer.get(node, {}).items():
            found[node, int(size)] = int(count)
    return found
