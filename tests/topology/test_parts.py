"""The tree of a host follows the sets of CPUs, whichever way they nest."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.model.host import Node, Topology
from placer.read.hosts.host import read_topology
from placer.topology.parts import Kind, Part, part_tree


def outline(part: Part) -> list[object]:
    """Return a part and what lies in it as nested lists of names, cores and CPUs left out."""
    inner = [outline(below) for below in part.parts if below.kind not in (Kind.CORE, Kind.CPU)]
    return [f"{part.kind} {part.number}", *inner]


def topology(nodes: list[set[int]], packages: list[set[int]], l3: list[set[int]] | None = None) -> Topology:
    """Return a host of single-thread cores with these sets of CPUs."""
    cpus = sorted(set().union(*nodes))
    size = len(nodes)
    return Topology(
        nodes=tuple(Node(id=number, cpus=frozenset(members)) for number, members in enumerate(nodes)),
        distances=tuple(tuple(10.0 if i == j else 21.0 for j in range(size)) for i in range(size)),
        cores=tuple(frozenset([cpu]) for cpu in cpus),
        packages=tuple(map(frozenset, packages)),
        l3=tuple(map(frozenset, l3 or [])),
    )


def test_nodes_in_a_package() -> None:
    """Several nodes of one package hang on it, and an L3 domain that is a whole node hangs on the node."""
    tree = part_tree(topology([{0, 1}, {2, 3}], [{0, 1, 2, 3}], [{0, 1}, {2, 3}]))
    assert outline(tree) == ["host 0", ["package 0", ["node 0", ["L3 0"]], ["node 1", ["L3 1"]]]]


def test_packages_in_a_node() -> None:
    """One node that spans packages holds them."""
    tree = part_tree(topology([{0, 1, 2, 3}], [{0, 1}, {2, 3}]))
    assert outline(tree) == ["host 0", ["node 0", ["package 0"], ["package 1"]]]


def test_node_without_cpus_hangs_on_the_host() -> None:
    """A memory-only node has no place in a package and stands last."""
    tree = part_tree(topology([{0, 1}, set()], [{0, 1}]))
    assert outline(tree) == ["host 0", ["package 0", ["node 0"]], ["node 1"]]


def test_overlap_hangs_on_what_holds_all_of_it() -> None:
    """An L3 domain across two nodes hangs on the package, and no CPU gets lost or doubled."""
    tree = part_tree(topology([{0, 1}, {2, 3}], [{0, 1, 2, 3}], [{1, 2}]))
    assert outline(tree) == ["host 0", ["package 0", ["node 0"], ["L3 0"], ["node 1"]]]
    assert sorted(part.number for part in tree.walk() if part.kind is Kind.CPU) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["epyc-nps4.capabilities.xml", "four-socket.lstopo.xml", "two-node-40cpu.numactl.txt"])
def test_every_part_lies_in_its_holder(repository: Path, name: str) -> None:
    """In the bundled hosts each part's CPUs are among its holder's, and every core and CPU is there once."""
    host = read_topology(repository / "data" / "hosts" / name)
    tree = part_tree(host)
    for part in tree.walk():
        assert all(inner.cpus <= part.cpus for inner in part.parts)
    cores = [part for part in tree.walk() if part.kind is Kind.CORE]
    assert sorted(map(sorted, (part.cpus for part in cores))) == sorted(map(sorted, host.cores))
    assert sorted(part.number for part in tree.walk() if part.kind is Kind.CPU) == sorted(host.cpus)
