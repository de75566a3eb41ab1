"""What is really free, and the refusal of what is not."""

from __future__ import annotations

from typing import Any

import pytest

from placer.live.connect import Link
from placer.live.free_memory import Free, FreeMemory, full_node, read_free_memory
from placer.live.host_files import HostFiles, NodeMemory
from tests.live.scene import GIB, MIB, topology

pytestmark = pytest.mark.libvirt


class FakeConnection:
    """Libvirt as far as memory goes."""

    def __init__(self, free: dict[int, dict[str, int]], pages: dict[int, dict[int, int]] | None = None) -> None:
        self.free = free
        self.pages = pages or {}

    def getType(self) -> str:
        """Return the driver's name."""
        return "QEMU"

    def getMemoryStats(self, node: int, _flags: int) -> dict[str, int]:
        """Return the figures of a node, of the host for -1."""
        return self.free[node]

    def getFreePages(self, sizes: list[int], node: int, _count: int, _flags: int) -> dict[int, dict[int, int]]:
        """Return free pages of a node."""
        return {node: {size: self.pages[node].get(size, 0) for size in sizes}}


def link(raw: Any) -> Link:
    """Return a connection to it."""
    return Link(host="h", uri="qemu:///system", raw=raw, writable=False)


HOST = {-1: {"total": 8 * GIB, "free": 2 * GIB, "buffers": 10, "cached": 3 * GIB - 10}}
NODES = {0: {"total": 4 * GIB, "free": 1 * GIB}, 1: {"total": 4 * GIB, "free": 3 * GIB}}


def test_page_cache_of_a_node_counts_as_free_where_the_host_is_read() -> None:
    """MemFree + Active(file) + Inactive(file) + SReclaimable is surely free."""
    files = HostFiles(memory={0: NodeMemory(total_kib=4 * GIB, free_kib=GIB, reclaimable_kib=2 * GIB)})
    found = read_free_memory(link(FakeConnection({**HOST, **NODES})), topology(), files)
    assert found.pools[0, None] == Free(sure_kib=3 * GIB, most_kib=3 * GIB)


def test_without_the_hosts_files_only_a_range_is_known() -> None:
    """Libvirt tells page cache of the whole host: it may lie on any node, but not beyond the node's memory."""
    found = read_free_memory(link(FakeConnection({**HOST, **NODES})), topology(), None)
    assert found.pools[0, None] == Free(sure_kib=GIB, most_kib=4 * GIB)
    assert found.pools[1, None] == Free(sure_kib=3 * GIB, most_kib=4 * GIB)


def test_free_pages_are_those_of_each_pool() -> None:
    """Asked node by node, counted in KiB."""
    raw = FakeConnection({**HOST, **NODES}, {0: {2048: 7}, 1: {2048: 0}})
    found = read_free_memory(link(raw), topology(pages={2048: 10}), None)
    assert found.pools[0, 2048] == Free(sure_kib=14 * MIB, most_kib=14 * MIB)
    assert found.pools[1, 2048] == Free(sure_kib=0, most_kib=0)


def test_the_mock_driver_tells_nothing_and_nothing_is_refused() -> None:
    """What is not known is not made up."""
    import libvirt

    raw = libvirt.openReadOnly("test:///default")
    found = read_free_memory(link(raw), topology(pages={2048: 1}), None)
    assert found.pools == {}
    assert found.shortage({(0, None): 10**9}) is None


def test_strict_memory_larger_than_what_is_free_is_refused() -> None:
    """The kernel would kill QEMU: said with both figures."""
    free = FreeMemory(pools={(0, None): Free(sure_kib=GIB, most_kib=GIB)})
    refusal = free.shortage({(0, None): GIB + 1024})
    assert refusal is not None
    assert refusal.reason == (
        "node 0 has 1GiB of memory free (page cache counted as free), 1025MiB are wanted: "
        "with a strict policy the kernel would kill QEMU"
    )
    assert free.shortage({(0, None): GIB}) is None


def test_what_may_fit_in_page_cache_is_refused_with_the_way_to_know() -> None:
    """Between what is sure and what is possible the cure is --ssh."""
    free = FreeMemory(pools={(0, None): Free(sure_kib=GIB, most_kib=2 * GIB)})
    refusal = free.shortage({(0, None): 2 * GIB})
    assert refusal is not None
    assert "page cache lies there is not known" in refusal.reason
    assert "--ssh" in str(refusal.cure)
    assert "kill" in str(free.shortage({(0, None): 2 * GIB + 1}))


def test_too_few_pages_are_refused() -> None:
    """By size and node."""
    free = FreeMemory(pools={(1, 2048): Free(sure_kib=4096, most_kib=4096)})
    refusal = free.shortage({(1, 2048): 8192})
    assert refusal is not None
    assert refusal.reason == "node 1 has 4MiB of pages of 2MiB free, 8MiB are wanted: QEMU would not start"


def test_what_was_promised_is_free_no_more() -> None:
    """Two domains that fit alone do not fit together."""
    free = FreeMemory(pools={(0, None): Free(sure_kib=GIB, most_kib=GIB)})
    half = {(0, None): 600 * MIB}
    assert free.shortage(half) is None
    free.promise(half)
    refusal = free.shortage(half)
    assert refusal is not None
    assert "424MiB of memory free after 600MiB for domains before it (page cache counted as free)" in refusal.reason


def test_a_node_is_surely_full_where_page_cache_could_not_help() -> None:
    """Right before a domain is changed: what may be page cache is given the benefit of the doubt, the rest is not."""
    fake = FakeConnection({**HOST, **NODES, -1: {"buffers": 0, "cached": MIB}})
    raw = Link(host="h", uri="qemu+tcp://127.0.0.1:1/system", raw=fake, writable=False)
    assert full_node(raw, topology(), {}) is None
    assert full_node(raw, topology(), {(0, None): GIB + MIB}) is None
    refusal = full_node(raw, topology(), {(0, None): GIB + 2 * MIB})
    assert refusal is not None and "node 0 has 1025MiB of memory free" in refusal.reason
