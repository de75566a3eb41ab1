"""A problem whose rules over several hosts are replaced by where each member may arrive, and the way back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solvers.problem import BoolArray, Flavor, HostClass, IntArray, Problem, Shape
from solvers.reductions.choose_domains import Ties
from solvers.result import HostPattern, Result


@dataclass(slots=True)
class Tied:
    """The problem with groups tied: flavors of spread rules are cut in one a domain; `origin` tells which each was."""

    problem: Problem
    origin: list[int]
    source: Problem

    @classmethod
    def of(cls, problem: Problem, ties: Ties) -> Tied:
        """Build it. Each flavor may arrive only where all the rules it is in let it."""
        flavors: list[Flavor] = []
        origin: list[int] = []
        places: list[dict[str, set[int]]] = []
        rules_of: dict[int, list[int]] = defaultdict(list)
        for index, rule in enumerate(problem.rules):
            for member in rule.members:
                rules_of[member].append(index)
        cuts = _cuts(problem, ties)
        for number, flavor in enumerate(problem.flavors):
            homes: dict[str, set[int]] = {}
            cut = cuts.get(number, [])
            spread = False
            for index in rules_of[number]:
                scope = problem.rules[index].scope
                if problem.rules[index].kind == "together":
                    homes[scope] = homes.get(scope, {ties.home[index]}) & {ties.home[index]}
                else:
                    spread = True
            flavors.append(replace(flavor, arriving=flavor.arriving - sum(count for _, _, count in cut)))
            origin.append(number)
            # What is left of a spread flavor has no domain to go to: it stays where it is, or out.
            places.append({**homes, "": set()} if spread else homes)
            for scope, domain, count in cut:
                flavors.append(replace(flavor, arriving=count))
                origin.append(number)
                places.append({**homes, scope: homes.get(scope, {domain}) & {domain}})
        shapes = tuple(_widened(shape, origin) for shape in problem.shapes)
        classes = tuple(
            replace(
                host_class,
                allowed=_allowed(host_class, origin, places),
                stay_penalty=host_class.stay_penalty[origin],
                # A shape's own placements come first in its widened twin, so that content needs no new numbers.
                floating=tuple((origin.index(flavor), count) for flavor, count in host_class.floating),
                chains=tuple(
                    _widened_keys(chain, problem.shapes[host_class.shape], origin) for chain in host_class.chains
                ),
                fixed_members={},
            )
            for host_class in problem.classes
        )
        objectives = tuple(objective.of_flavors(origin) for objective in problem.objectives)
        tied = replace(problem, flavors=tuple(flavors), shapes=shapes, classes=classes, objectives=objectives, rules=())
        return cls(problem=tied, origin=origin, source=problem)

    def forth(self, patterns: Sequence[HostPattern]) -> tuple[HostPattern, ...]:
        """Return patterns of the source, which may break its rules, without the VMs that the ties do not let in."""
        copies: dict[int, list[int]] = defaultdict(list)
        for number, first in enumerate(self.origin):
            copies[first].append(number)
        left = self.problem.demand()
        places = [_places(shape, self.origin) for shape in self.source.shapes]
        out: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
        for pattern in patterns:
            host_class = self.problem.classes[pattern.host_class]
            shape = self.source.shapes[host_class.shape]
            here = self.source.content_of(pattern.host_class)
            # Copies run out host by host: hosts alike before may not be alike any more.
            tied = any(len(copies[int(shape.flavor[placement])]) > 1 for placement, _ in pattern.placements)
            for hosts in [1] * pattern.count if tied else [pattern.count]:
                stay, kept = here.copy(), Counter[int]()
                for placement, count in pattern.placements:
                    flavor = int(shape.flavor[placement])
                    for number in copies[flavor]:
                        first = number == copies[flavor][0]
                        may = count if host_class.allowed[number] else int(stay[flavor]) if first else 0
                        take = min(count, may, int(left[number]) // hosts)
                        if take > 0:
                            kept[placement if first else places[host_class.shape][number, placement]] += take
                            left[number] -= take * hosts
                            count -= take
                            if first:
                                stay[flavor] = max(0, stay[flavor] - take)
                out[pattern.host_class, tuple(sorted(kept.items()))] += hosts
        return tuple(
            HostPattern(host_class=number, count=count, placements=placements)
            for (number, placements), count in out.items()
        )

    def back(self, found: Result) -> Result:
        """Return an answer of the tied problem as one of the problem it came from."""
        if not found.patterns:
            return found
        patterns = []
        for pattern in found.patterns:
            shape = self.source.shapes[self.source.classes[pattern.host_class].shape]
            order = _order(shape, self.origin)
            counts: Counter[int] = Counter()
            for placement, count in pattern.placements:
                counts[int(order[placement])] += count
            phantoms = tuple((int(order[placement]), count) for placement, count in pattern.phantoms)
            patterns.append(
                HostPattern(
                    host_class=pattern.host_class,
                    count=pattern.count,
                    placements=tuple(sorted(counts.items())),
                    phantoms=phantoms,
                )
            )
        out = np.zeros(len(self.source.flavors), dtype=np.int64)
        np.add.at(out, self.origin, np.array(found.unplaced, dtype=np.int64))
        return replace(found, patterns=tuple(patterns), unplaced=tuple(out.tolist()))


def _cuts(problem: Problem, ties: Ties) -> dict[int, list[tuple[str, int, int]]]:
    """Return flavor -> (scope, domain, arriving VMs that go there), where a ``spread`` rule parts its VMs.

    First each flavor goes where the answer nearby has it; then the others take what is left of the quotas.
    """
    cuts: dict[int, Counter[tuple[str, int]]] = defaultdict(Counter)
    left = [flavor.arriving for flavor in problem.flavors]
    quotas = {index: dict(quota) for index, quota in ties.quota.items()}
    for near in (True, False):
        for index, quota in sorted(quotas.items()):
            scope = problem.rules[index].scope
            for flavor in problem.rules[index].members:
                if any(other != scope for other, _ in cuts[flavor]):
                    continue
                seen = ties.seen.get((flavor, scope), Counter())
                for domain in sorted(quota, key=lambda d: (-quota[d], d)):
                    take = min(left[flavor], quota[domain], seen[domain] if near else left[flavor])
                    if take > 0:
                        cuts[flavor][scope, domain] += take
                        quota[domain] -= take
                        left[flavor] -= take
    return {
        flavor: [(scope, domain, many) for (scope, domain), many in sorted(cut.items())] for flavor, cut in cuts.items()
    }


def _allowed(host_class: HostClass, origin: Sequence[int], places: Sequence[Mapping[str, set[int]]]) -> BoolArray:
    """Return (F',): whether each flavor, copies included, may arrive on hosts of the class."""
    own = [all(host_class.domain.get(scope, -1) in chosen for scope, chosen in place.items()) for place in places]
    return np.array(own, dtype=np.bool_) & host_class.allowed[list(origin)]


def _order(shape: Shape, origin: Sequence[int]) -> IntArray:
    """Return (P',): the placement that each placement of a shape's widened twin was, first all of the shape's own."""
    by_flavor: dict[int, IntArray] = {}
    order = [np.arange(shape.placements, dtype=np.int64)]
    for number, first in enumerate(origin):
        if number and origin[number - 1] == first:
            if first not in by_flavor:
                by_flavor[first] = np.flatnonzero((shape.flavor == first) & ~shape.stay_only)
            order.append(by_flavor[first])
    return np.concatenate(order)


def _places(shape: Shape, origin: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return (flavor, placement of the shape) -> placement of its widened twin, for copies of flavors."""
    order = _order(shape, origin)[shape.placements :]
    flavor = _widened(shape, origin).flavor[shape.placements :]
    own = range(shape.placements, shape.placements + len(order))
    return dict(zip(zip(flavor.tolist(), order.tolist(), strict=True), own, strict=True))


def _widened(shape: Shape, origin: Sequence[int]) -> Shape:
    """Return the shape with the placements of the cut flavors repeated for every copy."""
    order = _order(shape, origin)
    first_index = {first: origin.index(first) for first in set(origin)}
    flavor = [np.array([first_index[int(f)] for f in shape.flavor], dtype=np.int64)]
    for number, first in enumerate(origin):
        if number and origin[number - 1] == first:
            flavor.append(np.full(int(((shape.flavor == first) & ~shape.stay_only).sum()), number, dtype=np.int64))
    return shape.of_placements(order, np.concatenate(flavor))


def _widened_keys(chain: IntArray, shape: Shape, origin: Sequence[int]) -> IntArray:
    return np.asarray(chain[:, _order(shape, origin)], dtype=np.int64)
