"""The CPU topology that a guest sees: how many sockets, dies, clusters, cores and threads its vCPUs make."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import prod

LEVELS = ("sockets", "dies", "clusters", "cores", "threads")
"""The levels of a guest's topology from the outermost to the innermost, as libvirt and QEMU number vCPUs."""


def cut_sockets(cells: Collection[frozenset[int]], vcpus: int, size: int) -> Iterator[frozenset[int]]:
    """Yield the sockets of `size` vCPUs that guest cells cut: a cell has some of the socket, and others elsewhere."""
    for first in range(0, vcpus, size):
        socket = frozenset(range(first, first + size))
        if any(cell & socket and not (cell <= socket or socket <= cell) for cell in cells):
            yield socket


class TopologyPolicy(StrEnum):
    """Who says what topology a guest sees: its own XML, or placer by cells and pins."""

    KEEP = "keep"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTopology:
    """A guest's CPU topology; every level counts what lies in one of the level above it."""

    sockets: int = 1
    dies: int = 1
    clusters: int = 1
    cores: int = 1
    threads: int = 1

    @property
    def vcpus(self) -> int:
        """How many vCPUs it makes."""
        return prod(count for _, count in self.counts())

    def counts(self) -> tuple[tuple[str, int], ...]:
        """Return the levels with their counts, the outermost first."""
        return tuple((level, getattr(self, level)) for level in LEVELS)

    def told(self) -> tuple[tuple[str, int], ...]:
        """Return the levels that are to be named: sockets, cores and threads always, dies and clusters above 1."""
        return tuple((level, count) for level, count in self.counts() if count > 1 or level not in ("dies", "clusters"))
