"""Where VMs of a flavor are now, and what putting one somewhere or taking it away changes of moves and migrations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.improve.tables import Tables
from solvers.problem import IntArray


@dataclass(slots=True, kw_only=True)
class Homes:
    """The n hosts that held VMs of one flavor at the start, in order.

    Attributes
    ----------
    content, here : (n, places) VMs at each placement of the flavor, at the start and now.
    floating, before : (n,) VMs on no known node at the start, and all.
    """

    hosts: IntArray
    content: IntArray
    here: IntArray
    floating: IntArray
    before: IntArray
    settles: bool = False

    def at(self, hosts: IntArray) -> tuple[IntArray, IntArray]:
        """Return which of `hosts` are homes, and the number of each as a home."""
        if not len(self.hosts):
            none = np.zeros(0, dtype=np.int64)
            return none, none
        number = np.minimum(np.searchsorted(self.hosts, hosts), len(self.hosts) - 1)
        which = np.flatnonzero(self.hosts[number] == hosts)
        return which, number[which]

    def change(self, number: IntArray, local: IntArray, sign: int) -> tuple[IntArray, IntArray]:
        """Return the change of (moves, migrations) when a VM comes to (sign 1) or leaves (-1) places of homes."""
        content, here = self.content[number], self.here[number]
        total, before = here.sum(axis=1), self.before[number]
        if self.settles:
            content = np.zeros_like(content)
        spare = total - np.minimum(content, here).sum(axis=1)
        floating = before if self.settles else self.floating[number]
        row = np.arange(len(number))
        own, now = content[row, local], here[row, local]
        if sign > 0:
            kept = np.where(own > now, 1, floating > spare)
            left = -(total < before).astype(np.int64)
        else:
            kept = -np.where(now <= own, 1, spare <= floating)
            left = (total <= before).astype(np.int64)
        return -kept.astype(np.int64), left

    def spare(self, number: IntArray, local: IntArray, stay_only: IntArray, allowed: IntArray) -> IntArray:
        """Return whether one VM more may be at places of homes: no more than before where none may come or be so."""
        total = self.here[number].sum(axis=1)
        row = np.arange(len(number))
        back = self.here[number][row, local] < self.content[number][row, local]
        return np.asarray((allowed | (total < self.before[number])) & (~stay_only | back))


def homes_of(tables: Tables) -> dict[int, Homes]:
    """Return the homes of every flavor that any host holds at the start; `here` is as then."""
    problem = tables.problem
    starts = np.cumsum([0, *(cls.count for cls in problem.classes)])
    found: dict[int, list[tuple[int, int, int]]] = {}
    for number, cls in enumerate(problem.classes):
        first = int(tables.first[cls.shape])
        entries = [(int(tables.flavor[first + p]), int(tables.local[first + p]), many) for p, many in cls.content]
        entries += [(flavor, -1, many) for flavor, many in cls.floating]
        for flavor, local, many in entries:
            for host in range(int(starts[number]), int(starts[number + 1])):
                found.setdefault(flavor, []).append((host, local, many))
    out = {}
    for flavor, entries in found.items():
        hosts = np.array(sorted({host for host, _, _ in entries}), dtype=np.int64)
        own = tables.placements_of(flavor)
        places = int(tables.local[own].max()) + 1 if len(own) else 1
        index = {host: n for n, host in enumerate(hosts.tolist())}
        content = np.zeros((len(hosts), places), dtype=np.int64)
        floating = np.zeros(len(hosts), dtype=np.int64)
        for host, local, many in entries:
            if local < 0:
                floating[index[host]] += many
            else:
                content[index[host], local] += many
        out[flavor] = Homes(
            hosts=hosts,
            content=content,
            here=np.zeros_like(content),
            floating=floating,
            before=content.sum(axis=1) + floating,
            settles=problem.flavors[flavor].settles,
        )
    return out
