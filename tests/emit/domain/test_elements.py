"""The distances that a guest is told, and elements that only some domains need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lxml import etree

from placer.emit.domain.elements import guest_distances, set_device_nodemasks, set_numatune
from placer.model.host import Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import Bound

MakeTopology = Callable[..., Topology]


def cell(number: int, *nodes: int) -> PlanCell:
    """Return a cell of one vCPU whose memory lies on these nodes."""
    mode = "strict" if len(nodes) == 1 else "interleave"
    return PlanCell(
        id=number, vcpus=frozenset({number}), memory_kib=1024, mode=mode, nodes=dict.fromkeys(nodes, 1024 // len(nodes))
    )


@pytest.mark.parametrize(
    ("host", "cells", "guest"),
    [
        (((10, 21), (21, 10)), ((0,), (1,)), [[10, 21], [21, 10]]),
        (((10, 16), (28, 10)), ((1,), (0,)), [[10, 28], [16, 10]]),
        (((10, 10), (10, 10)), ((0,), (1,)), [[10, 11], [11, 10]]),
        (((10, 900), (254.6, 10)), ((0,), (1,)), [[10, 255], [254, 10]]),
        (((10, 255), (20.5, 10)), ((0,), (1,)), [[10, 255], [20, 10]]),
        (((10, 21), (21, 10)), ((0,), (0,)), [[10, 11], [11, 10]]),
        (((10, 21), (21, 10)), ((0, 1), (0,)), [[10, 16], [16, 10]]),
    ],
)
def test_guest_distances(
    topology: MakeTopology,
    host: tuple[tuple[float, ...], ...],
    cells: tuple[tuple[int, ...], ...],
    guest: list[list[int]],
) -> None:
    """10 on the diagonal, host figures kept within 11 to 254, asymmetry and 255 for not reachable kept."""
    made = [cell(number, *nodes) for number, nodes in enumerate(cells)]
    assert guest_distances(made, topology(distances=host)) == guest


def test_memory_nodes_that_ids_do_not_count(topology: MakeTopology) -> None:
    """Node ids with holes are looked up, not used as positions."""
    plain = topology()
    nodes = tuple(type(node)(id=node.id * 8, cpus=node.cpus, memory_kib=1) for node in plain.nodes)
    assert guest_distances([cell(0, 0), cell(1, 8)], topology(nodes=nodes)) == [[10, 21], [21, 10]]


@pytest.mark.parametrize(
    ("mask", "origin", "bound", "left"),
    [
        ("0-1", 2, Bound(), "0-2"),
        ("1", 2, Bound(), "1"),
        ("4", None, Bound(), "0-2"),
        ("0", 2, Bound(memory=frozenset({2})), "2"),
        ("0", 2, Bound(wish=frozenset({1})), "1"),
    ],
)
def test_a_memory_device_whose_cell_floats_keeps_host_nodes(
    mask: str, origin: int | None, bound: Bound, left: str, topology: MakeTopology
) -> None:
    """All of them stay all, some are those of its cell or as many as the host has; libvirt takes no empty nodemask."""
    device = f"<memory model='sgx-epc'><source><nodemask>{mask}</nodemask></source></memory>"
    root = etree.fromstring(f"<domain><devices>{device}</devices></domain>")
    floats = PlanCell(id=0, vcpus=frozenset({0}), memory_kib=1024, mode="floats", nodes={})
    vm = PlanVm(
        name="vm", host="h", cells=(floats,), pins={0: frozenset({0})}, shown=False, bound=(bound,), from_host="old"
    )
    here, old = topology(3), None if origin is None else topology(origin)
    set_device_nodemasks(root, vm, None, here, old)
    assert root.findtext("devices/memory/source/nodemask") == left


def test_a_cell_without_memory_gets_no_memnode() -> None:
    """libvirt refuses an empty nodeset: a cell with no memory has no memnode, a VM with none no numatune."""
    empty = PlanCell(id=0, vcpus=frozenset({0}), memory_kib=0, mode="strict", nodes={})
    root = etree.fromstring("<domain><vcpu>2</vcpu></domain>")
    set_numatune(root, PlanVm(name="a", host="h", cells=(empty, cell(1, 1)), pins={}), [0, 1])
    assert [node.get("cellid") for node in root.findall("numatune/memnode")] == ["1"]
    set_numatune(root, PlanVm(name="a", host="h", cells=(empty,), pins={}), None)
    assert root.find("numatune") is None
