"""Flavors that only rules tell apart made one: what an engine decides are counts, and members get names afterwards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solvers.problem import BoolArray, HostClass, IntArray, Problem, Shape
from solvers.result import HostPattern, Result

Pairs = tuple[tuple[int, int], ...]
"""(placement, VMs) of a pattern."""


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The problem without rules and with one flavor for all that differ in rules alone: a relaxation of the source.

    Attributes
    ----------
    flavor : (F,) the merged flavor of each of the source. places : a shape of the source, (P,) the merged placement of
    each of its placements. named : merged flavor -> those of the source, where they are several.
    """

    source: Problem
    problem: Problem
    flavor: IntArray
    places: tuple[IntArray, ...]
    named: dict[int, list[int]]

    @classmethod
    def of(cls, problem: Problem, apart: Sequence[Hashable] = ()) -> Merged | None:
        """Merge flavors of which every VM is still to come; None where there is nothing to merge.

        `apart` : (F,) only those alike in this become one too; nothing where all may.
        """
        own = _own(problem)
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for number in range(len(problem.flavors)):
            groups[number if own[number] else (key_of(problem, number), *apart[number : number + 1])].append(number)
        if len(groups) == len(problem.flavors):
            return None
        groups = dict(sorted(groups.items(), key=lambda item: item[1][0]))
        flavor = np.zeros(len(problem.flavors), dtype=np.int64)
        for new, numbers in enumerate(groups.values()):
            flavor[numbers] = new
        first = [numbers[0] for numbers in groups.values()]
        arriving = [sum(problem.flavors[one].arriving for one in numbers) for numbers in groups.values()]
        kept = [np.flatnonzero(np.isin(shape.flavor, first)) for shape in problem.shapes]
        places = tuple(
            _places(shape, flavor, first, chosen) for shape, chosen in zip(problem.shapes, kept, strict=True)
        )
        made = replace(
            problem,
            rules=(),
            flavors=tuple(
                replace(problem.flavors[one], arriving=many) for one, many in zip(first, arriving, strict=True)
            ),
            shapes=tuple(
                shape.of_placements(chosen, flavor[shape.flavor[chosen]])
                for shape, chosen in zip(problem.shapes, kept, strict=True)
            ),
            classes=tuple(_class(one, first, flavor, kept[one.shape], places[one.shape]) for one in problem.classes),
            objectives=tuple(objective.of_flavors(first) for objective in problem.objectives),
        )
        named = {new: numbers for new, numbers in enumerate(groups.values()) if len(numbers) > 1}
        return cls(source=problem, problem=made, flavor=flavor, places=places, named=named)

    def forth(self, found: Result) -> Result:
        """Return an answer to the source as one of the problem."""
        made: Counter[tuple[int, Pairs, Pairs]] = Counter()
        for pattern in found.patterns:
            places = self.places[self.source.classes[pattern.host_class].shape]
            held, counted = _summed(places, pattern.placements), _summed(places, pattern.phantoms)
            made[pattern.host_class, held, counted] += pattern.count
        out = np.zeros(len(self.problem.flavors), dtype=np.int64)
        np.add.at(out, self.flavor, np.array(found.unplaced, dtype=np.int64))
        return replace(found, patterns=_patterns(made), unplaced=tuple(out.tolist()), certificate=None)

    def back(self, found: Result) -> Result:
        """Return an answer as one of the source, members of rules wherever they come to be: it may break the rules."""
        patterns, unplaced = self.anyhow(found)
        return replace(found, patterns=patterns, unplaced=unplaced, certificate=self.certificate(found))

    def certificate(self, found: Result) -> dict[str, object] | None:
        """Return the certificate of an answer for the source: VMs of merged flavors are worth the same."""
        if found.certificate is None:
            return None
        entries = [None if one is None else self._widened(one) for one in found.certificate["objectives"]]
        return {**found.certificate, "objectives": entries}

    def _widened(self, entry: dict[str, object]) -> dict[str, object] | None:
        duals = entry.get("flavor")
        if not isinstance(duals, list):
            return None  # A tree's branches are of counts that the source has not.
        return {**entry, "flavor": [duals[new] for new in self.flavor.tolist()]}

    def anyhow(self, found: Result) -> tuple[tuple[HostPattern, ...], tuple[int, ...]]:
        """Return patterns and VMs left out of the source, its flavors named in their order."""
        left = {new: [self.source.flavors[one].arriving for one in numbers] for new, numbers in self.named.items()}
        out = np.zeros(len(self.flavor), dtype=np.int64)
        for number, new in enumerate(self.flavor.tolist()):
            if new not in self.named:
                out[number] = found.unplaced[new] if found.unplaced else 0
        for new, numbers in self.named.items():
            # VMs under no rule are the last of their kind, mostly: they come in first, and stay out last.
            many = found.unplaced[new] if found.unplaced else 0
            for at, one in enumerate(numbers):
                take = min(many, left[new][at])
                out[one] += take
                left[new][at] -= take
                many -= take
        twins = self.twins()
        made: Counter[tuple[int, Pairs, Pairs]] = Counter()
        next_ = dict.fromkeys(self.named, 0)
        for pattern in found.patterns:
            shape = self.source.classes[pattern.host_class].shape
            flavor = self.problem.shapes[shape].flavor
            several = any(int(flavor[place]) in self.named for place, _ in pattern.placements)
            for hosts in [1] * pattern.count if several else [pattern.count]:
                held: Counter[int] = Counter()
                for place, many in pattern.placements:
                    new = int(flavor[place])
                    own = self.named.get(new, [])
                    while many and own and next_[new] < len(own):
                        at = next_[new]
                        take = min(many, left[new][at])
                        if take:
                            held[twins[shape][place, own[at]]] += take
                            left[new][at] -= take
                            many -= take
                        next_[new] += not left[new][at]
                    if many:
                        held[twins[shape][place, -1]] += many
                phantoms = tuple((twins[shape][place, -1], many) for place, many in pattern.phantoms)
                made[pattern.host_class, tuple(sorted(held.items())), phantoms] += hosts
        return _patterns(made), tuple(out.tolist())

    def twins(self) -> list[dict[tuple[int, int], int]]:
        """Return a shape, (merged placement, flavor of the source) -> placement; flavor -1 where there is but one."""
        out = []
        for shape, places in zip(self.source.shapes, self.places, strict=True):
            found = {}
            for number, (new, flavor) in enumerate(zip(places.tolist(), shape.flavor.tolist(), strict=True)):
                found[new, flavor] = number
                found.setdefault((new, -1), number)
            out.append(found)
        return out


