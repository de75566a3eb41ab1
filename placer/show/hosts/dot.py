"""A host as a Graphviz graph: boxes in boxes for what holds what, edges for distances between nodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from placer.model.cpuset import format_cpuset
from placer.model.host import LOCAL, Topology
from placer.show.words import figure
from placer.topology.graph import topology_graph
from placer.topology.parts import Kind

if TYPE_CHECKING:
    from placer.topology.graph import Graph


def host_dot(topology: Topology, name: str) -> str:
    """Return the DOT text of a host.

    A core is one box with its CPUs. Two nodes are joined by one edge with their distance, or by two where the ways
    differ. What was assumed is the label below.
    """
    graph = topology_graph(topology)
    lines = [f"graph {_quoted(name)} {{", "  node [shape=box, fontsize=10];", "  compound=true; splines=line;"]
    below = "\\l".join(_escaped(sentence) for sentence in topology.assumptions)
    if below:
        lines.append(f'  label="assumed:\\l{below}\\l"; labelloc=b; labeljust=l;')
    lines += _boxes(graph, "host", f"host {name}", "  ")
    lines += _distances(graph)
    return "\n".join([*lines, "}"]) + "\n"


def _boxes(graph: Graph, part: str, title: str, indent: str) -> Iterator[str]:
    yield f"{indent}subgraph {_quoted('cluster ' + part)} {{"
    yield f"{indent}  label={_quoted(title)};"
    if graph.nodes[part]["kind"] == Kind.NODE:
        # Edges need a point in the box to hold on to.
        yield f"{indent}  {_quoted(part)} [shape=point, style=invis];"
    for inner, edge in graph.adj[part].items():
        kind = edge["kind"]
        if kind == "near":
            number = graph.nodes[inner]["count"]
            text = f"{graph.nodes[inner]['kind']} {inner.removeprefix('device ')}" + (
                f" × {number}" if number > 1 else ""
            )
            yield f"{indent}  {_quoted(inner)} [label={_quoted(text)}, shape=ellipse];"
        elif kind == "holds" and graph.nodes[inner]["kind"] == Kind.CORE:
            cpus = format_cpuset(graph.nodes[cpu]["number"] for cpu in graph.successors(inner))
            yield f"{indent}  {_quoted(inner)} [label={_quoted(cpus)}];"
        elif kind == "holds":
            yield from _boxes(graph, inner, inner, indent + "  ")
    yield f"{indent}}}"


def _distances(graph: Graph) -> Iterator[str]:
    nodes = [part for part in graph.nodes if graph.nodes[part]["kind"] == Kind.NODE]
    for one, other in combinations(nodes, 2):
        there, back = (graph.get_edge_data(*pair) for pair in ((one, other), (other, one)))
        ends = f"{_quoted(one)} -- {_quoted(other)}"
        boxes = f"ltail={_quoted('cluster ' + one)}, lhead={_quoted('cluster ' + other)}"
        if there is not None and back is not None and there["weight"] == back["weight"]:
            yield f'  {ends} [label="{_slit(there["weight"])}", {boxes}];'
            continue
        for way, edge in ((f"{one} to {other}", there), (f"{other} to {one}", back)):
            if edge is not None:
                label = _quoted(f"{way}: {_slit(edge['weight'])}")
                yield f"  {ends} [label={label}, {boxes}];"


def _slit(weight: float) -> str:
    return figure(round(weight * LOCAL, 6), 1)


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"')
