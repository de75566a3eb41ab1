"""``-smp`` of QEMU in all its forms, and which vCPU a ``-numa cpu`` means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from placer.errors import InputError
from placer.model.cpuset import MAX_CPU

LEVELS = ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")
"""The levels of a guest's topology from the outermost to the innermost, as QEMU numbers vCPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smp:
    """How many vCPUs there may be, how many there are, and how many of each level lie in the one above."""

    most: int = 1
    online: int = 1
    levels: tuple[int, ...] = (1,) * len(LEVELS)

    def level_ids(self, vcpu: int) -> dict[str, int]:
        """Return the ids of a vCPU as ``-numa cpu`` names them: ``socket-id``, ``core-id`` and so on."""
        ids = {}
        for name, count in zip(reversed(LEVELS), reversed(self.levels), strict=True):
            vcpu, ids[f"{name.removesuffix('s')}-id"] = divmod(vcpu, count)
        return ids


def read_smp(pairs: Sequence[tuple[str, str]], source: str) -> Smp:
    """Return what ``-smp`` amounts to, missing figures computed as QEMU does: sockets before cores before threads.

    Raises
    ------
    InputError
        A figure that is none, or figures that contradict each other.
    """
    given = {}
    for key, text in pairs:
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= MAX_CPU):
            raise InputError(f"-smp {key} is {text[:40]!r}, which is no count of CPUs", file=source)
        given[key] = int(text)
    if not given:
        return Smp()
    online, most = given.get("cpus", 0), given.get("maxcpus", 0)
    counts = {level: given.get(level, 0) for level in LEVELS}
    if online or most:
        known = prod(count or 1 for count in counts.values())
        missing = next((level for level in ("sockets", "cores", "threads") if not counts[level]), None)
        if missing is not None:
            counts[missing] = max(1, (most or online) // known)
    levels = tuple(count or 1 for count in counts.values())
    most = most or (online if prod(levels) == online else prod(levels))
    online = online or most
    if online > most or most > MAX_CPU + 1:
        raise InputError(f"-smp has {online} CPUs of at most {most}", file=source)
    if prod(levels) != most:
        raise InputError(f"-smp has a topology of {prod(levels)} threads for {most} CPUs", file=source)
    return Smp(most=most, online=online, levels=levels)
