"""The graph of a host: every part a node, distances as the measure has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import networkx as nx
import pytest

from placer.model.host import Device, Topology
from placer.read.hosts.host import read_topology
from placer.topology.graph import topology_graph


@pytest.fixture
def epyc(repository: Path) -> Topology:
    """Return a host of two packages with four nodes each."""
    return read_topology(repository / "data" / "hosts" / "epyc-nps4.capabilities.xml")


def test_parts_form_a_tree(epyc: Topology) -> None:
    """The edges that hold parts form a tree with the host as its root and the CPUs as its leaves."""
    graph = topology_graph(epyc)
    holds = nx.DiGraph((a, b) for a, b, kind in graph.edges(data="kind") if kind == "holds")
    assert nx.is_arborescence(holds)
    leaves = {name for name in holds if holds.out_degree(name) == 0}
    assert leaves == {f"CPU {cpu}" for cpu in epyc.cpus}
    assert nx.has_path(holds, "package 1", "CPU 63")
    assert not nx.has_path(holds, "package 0", "CPU 63")


def test_distances_are_weights(epyc: Topology) -> None:
    """Every ordered pair of nodes has the measure's relative distance, itself included."""
    graph = topology_graph(epyc)
    for i in epyc.node_ids:
        for j in epyc.node_ids:
            edge = graph.edges[f"node {i}", f"node {j}"]
            assert edge == {"kind": "distance", "weight": epyc.distance(i, j)}
    assert graph.edges["node 0", "node 4"]["weight"] == pytest.approx(3.2)


def test_nodes_out_of_reach_have_no_edge(epyc: Topology) -> None:
    """A distance of 255 says that there is no way, so there is no edge that way."""
    rows = [list(row) for row in epyc.distances]
    rows[0][7] = 255.0
    graph = topology_graph(replace(epyc, distances=tuple(map(tuple, rows))))
    assert not graph.has_edge("node 0", "node 7")
    assert graph.has_edge("node 7", "node 0")


def test_devices_hang_near_their_node(epyc: Topology) -> None:
    """A device is near its node; one whose node is not told, or is none of the host's, is near the host."""
    devices = (
        Device(address="0000:01:00.0", kind="nic", node=3, count=2),
        Device(address="0000:02:00.0", kind="nic"),
        Device(address="0000:03:00.0", kind="gpu", node=99),
    )
    graph = topology_graph(replace(epyc, devices=devices))
    assert graph.edges["node 3", "device 0000:01:00.0"]["kind"] == "near"
    assert graph.nodes["device 0000:01:00.0"]["count"] == 2
    assert list(graph.predecessors("device 0000:02:00.0")) == ["host"]
    assert list(graph.predecessors("device 0000:03:00.0")) == ["host"]
