"""Several domains that fail together: which combinations differ, and which are survived by room apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import islice

from placer.failures.refuge import Refuge

MOST_TOGETHER = 4096
"""So many combinations that differ are looked at, those that hold the most first."""


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
    found = list(islice(_chosen(list(alike.values()), at_once), MOST_TOGETHER + 1))
    return found[:MOST_TOGETHER], len(found) <= MOST_TOGETHER


def _chosen(groups: Sequence[Sequence[str]], many: int) -> Iterator[tuple[str, ...]]:
    """Yield the ways to take so many names of groups of names alike: how many of each group."""
    if not many:
        yield ()
    elif sum(map(len, groups)) >= many:
        for taken in range(min(many, len(groups[0])), -1, -1):
            for rest in _chosen(groups[1:], many - taken):
                yield (*groups[0][:taken], *rest)


class Apart:
    """Places that single failures find, and which of them hold at once."""

    def __init__(self, into: Mapping[str, Sequence[Refuge]], hosts: Mapping[str, Sequence[str]]) -> None:
        """Compare all of them; `hosts` are those of each domain, where nobody goes when it fails."""
        everything = [(name, place) for name, places in into.items() for place in places]
        gone = {name: frozenset(own) for name, own in hosts.items()}
        self._of: dict[str, list[int]] = defaultdict(list)
        self._beside = [0] * len(everything)
        for number, (name, place) in enumerate(everything):
            for other in self._known(name, place, everything[:number], gone):
                self._beside[number] |= 1 << other
                self._beside[other] |= 1 << number
            self._of[name].append(number)

    @staticmethod
    def _known(
        name: str, place: Refuge, before: Sequence[tuple[str, Refuge]], gone: Mapping[str, frozenset[str]]
    ) -> Iterator[int]:
        """Yield those before that hold beside this place."""
        for number, (other, there) in enumerate(before):
            clear = place.hosts.isdisjoint(gone[other]) and there.hosts.isdisjoint(gone[name])
            if clear and other != name and place.apart_from(there):
                yield number

    def survives(self, failure: Sequence[str], among: int = -1) -> bool:
        """Tell whether each of the domains has a place apart from those of all others: all are found at once then."""
        if not failure:
            return True
        return any(
            among >> number & 1 and self.survives(failure[1:], among & self._beside[number])
            for number in self._of[failure[0]]
        )
