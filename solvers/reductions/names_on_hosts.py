"""VMs named to the places of an answer that knows counts alone, where rules keep groups apart on hosts.

Rules over hosts of which each limits how many of one group are beside another have no domains that hosts could
exchange: each host is one. But VMs that only these rules tell apart have many places, and most groups know few others.
So each VM takes a place on a host where no limit is in its way, the most limited first; where there is none, another VM
makes way for it that finds one. It ends after a number of looks, and costs nothing where all are named; cut off by the
clock or an interrupt it counts for nothing.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from solvers.clock import Clock, CutOffError
from solvers.host_limits import HostLimits
from solvers.problem import IntArray, Problem
from solvers.reductions.merged import Merged
from solvers.result import HostPattern, Result

SWAPS = 400
"""Hosts on which a VM is asked to make way for one."""
LOOKS = 200_000
"""Places that are looked at in all for VMs that make way, so that hopeless limits end too."""


def named_on_hosts(
    problem: Problem, limits: HostLimits, merged: Merged, found: Result, *, seed: int, clock: Clock
) -> Result | None:
    """Return an answer to the problem without its limits, merged, as one of the problem whose limits it keeps; VMs that
    find no place so are left out. None where there is nothing to name, or it was cut off.
    """
    if not found.patterns or any(pattern.phantoms for pattern in found.patterns):
        return None
    try:
        return _Naming(problem=problem, limits=limits, merged=merged, found=found, seed=seed, clock=clock).answer()
    except CutOffError:
        return None


@dataclass(slots=True, kw_only=True)
class _Naming:
    """The hosts of the answer, one by one.

    Attributes
    ----------
    held : a host -> flavor -> VMs; where : flavor -> host -> VMs. looks : what is left of `LOOKS`.
    ring : merged flavor -> its hosts in an order of chance; free : places left on each of these; at : host -> its
    number in the ring; next_ : where in it the next VM looks.
    """

    problem: Problem
    limits: HostLimits
    merged: Merged
    found: Result
    seed: int
    clock: Clock
    looks: int = LOOKS
    held: list[Counter[int]] = field(init=False)
    where: dict[int, dict[int, int]] = field(init=False)
    ring: dict[int, IntArray] = field(default_factory=dict)
    free: dict[int, IntArray] = field(default_factory=dict)
    at: dict[int, dict[int, int]] = field(default_factory=dict)
    next_: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """List hosts, their places and the limits of each flavor."""
        flavors = [shape.flavor.tolist() for shape in self.merged.problem.shapes]
        free: dict[int, dict[int, int]] = defaultdict(dict)
        hosts = 0
        for pattern in self.found.patterns:
            of = flavors[self.problem.classes[pattern.host_class].shape]
            slots: Counter[int] = Counter()
            for place, many in pattern.placements:
                slots[of[place]] += many
            for host in range(hosts, hosts + pattern.count):
                for flavor, many in slots.items():
                    free[flavor][host] = many
            hosts += pattern.count
        self.held, self.where = [Counter() for _ in range(hosts)], defaultdict(dict)
        rng = random.Random(self.seed)
        for flavor, own in free.items():
            ring = rng.sample(list(own), len(own))
            self.ring[flavor] = np.array(ring, dtype=np.int64)
            self.free[flavor] = np.array([own[host] for host in ring], dtype=np.int64)
            self.at[flavor] = {host: number for number, host in enumerate(ring)}

    def answer(self) -> Result:
        """Return the answer with names."""
        left = np.array([flavor.arriving for flavor in self.problem.flavors], dtype=np.int64)
        # VMs that the counts leave out are those that come last of their kind.
        weight = [self.limits.many_of(flavor) for flavor in range(len(left))]
        order = sorted(range(len(left)), key=lambda f: (-weight[f] * int(left[f]), f))
        rng = random.Random(self.seed)
        for flavor in order:
            self.clock.check()
            self._place_all(flavor, left, rng)
        return self._whole(left)

    def _place_all(self, flavor: int, left: IntArray, rng: random.Random) -> None:
        new = int(self.merged.flavor[flavor])
        if new not in self.ring or not left[flavor]:
            return
        ring, free = self.ring[new], self.free[new]
        most = np.zeros(len(self.held), dtype=np.int64)
        most[ring] = np.minimum(free, left[flavor])
        self.limits.lower(flavor, self.where, most)
        some = np.flatnonzero(most[ring] > 0)
        some = np.roll(some, -int(np.searchsorted(some, self.next_[new])))
        before = np.cumsum(most[ring[some]]) - most[ring[some]]
        for number, taken in zip(some.tolist(), before.tolist(), strict=True):
            if taken >= left[flavor]:
                break
            host = int(ring[number])
            self._put(flavor, host, min(int(most[host]), int(left[flavor]) - taken))
            self.next_[new] = number
        left[flavor] = max(0, int(left[flavor]) - int(most[ring[some]].sum()))
        for _ in range(int(left[flavor])):
            if self.looks <= 0 or not free.any() or not self._makes_way(flavor, rng):
                return
            left[flavor] -= 1

    def _makes_way(self, flavor: int, rng: random.Random) -> bool:
        """Let a VM of another flavor, of the same size, go to a free place, and one of this flavor take its own."""
        new = int(self.merged.flavor[flavor])
        free = self.ring[new][self.free[new] > 0].tolist()
        hosts = self.ring[new][self.free[new] == 0].tolist()
        for host in rng.sample(hosts, min(SWAPS, len(hosts))):
            self.clock.check()
            for other in [one for one in self.held[host] if int(self.merged.flavor[one]) == new and one != flavor]:
                self._take(other, host)
                self.looks -= 1
                if self.limits.may(flavor, self.held[host]):
                    self._put(flavor, host)
                    target = self._target(other, free, host)
                    if target is not None:
                        self._put(other, target)
                        return True
                    self._take(flavor, host)
                self._put(other, host)
        return False

    def _target(self, flavor: int, hosts: Sequence[int], avoid: int) -> int | None:
        """Return a host where a VM of a flavor may be beside what is there."""
        for host in hosts:
            self.looks -= 1
            if host != avoid and self.limits.may(flavor, self.held[host]):
                return host
            if self.looks <= 0:
                break
        return None

    def _put(self, flavor: int, host: int, many: int = 1) -> None:
        there = self.where[flavor]
        self.held[host][flavor] = there[host] = there.get(host, 0) + many
        new = int(self.merged.flavor[flavor])
        self.free[new][self.at[new][host]] -= many

    def _take(self, flavor: int, host: int) -> None:
        there = self.where[flavor]
        self.held[host][flavor] = there[host] = there[host] - 1
        if not there[host]:
            del there[host], self.held[host][flavor]
        new = int(self.merged.flavor[flavor])
        self.free[new][self.at[new][host]] += 1

    def _whole(self, left: IntArray) -> Result:
        twins = self.merged.twins()
        made: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
        for (number, places), held in zip(self._places(), self.held, strict=True):
            shape, waiting = self.problem.classes[number].shape, Counter(held)
            placed: Counter[int] = Counter()
            for place, many in places:
                new = int(self.merged.problem.shapes[shape].flavor[place])
                for flavor in [one for one in waiting if int(self.merged.flavor[one]) == new]:
                    take = min(many, waiting[flavor])
                    if take:
                        placed[twins[shape][place, flavor]] += take
                        waiting[flavor] -= take
                        many -= take
            made[number, tuple(sorted(placed.items()))] += 1
        patterns = tuple(
            HostPattern(host_class=number, count=count, placements=placed)
            for (number, placed), count in sorted(made.items())
        )
        return replace(
            self.found, status="feasible", patterns=patterns, unplaced=tuple(left.tolist()), certificate=None
        )

    def _places(self) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
        for pattern in self.found.patterns:
            for _ in range(pattern.count):
                yield pattern.host_class, pattern.placements