def _summed(places: IntArray, pairs: Pairs) -> Pairs:
    """Return pairs of merged placements."""
    out: Counter[int] = Counter()
    for place, many in pairs:
        out[int(places[place])] += many
    return tuple(sorted(out.items()))


def _patterns(made: Counter[tuple[int, Pairs, Pairs]]) -> tuple[HostPattern, ...]:
    """Return patterns of (class, placements, phantoms) with their hosts."""
    return tuple(
        HostPattern(host_class=number, count=count, placements=placements, phantoms=phantoms)
        for (number, placements, phantoms), count in made.items()
    )


def _present(problem: Problem) -> IntArray:
    return problem.demand() - np.array([flavor.arriving for flavor in problem.flavors], dtype=np.int64)


def _own(problem: Problem) -> BoolArray:
    """Return (F,): flavors that stay as they are: VMs are there already, or are none, or have limits of their own."""
    out = (_present(problem) > 0) | np.array([one.phantom or one.settles for one in problem.flavors], dtype=np.bool_)
    for shape in problem.shapes:
        out[shape.flavor[shape.stay_only]] = True
    for one in problem.classes:
        for place in one.at_most:
            out[problem.shapes[one.shape].flavor[place]] = True
    return out


def key_of(problem: Problem, number: int, *, but_hosts: bool = False) -> Hashable:
    """Return all that counts of a flavor but the rules that it is under, and `but_hosts` those that it may be on."""
    flavor = problem.flavors[number]
    parts: list[Hashable] = [flavor.vcpus, flavor.priority]
    parts += [None if o.unplaced is None else int(o.unplaced[number]) for o in problem.objectives]
    if not but_hosts:
        parts.append(np.array([one.allowed[number] for one in problem.classes]).tobytes())
    parts.append(np.array([one.stay_penalty[number] for one in problem.classes]).tobytes())
    for one in problem.classes:
        own = np.flatnonzero(problem.shapes[one.shape].flavor == number) if one.chains else None
        parts += [chain[:, own].tobytes() for chain in one.chains]
    for shape in problem.shapes:
        own = np.flatnonzero(shape.flavor == number)
        parts += [shape.use[own].tobytes(), shape.touches[own].tobytes()]
        parts += [(goal, cost[own].tobytes()) for goal, cost in sorted(shape.cost.items())]
        parts += [counts[:, own].tobytes() for _, counts in sorted(shape.parts.items())]
    return tuple(parts)


def _places(shape: Shape, flavor: IntArray, first: Sequence[int], chosen: IntArray) -> IntArray:
    """Return (P,): the merged placement of each; those of a flavor are in the order of the first one's."""
    out = np.zeros(shape.placements, dtype=np.int64)
    new_of = {int(old): new for new, old in enumerate(chosen.tolist())}
    own: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(shape.flavor.tolist()):
        own[number].append(place)
    for number, places in own.items():
        lead = own[first[int(flavor[number])]]
        for place, other in zip(places, lead, strict=True):
            out[place] = new_of[other]
    return out


def _class(one: HostClass, first: Sequence[int], flavor: IntArray, chosen: IntArray, places: IntArray) -> HostClass:
    return replace(
        one,
        content=tuple((int(places[place]), many) for place, many in one.content),
        at_most={int(places[place]): many for place, many in one.at_most.items()},
        floating=tuple((int(flavor[number]), many) for number, many in one.floating),
        allowed=one.allowed[first],
        stay_penalty=one.stay_penalty[first],
        fixed_members={},
        fixed_on={},
        chains=tuple(chain[:, chosen] for chain in one.chains),
    )
