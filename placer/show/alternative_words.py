"""The other places of a VM in words: on which nodes, and why a place is worse or blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placer.model.cpuset import format_cpuset
from placer.show.words import figure, listed, visible

if TYPE_CHECKING:
    from placer.explain.alternatives import Alternative


def because(place: Alternative) -> str:
    """Return what blocks a place and who holds it, or which goal it changes by how much."""
    if place.constraint is not None:
        whom = f", held by {listed([visible(name) for name in place.whom], 5)}" if place.whom else ""
        return place.constraint + whom
    if place.goal is None or place.by is None:
        return "every goal stays as it is"
    return f"{place.goal} {'+' if place.by > 0 else ''}{figure(place.by)}"


def nodes_words(cpu: tuple[int, ...], memory: tuple[int, ...]) -> str:
    """Return the nodes of a place; those of CPUs and memory apart where they differ."""
    if cpu == memory:
        return f"node {','.join(map(str, cpu))}" if len(set(cpu)) < len(cpu) else f"node {format_cpuset(cpu)}"
    return f"CPUs on node {','.join(map(str, cpu))}, memory on {','.join(map(str, memory))}"
