"""What a host reserves, listed or as shares: docs/reference/inventory.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from benchmarks.truth.reads.quantities import cpu_list, kib


def kept_cpus(data: Mapping[str, Any], core_of: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Return the CPUs that a host reserves: those listed, and of a share the lowest, core by core, of each node in
    proportion, none of those that are promised to dedicated or shared vCPUs.
    """
    reserve = data.get("reserve", {})
    promised = cpu_list(data.get("dedicated_cpus", "")) | cpu_list(data.get("shared_cpus", ""))
    kept: frozenset[int] = frozenset()
    said = [
        (own.get("cpus", ""), [n for n in data["nodes"] if n["id"] == node]) for node, own in reserved_nodes(reserve)
    ]
    for text, nodes in (*said, (reserve.get("cpus", ""), data["nodes"])):
        if not str(text).endswith("%"):
            kept |= cpu_list(text)
            continue
        order = []
        for number, node in enumerate(nodes):
            cpus = cpu_list(node.get("cpus", ""))
            cores = sorted({core_of.get(cpu, frozenset({cpu})) for cpu in cpus}, key=min)
            order += [(Fraction(rank, len(cores)), number, sorted(core & cpus)) for rank, core in enumerate(cores)]
        free = [cpu for _, _, core in sorted(order) for cpu in core if cpu not in promised | kept]
        count = int(_share(text) * sum(len(cpu_list(node.get("cpus", ""))) for node in nodes))
        kept |= frozenset(free[:count])
    return kept


def reserved_nodes(reserve: Mapping[str, Any]) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """Return what is reserved of single nodes."""
    return [(int(node), own) for node, own in reserve.get("nodes", {}).items()]


def _share(text: str) -> Fraction:
    return Fraction(text.removesuffix("%")) / 100


def size_or_share(text: str, whole_kib: int) -> int:
    """Return a reserve of memory in KiB; a share is one of `whole_kib`."""
    return int(_share(text) * whole_kib) if text.endswith("%") else kib(text)
