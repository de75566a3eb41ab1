"""Sets of CPUs as machine files give them: cores, packages, L3 domains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from placer.model.cpuset import parse_cpuset


@lru_cache(maxsize=4096)
def cached_cpuset(text: str) -> frozenset[int]:
    """Read a CPU list as `parse_cpuset` does; machine files repeat the same lists hundreds of times."""
    return parse_cpuset(text)


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
