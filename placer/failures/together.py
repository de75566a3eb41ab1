"""Several domains that fail together: which combinations differ, and which are survived by room apart."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import islice

from placer.failures.refuge import Refuge

MOST_TOGETHER = 4096
"""So many combinations that differ are looked at, those that hold the most first."""
MOST_LOOKS = 1000
"""Choices of places that are looked at for one failure."""


def distinct_failures(
    kinds: Mapping[str, Hashable], held: Mapping[str, int], at_once: int
) -> tuple[list[tuple[str, ...]], bool]:
    """Return combinations of so many domains, one of those alike, and whether these are all.

    Parameters
    ----------
    kinds : domain -> what tells it apart: domains of one kind fail alike.
    held : domain -> the vCPUs on it. Domains that hold much come first, in their combinations too.
    """
    alike: dict[Hashable, list[str]] = defaultdict(list)
    for name in sorted(kinds, key=lambda name: -held[name]):
        alike[kinds[name]].append(name)
    found = list(islice(_heaviest(list(alike.values()), held, at_once), MOST_TOGETHER + 1))
    return found[:MOST_TOGETHER], len(found) <= MOST_TOGETHER


def as_many_alike(kinds: Mapping[str, Hashable], sizes: Mapping[Hashable, int], failure: Sequence[str]) -> int:
    """Return how many combinations are just like this one, itself among them; `sizes` are the domains of each kind."""
    return math.prod(math.comb(sizes[kind], many) for kind, many in Counter(kinds[name] for name in failure).items())


def _heaviest(groups: Sequence[Sequence[str]], held: Mapping[str, int], many: int) -> Iterator[tuple[str, ...]]:
    """Yield the ways to take so many names of groups of names alike, those that hold the most first.

    `groups` are in the order of what one of them holds. A way is a group for each name, in their order; from the
    heaviest one every other is reached by taking a name of the next group for the last of one. Ways that cannot be
    among the first so many are forgotten.
    """
    sizes, weight = [len(group) for group in groups], [held[group[0]] for group in groups]
    first = tuple(islice((n for n, size in enumerate(sizes) for _ in range(size)), many))
    if len(first) < many:
        return
    heap = [(-sum(weight[n] for n in first), first)]
    seen = {first}
    while heap:
        minus, way = heapq.heappop(heap)
        taken = Counter(way)
        yield tuple(name for n, count in taken.items() for name in groups[n][:count])
        for at, n in enumerate(way):
            if n + 1 == len(groups) or taken[n + 1] == sizes[n + 1] or way[at + 1 : at + 2] == (n,):
                continue
            other = (*way[:at], n + 1, *way[at + 1 :])
            if other not in seen:
                seen.add(other)
                heapq.heappush(heap, (minus + weight[n] - weight[n + 1], other))
        if len(heap) > 4 * MOST_TOGETHER:
            heap = heapq.nsmallest(MOST_TOGETHER + 1, heap)
            seen = {way for _, way in heap}


class Apart:
    """Places that single failures find, and which of them hold at once."""

    def __init__(self, into: Mapping[str, Sequence[Refuge]], hosts: Mapping[str, Sequence[str]]) -> None:
        """Compare all of them; `hosts` are those of each domain, where nobody goes when it fails."""
        everything = [(name, place) for name, places in into.items() for place in places]
        gone = {name: frozenset(own) for name, own in hosts.items()}
        self._of: dict[str, list[int]] = {name: [] for name in into}
        self._beside = [0] * len(everything)
        for number, (name, place) in enumerate(everything):
            for other in self._known(name, place, everything[:number], gone):
                self._beside[number] |= 1 << other
                self._beside[other] |= 1 << number
            self._of[name].append(number)
        self._places = {name: sum(1 << number for number in own) for name, own in self._of.items()}

    @staticmethod
    def _known(
        name: str, place: Refuge, before: Sequence[tuple[str, Refuge]], gone: Mapping[str, frozenset[str]]
    ) -> Iterator[int]:
        """Yield those before that hold beside this place."""
        for number, (other, there) in enumerate(before):
            clear = place.hosts.isdisjoint(gone[other]) and there.hosts.isdisjoint(gone[name])
            if clear and other != name and place.apart_from(there):
                yield number

    def survives(self, failure: Sequence[str]) -> bool:
        """Tell whether each of the domains has a place apart from those of all others: all are found at once then.

        False too where the search would be long: such a failure is looked at by a solve.
        """
        return self._all_have(tuple(failure), -1, [MOST_LOOKS])

    def _all_have(self, left: tuple[str, ...], among: int, looks: list[int]) -> bool:
        """Tell whether all of these have places among some; the one with fewest is looked at first."""
        if not left:
            return True
        if looks[0] <= 0 or not all(among & self._places.get(name, 0) for name in left):
            return False
        looks[0] -= 1
        name = min(left, key=lambda one: (among & self._places[one]).bit_count())
        rest = tuple(other for other in left if other != name)
        return any(
            among >> number & 1 and self._all_have(rest, among & self._beside[number], looks)
            for number in self._of[name]
        )
