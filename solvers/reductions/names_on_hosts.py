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
HOSTS = 2_000
"""Hosts on which VMs of a flavor look for a place: nothing grows with groups times hosts."""
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
    held : a host -> flavor -> VMs. free : merged flavor -> host -> places left. looks : what is left of `LOOKS`.
    ring : merged flavor -> its hosts in an order of chance, some full by now; next_ : where in it the next VM looks.
    """

    problem: Problem
    limits: HostLimits
    merged: Merged
    found: Result
    seed: int
    clock: Clock
    looks: int = LOOKS
    slots: list[Counter[int]] = field(init=False)
    held: list[Counter[int]] = field(init=False)
    free: dict[int, dict[int, int]] = field(init=False)
    ring: dict[int, list[int]] = field(init=False)
    next_: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """List hosts, their places and the limits of each flavor."""
        flavors = [shape.flavor.tolist() for shape in self.merged.problem.shapes]
        self.slots = []
        for pattern in self.found.patterns:
            of = flavors[self.problem.classes[pattern.host_class].shape]
            slots: Counter[int] = Counter()
            for place, many in pattern.placements:
                slots[of[place]] += many
            for _ in range(pattern.count):
                self.slots.append(slots)
        self.held = [Counter() for _ in self.slots]
        self.free = defaultdict(dict)
        for host, slots in enumerate(self.slots):
            for flavor, many in slots.items():
                self.free[flavor][host] = many
        rng = random.Random(self.seed)
        self.ring = {flavor: rng.sample(list(hosts), len(hosts)) for flavor, hosts in self.free.items()}

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
        free = self.free[new]
        if 2 * len(free) < len(self.ring.get(new, ())):
            self.ring[new] = [host for host in self.ring[new] if host in free]
        ring = self.ring.get(new, [])
        for step in range(min(len(ring), HOSTS)):
            host = ring[(self.next_[new] + step) % len(ring)]
            while left[flavor] and free.get(host) and self.limits.may(flavor, self.held[host]):
                self._put(flavor, host)
                left[flavor] -= 1
            if not left[flavor]:
                self.next_[new] += step
                return
        for _ in range(int(left[flavor])):
            if not free or self.looks <= 0 or not self._makes_way(flavor, rng):
                return
            left[flavor] -= 1

    def _makes_way(self, flavor: int, rng: random.Random) -> bool:
        """Let a VM of another flavor, of the same size, go to a free place, and one of this flavor take its own."""
        new = int(self.merged.flavor[flavor])
        free = list(self.free[new])
        hosts = [host for host, slots in enumerate(self.slots) if slots[new] and host not in self.free[new]]
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

    def _put(self, flavor: int, host: int) -> None:
        self.held[host][flavor] += 1
        free = self.free[int(self.merged.flavor[flavor])]
        free[host] -= 1
        if not free[host]:
            del free[host]

    def _take(self, flavor: int, host: int) -> None:
        self.held[host][flavor] -= 1
        if not self.held[host][flavor]:
            del self.held[host][flavor]
        free = self.free[int(self.merged.flavor[flavor])]
        free[host] = free.get(host, 0) + 1

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
