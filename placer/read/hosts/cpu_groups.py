"""Sets of CPUs as machine files give them: cores, packages, L3 domains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import pairwise

from placer.errors import InputError
from placer.model.cpuset import parse_cpu_mask, parse_cpuset

MAX_LISTED = 4_000_000
"""The most CPUs that the different lists of one file may name together."""


class ExhaustingError(InputError):
    """A file is made to exhaust whoever reads it: it is not read on for the sake of its other faults."""


class CpusetReader:
    """Reads the CPU lists of one file: equal texts give the same set, and all lists together stay within bounds.

    The lists of a real machine repeat; a file of thousands of long lists that all differ is made to exhaust us.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._known: dict[tuple[Callable[[str], frozenset[int]], str], frozenset[int]] = {}
        self._listed = 0

    def parse(self, text: str) -> frozenset[int]:
        """Return the CPUs of a list as libvirt and the kernel write it."""
        return self.parse_with(text, parse_cpuset)

    def parse_mask(self, text: str) -> frozenset[int]:
        """Return the CPUs of a hexadecimal mask of the kernel."""
        return self.parse_with(text, parse_cpu_mask)

    def parse_with(self, text: str, parse: Callable[[str], frozenset[int]]) -> frozenset[int]:
        """Return the CPUs of a text in a form of the file's own."""
        # The same text is one set as a list and another as a mask.
        known = self._known.get((parse, text))
        if known is None:
            known = self._known[parse, text] = parse(text)
            self._listed += len(known)
            if self._listed > MAX_LISTED:
                raise ExhaustingError(
                    f"the file lists more than {MAX_LISTED} CPUs in sets that all differ", file=self._source
                )
        return known


def overlap(groups: Iterable[frozenset[int]]) -> tuple[int, frozenset[int], frozenset[int]] | None:
    """Return a CPU that is in two of the sets, and both; None where they are disjoint."""
    owner: dict[int, frozenset[int]] = {}
    for group in groups:
        for cpu in sorted(group):
            if cpu in owner:
                return cpu, owner[cpu], group
            owner[cpu] = group
    return None


def distinct(groups: Iterable[frozenset[int]], online: set[int]) -> tuple[frozenset[int], ...]:
    """Return the sets that hold online CPUs, each once, by their lowest CPU."""
    kept = {frozenset(group & online) for group in set(groups)}
    return tuple(sorted((group for group in kept if group), key=sorted))


def group_by(keys: Mapping[int, object]) -> list[frozenset[int]]:
    """Return the sets of CPUs with equal keys; a CPU whose key is None is in none."""
    groups: dict[object, set[int]] = {}
    for cpu, key in keys.items():
        if key is not None:
            groups.setdefault(key, set()).add(cpu)
    return [frozenset(group) for group in groups.values()]


def siblings_by_rule(cpus: Iterable[int], threads: int, *, adjacent: bool) -> list[frozenset[int]]:
    """Return the cores of `cpus` by numbering alone, where a file tells only how many threads a core has.

    Linux on x86 and Arm servers numbers first threads first, so siblings stand len/threads apart; POWER numbers
    the threads of a core one after the other (`adjacent`). No sets at all where the count does not divide.
    """
    ordered = sorted(cpus)
    if threads < 1 or len(ordered) % threads:
        return []
    step = len(ordered) // threads
    if adjacent:
        return [frozenset(ordered[k * threads : (k + 1) * threads]) for k in range(step)]
    return [frozenset(ordered[k::step]) for k in range(step)]


CLEARLY_LESS = 0.85
"""Of the next better capacity or clock. Favoured performance cores differ by a few hundredths, kinds by a quarter."""


def slower(capacity: Mapping[int, float]) -> set[int]:
    """Return the CPUs of efficiency cores: those below the widest step between capacities (or highest clocks)."""
    levels = sorted({has for has in capacity.values() if has > 0})
    ratio, step = min(((low / high, high) for low, high in pairwise(levels)), default=(1.0, 0.0))
    return {cpu for cpu, has in capacity.items() if 0 < has < step} if ratio < CLEARLY_LESS else set()


def likely_slower(cores: Iterable[frozenset[int]], offline: AbstractSet[int]) -> frozenset[int]:
    """Return the CPUs of cores of one thread beside cores of several, where no sibling is offline: efficiency cores.

    Sources that leave out CPUs that are offline leave a gap in the numbers of the others.
    """
    groups = list(cores)
    cpus = frozenset().union(*groups)
    gaps = bool(cpus) and len(cpus) <= max(cpus) - min(cpus)
    if offline or gaps or all(len(core) == 1 for core in groups):
        return frozenset()
    return frozenset().union(*(core for core in groups if len(core) == 1))
