"""A host as a graph: every part a node, what holds what and how far memory is as weighted edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placer.model.host import LOCAL, UNREACHABLE, Topology
from placer.topology.parts import Kind, Part, part_tree

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]


def topology_graph(topology: Topology) -> Graph:
    """Return the host as a directed graph.

    Nodes are named ``host``, ``package 0``, ``die 0``, ``node 0``, ``L3 0``, ``cluster 0``, ``core 0``, ``CPU 0`` and
    ``device ADDRESS``; each has `kind` and `number`, NUMA nodes also `memory_kib`, devices `count`.

    Edges have a `kind`: ``holds`` goes from the outer part to the inner (weight 0); ``distance`` goes from the NUMA
    node of the CPUs to the node of the memory, its weight the measure's relative distance d[i][j], 1 = local (pairs
    that cannot reach each other have no edge); ``near`` goes from the NUMA node to a device on it (weight 0).
    """
    import networkx as nx

    graph: Graph = nx.DiGraph()

    def add(part: Part) -> str:
        name = part_name(part)
        graph.add_node(name, kind=str(part.kind), number=part.number)
        for inner in part.parts:
            graph.add_edge(name, add(inner), kind="holds", weight=0.0)
        return name

    add(part_tree(topology))
    names = [f"{Kind.NODE} {node.id}" for node in topology.nodes]
    for node, name in zip(topology.nodes, names, strict=True):
        graph.nodes[name]["memory_kib"] = node.memory_kib
    for name, row in zip(names, topology.distances, strict=True):
        for other, figure in zip(names, row, strict=True):
            if figure < UNREACHABLE:
                graph.add_edge(name, other, kind="distance", weight=figure / LOCAL)
    for device in topology.devices:
        name = f"device {device.address}"
        graph.add_node(name, kind=device.kind, number=None, count=device.count)
        near = f"{Kind.NODE} {device.node}" if device.node in topology.node_ids else "host"
        graph.add_edge(near, name, kind="near", weight=0.0)
    return graph


def part_name(part: Part) -> str:
    """Return the name of a part in the graph, unique in its host."""
    return str(part.kind) if part.kind is Kind.HOST else f"{part.kind} {part.number}"
