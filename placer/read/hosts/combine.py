"""Several texts about one host: each tells what the others leave out, and none may contradict another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.host import Node, Topology
from placer.read.hosts.normal_form import ONE_NODE

_OF_CORES = "threads per core"
_OF_PACKAGES = "packages are not told"
_OF_DISTANCES = "distances are not told"
_OF_MEMORY = "memory of"
_FILLED = (ONE_NODE, _OF_CORES, _OF_PACKAGES, _OF_DISTANCES, _OF_MEMORY)
"""How the sentences begin that say what a source did not tell."""


def combine(topologies: Sequence[Topology]) -> Topology:
    """Return one host of what several sources tell of it; where two tell the same thing, the first one is taken.

    NUMA nodes and their memory, pools, distances, cores, packages, L3 domains and devices come each from the first
    source that tells them: ``lscpu -e`` knows siblings and no memory, ``numactl --hardware`` the reverse.

    Raises
    ------
    InputError
        They do not name the same CPUs, or put a CPU into different nodes: they are of different hosts, or moments.
    """
    return reduce(_both, topologies)


def _both(one: Topology, other: Topology) -> Topology:
    if one.cpus != other.cpus:
        only = one.cpus ^ other.cpus
        whose = other.source if only <= other.cpus else one.source
        raise InputError(
            f"CPUs {format_cpuset(only)} are online in {whose or 'one of the texts'} only",
            file=other.source,
            cure="combine texts of one host and one moment",
        )
    flat = [_says(topology, ONE_NODE) for topology in (one, other)]
    main, second = (other, one) if flat[0] and not flat[1] else (one, other)
    if not any(flat):
        for cpu in sorted(one.cpus):
            if one.node_of_cpu[cpu] != other.node_of_cpu[cpu]:
                raise InputError(
                    f"CPU {cpu} is in node {one.node_of_cpu[cpu]} of one text and in node {other.node_of_cpu[cpu]} of "
                    "another",
                    file=other.source,
                    cure="combine texts of one host and one moment",
                )
    nodes = main.nodes if any(flat) else tuple(_nodes(main, second))
    by_distance = next((t for t in (main, second) if not _says(t, _OF_DISTANCES) and t.node_ids == _ids(nodes)), None)
    if by_distance is None and _ids(nodes) != main.node_ids:
        by_distance = second if _ids(nodes) == second.node_ids else None
        if by_distance is None:
            raise InputError("the texts name different NUMA nodes, and neither all of them", file=other.source)
    cores = next((t for t in (one, other) if not _says(t, _OF_CORES)), one)
    packages = next((t for t in (one, other) if not _says(t, _OF_PACKAGES)), one)
    distances = by_distance or main
    left = {
        ONE_NODE: all(flat),
        _OF_CORES: _says(cores, _OF_CORES),
        _OF_PACKAGES: _says(packages, _OF_PACKAGES),
        _OF_DISTANCES: _says(distances, _OF_DISTANCES),
        _OF_MEMORY: any(not node.memory_kib for node in nodes),
    }
    said = dict.fromkeys([*one.assumptions, *other.assumptions])
    return replace(
        main,
        nodes=nodes,
        distances=distances.distances,
        pages_told=one.pages_told or other.pages_told,
        bandwidth_mib_s=distances.bandwidth_mib_s,
        cores=cores.cores,
        packages=packages.packages,
        dies=one.dies or other.dies,
        clusters=one.clusters or other.clusters,
        l3=one.l3 or other.l3,
        devices=one.devices or other.devices,
        arch=one.arch or other.arch,
        model=one.model or other.model,
        kvm=one.kvm if one.kvm is not None else other.kvm,
        offline=one.offline | other.offline,
        assumptions=tuple(text for text in said if all(left[start] for start in _FILLED if text.startswith(start))),
        source=None,
    )


def _says(topology: Topology, start: str) -> bool:
    return any(said.startswith(start) for said in topology.assumptions)


def _ids(nodes: Sequence[Node]) -> tuple[int, ...]:
    return tuple(node.id for node in nodes)


def _nodes(main: Topology, second: Topology) -> list[Node]:
    """Return the nodes of both: of one that both know, memory and pools of the first that tells them."""
    known = {node.id: node for node in second.nodes}
    made = []
    for node in main.nodes:
        other = known.pop(node.id, None)
        if other is not None:
            told = node if node.memory_kib else other
            node = replace(
                node,
                memory_kib=told.memory_kib,
                free_kib=told.free_kib,
                kind=told.kind,
                pages=node.pages or other.pages,
                free_pages=node.free_pages or other.free_pages,
                resources=node.resources or other.resources,
            )
        made.append(node)
    return sorted([*made, *known.values()], key=lambda node: node.id)
