"""Where a domain is on a given host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placer.model.host import Node, NodeKind, Topology
from placer.model.vm import Bound
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import DomainReading, current_of, locate

CELLS = "<cpu><numa><cell id='0' cpus='0-1' memory='4'/><cell id='1' cpus='2-3' memory='4'/></numa></cpu>"
MEMNODES = "<memnode cellid='0' mode='strict' nodeset='8'/><memnode cellid='1' mode='strict' nodeset='0'/>"


@pytest.fixture
def topology() -> Topology:
    """Return nodes 0 (CPUs 0-3) and 8 (CPUs 4-7)."""
    cpus = {0: frozenset(range(4)), 8: frozenset(range(4, 8))}
    return Topology(
        nodes=tuple(Node(id=number, cpus=mine, memory_kib=1024) for number, mine in cpus.items()),
        distances=((10, 20), (20, 10)),
        cores=tuple(frozenset({cpu}) for cpu in range(8)),
    )


def read(pins: tuple[str, ...] = (), numatune: str = "", cells: str = "") -> DomainReading:
    """Read a domain of four vCPUs."""
    rows = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in enumerate(pins))
    tune = f"<numatune>{numatune}</numatune>" if numatune else ""
    body = f"<vcpu>4</vcpu><cputune>{rows}</cputune>{tune}{cells}"
    return read_domain(f"<domain type='kvm'><name>a</name><memory>8</memory>{body}</domain>".encode(), "a.xml")


@pytest.mark.parametrize(
    ("pins", "numatune", "cells", "nodes", "memory_nodes"),
    [
        (("4-7",) * 4, "<memory mode='strict' nodeset='8'/>", "", (8,), (8,)),
        (("4-7",) * 4, "<memory mode='strict' nodeset='0'/>", "", (8,), (0,)),
        (("0", "1", "2", "4"), "<memory mode='strict' nodeset='0,8'/>", "", None, None),
        (("0", "1", "2"), "", "", None, None),
        ((), "<memory mode='strict' nodeset='8'/>", "", None, (8,)),
        (("0", "1", "4", "5"), MEMNODES, CELLS, (0, 8), (8, 0)),
        (("0", "1", "4", "5"), "<memory mode='strict' nodeset='8'/>", CELLS, (0, 8), (8, 8)),
        (("0", "1", "4", "5"), "<memory mode='interleave' nodeset='0,8'/>", "", (0, 8), (0, 8)),
        (("4", "5", "0", "1"), "<memory mode='interleave' nodeset='0,8'/>", "", (8, 0), (8, 0)),
        (("0", "1", "2", "3"), "<memory mode='interleave' nodeset='0,8'/>", "", None, (0, 8)),
    ],
)
def test_locate(
    topology: Topology,
    pins: tuple[str, ...],
    numatune: str,
    cells: str,
    nodes: tuple[int, ...] | None,
    memory_nodes: tuple[int, ...] | None,
) -> None:
    """A cell is where all its vCPUs are pinned, its memory where one node is named; else both float."""
    location = locate(read(pins, numatune, cells), topology)
    assert (location.nodes, location.memory_nodes, location.strangers) == (nodes, memory_nodes, ())


BOTH = frozenset({0, 8})


@pytest.mark.parametrize(
    ("pins", "numatune", "cells", "bound"),
    [
        ((), "", "", ()),
        (("0", "1", "2"), "", "", ()),
        (("0", "1", "2", "3"), "", "", (Bound(cpus=frozenset({0}), wish=frozenset({0})),)),
        (
            ("0", "1", "2", "3"),
            "<memory mode='strict' placement='auto'/>",
            "",
            (Bound(cpus=frozenset({0}), wish=frozenset({0})),),
        ),
        (("0", "1", "2", "4"), "", "", (Bound(cpus=BOTH),)),
        (("0-7",) * 4, "<memory mode='strict' nodeset='0,8'/>", "", (Bound(cpus=BOTH, memory=BOTH),)),
        ((), "<memory mode='restrictive' nodeset='0,8'/>", "", (Bound(memory=BOTH),)),
        ((), "<memory mode='preferred' nodeset='8'/>", "", (Bound(wish=frozenset({8})),)),
        (
            ("0-3",) * 4,
            "<memory mode='preferred' nodeset='8'/>",
            "",
            (Bound(cpus=frozenset({0}), wish=frozenset({8})),),
        ),
        (
            ("0", "1", "2", "4"),
            MEMNODES,
            CELLS,
            (Bound(cpus=frozenset({0}), memory=frozenset({8})), Bound(cpus=BOTH, memory=frozenset({0}))),
        ),
    ],
)
def test_what_is_no_node_a_cell_is_told_as_sets(
    topology: Topology, pins: tuple[str, ...], numatune: str, cells: str, bound: tuple[Bound, ...]
) -> None:
    """CPUs by pins, memory by what binds it; preferred nodes, and that of pinned vCPUs, are a wish."""
    location = locate(read(pins, numatune, cells), topology)
    assert (location.nodes, location.memory_nodes, location.bound) == (None, None, bound)


def test_a_cell_without_vcpus_is_where_its_memory_is(topology: Topology) -> None:
    """A guest cell of memory alone takes its node from its memnode."""
    cells = "<cpu><numa><cell id='0' cpus='0-3' memory='4'/><cell id='1' memory='4'/></numa></cpu>"
    assert locate(read(("0", "1", "2", "3"), MEMNODES, cells), topology).nodes == (0, 0)


@pytest.mark.parametrize(
    ("pins", "nodes", "memory_nodes"),
    [
        (("0", "1", "2", "3"), (0, 0), (0, 9)),
        (("4", "5", "6", "7"), None, (0, 9)),
        (("0", "1", "4", "5"), (0, 8), (0, 9)),
    ],
)
def test_memory_interleaved_over_a_node_without_cpus(
    topology: Topology, pins: tuple[str, ...], nodes: tuple[int, ...] | None, memory_nodes: tuple[int, ...]
) -> None:
    """The parts whose memory is there run beside others, the first of a node having that node's memory."""
    far = Node(id=9, memory_kib=1024, kind=NodeKind.MEMORY_ONLY)
    distances = ((10, 20, 14), (20, 10, 24), (14, 24, 10))
    with_far = replace(topology, nodes=(*topology.nodes, far), distances=distances)
    location = locate(read(pins, "<memory mode='interleave' nodeset='0,9'/>"), with_far)
    assert (location.nodes, location.memory_nodes) == (nodes, memory_nodes)


def test_names_cpus_and_nodes_that_the_host_lacks(topology: Topology) -> None:
    """Pins and policies beyond the host are named; what is left of a pin still counts."""
    reading = read(("0,525", "1", "2", "3"), "<memory mode='strict' nodeset='1'/>")
    only = (Bound(cpus=frozenset({0}), wish=frozenset({0})),)
    location = locate(reading, topology)
    assert location.strangers == ("CPUs 525", "NUMA nodes 1")
    assert (location.nodes, location.bound) == (None, only)


def test_current_carries_what_was_read(topology: Topology) -> None:
    """The model's place of a VM has the host, the nodes found there and all pins."""
    reading = read(("0", "1", "2", "3"), "<memory mode='strict' nodeset='0'/>")
    current = current_of(reading, "kvm-a", topology)
    assert (current.host, current.nodes, current.memory_nodes, current.pins) == ("kvm-a", (0,), (0,), reading.pins)
