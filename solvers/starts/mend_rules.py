"""Rules over hosts that are broken at the start are mended first: members go where every rule of theirs has room.

Columns decide counts and improvements leave members of rules where they are, so that neither would. What mends a rule
is a few VMs that go elsewhere together: one member of a domain with too many, all of one that a group should not use,
one of others that must not be beside members or all those members, one of two in a domain where a further domain is to
be used, one from each domain that has most of them. The fewest moves come first, and of equals groups that must be in
one domain: they have nowhere else to go. Where there is no room, another VM leaves first: one whose own rule that
mends at best, else any while moves are left. What found no way in the end comes first when all is begun anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np

from solvers.improve.fleet import Fleet, Vector
from solvers.improve.relocate import Shut, best_place
from solvers.improve.tables import tables_of
from solvers.problem import BoolArray, IntArray, Problem
from solvers.result import Result
from solvers.starts.best_fit import better
from solvers.starts.rule_counts import Place, RuleCounts, Task

OPTIONS = 24
"""Sets of VMs that are tried for what is broken in a domain, the smallest first."""
TURNS = 4
"""Times that all is begun, what found no way before at first."""
LEAVERS = 200
"""VMs that are asked to leave for one to come."""


def rules_mended(problem: Problem, start: Result, stop: Callable[[], bool] = lambda: False) -> Result:
    """Return an answer with fewer breaks of rules over hosts where moves within the limits bring that, else the given
    one.
    """
    budget = problem.budget
    hard = [rule for rule in problem.rules if not rule.is_soft]
    if not hard or not start.patterns or 0 in (budget.moves, budget.migrations):
        return start
    if all(one.is_empty for one in problem.classes) or (tables := tables_of(problem)) is None:
        return start
    fleet = Fleet.of(tables, start.patterns, start.unplaced)
    if not fleet.within_budget() or fleet.moves_left < 1:
        return start
    _Mending(fleet=fleet, counts=RuleCounts.of(fleet)).run(stop)
    return better(problem, start, fleet)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """VMs that mend something by going elsewhere, and where none of them may go for that, as counts are then."""

    vms: Sequence[Place]
    shut: Shut


@dataclass(slots=True, kw_only=True)
class _Mending:
    """The fleet and the counts of its rules, which change together."""

    fleet: Fleet
    counts: RuleCounts
    failed: set[tuple[int, int]] = field(default_factory=set)
    """(rule, domain) of what found no way."""

    def run(self, stop: Callable[[], bool]) -> None:
        """Mend what is broken, several times over where something found no way; the best end is kept."""
        best: tuple[int, Vector, list[tuple[int, int, int]]] | None = None
        first: set[tuple[int, int]] = set()
        for _ in range(TURNS):
            self.failed = set()
            self._turn(stop, first)
            # What a fleet is worth knows nothing of rules over hosts.
            broken, value = self._excess(), self.fleet.vector()
            if best is None or (broken, value) < best[:2]:
                best = broken, value, list(self.fleet.journal)
            if not self.failed - first or not broken or stop():
                break
            first |= self.failed
            self._undo(0)
        assert best is not None
        if self.fleet.journal != best[2]:
            self._undo(0)
            for host, place, sign in best[2]:
                self._put(host, place, sign)

    def _excess(self) -> int:
        return sum(map(self.counts.excess, range(len(self.counts.problem.rules))))

    def _turn(self, stop: Callable[[], bool], first: Set[tuple[int, int]]) -> None:
        """Mend what is broken, the fewest moves first, while moves are left."""
        every = [task for index in range(len(self.counts.problem.rules)) for task in self.counts.tasks(index)]
        late = self._work([task for task in every if task[2:] in first], stop)
        late += self._work([task for task in every if task[2:] not in first], stop)
        # Others have left by now; and moves that nothing else needs may make room.
        for spare in (False, True):
            late = self._work(late, stop, spare=spare)

    def _work(self, tasks: list[Task], stop: Callable[[], bool], *, spare: bool = False) -> list[Task]:
        """Mend what tasks say and what becomes of it; return those for which no way was found."""
        counts, fleet = self.counts, self.fleet
        queue, late = list(tasks), []
        heapq.heapify(queue)
        while queue and fleet.moves_left >= 1 and not stop():
            least, free, index, domain = heapq.heappop(queue)
            options = self._options(index, domain)
            now = min((len(one.vms) for one in options), default=0)
            if not now or now > fleet.moves_left:
                continue
            if now > least:
                heapq.heappush(queue, (now, free, index, domain))
            elif self._mend(index, options, spare=spare):
                for task in counts.tasks(index):
                    if task[-1] == domain or counts.problem.rules[index].kind == "together":
                        heapq.heappush(queue, task)
            else:
                late.append((least, free, index, domain))
                self.failed.add((index, domain))
        return late

    # -- which VMs -----------------------------------------------------------------------------------------------------

    def _options(self, index: int, domain: int) -> list[_Option]:
        """Return sets of VMs of which each mends something by leaving a domain, the smallest first."""
        rule, counts = self.counts.problem.rules[index], self.counts
        if all(domain != task[-1] for task in counts.tasks(index)):
            return []
        if rule.kind == "least":
            return list(self._to_more_domains(index))
        if rule.kind == "even":
            return list(self._to_even_out(index))
        if rule.kind == "hosts":
            return self._to_fewer_hosts(index, domain)

        def inside(hosts: IntArray, places: IntArray) -> BoolArray:
            return counts.is_in(index, hosts, places, [domain])

        own = self._vms(index, domain)
        # Members that cannot all leave leave the others as they are.
        whole = sum(self._weight(index, where) for where in own) == counts.count[index][domain]
        if rule.kind == "together":
            return [_Option(vms=own, shut=inside)] if whole else []
        if rule.kind == "spread":
            return [_Option(vms=[where], shut=inside) for where in dict.fromkeys(own)][:OPTIONS]
        found = [[where] for where in dict.fromkeys(self._vms(rule.against, domain))][: OPTIONS - 1]
        found += [own] if whole else []
        return [_Option(vms=vms, shut=inside) for vms in sorted(found, key=len)]

    def _to_more_domains(self, index: int) -> Iterator[_Option]:
        """Yield VMs that leave a domain with others of their rule for one that none is in."""
        counts = self.counts

        def used(hosts: IntArray, places: IntArray) -> BoolArray:
            full = [domain for domain, many in counts.count[index].items() if many]
            found = counts.domains(index, hosts, places)
            return np.asarray((found < 0).all(axis=1) | np.isin(found, full).any(axis=1), dtype=np.bool_)

        several = [domain for domain, many in counts.count[index].items() if many > 1]
        vms = dict.fromkeys(chain.from_iterable(self._vms(index, domain) for domain in sorted(several)))
        yield from (_Option(vms=[where], shut=used) for where in list(vms)[:OPTIONS])

    def _to_even_out(self, index: int) -> Iterator[_Option]:
        """Yield VMs of the domains with most members: one of each for others with fewer, or one for each with fewest.

        Where several domains have most, or fewest, one VM alone evens out nothing.
        """
        counts = self.counts
        fewest, most = counts.range_of(index)
        full = [domain for domain in counts.all[index] if counts.count[index].get(domain, 0) == most]
        empty = [domain for domain in counts.all[index] if counts.count[index].get(domain, 0) == fewest]

        def not_fewer(hosts: IntArray, places: IntArray) -> BoolArray:
            return counts.is_in(
                index, hosts, places, [d for d in counts.all[index] if counts.count[index].get(d, 0) + 1 >= most]
            )

        def not_fewest(hosts: IntArray, places: IntArray) -> BoolArray:
            low = [d for d in empty if counts.count[index].get(d, 0) == fewest]
            return ~counts.is_in(index, hosts, places, low)

        each = [self._vms(index, domain) for domain in full]
        found = []
        if all(each):
            found += [
                _Option(vms=[own[min(n, len(own) - 1)] for own in each], shut=not_fewer)
                for n in range(min(OPTIONS, max(map(len, each))))
            ]
        several = list(chain.from_iterable(each))
        if len(empty) < len(full) and len(several) >= len(empty):
            found += [
                _Option(vms=several[n : n + len(empty)], shut=not_fewest)
                for n in range(min(OPTIONS, len(several) - len(empty) + 1))
            ]
        yield from sorted(found, key=lambda one: len(one.vms))

    def _to_fewer_hosts(self, index: int, domain: int) -> list[_Option]:
        """Return all members of a host in a domain where too many hosts hold some."""
        counts, found = self.counts, []
        own = self._vms(index, domain)
        for host in sorted({where[0] for where in own}):
            here = [where for where in own if where[0] == host]
            if sum(self._weight(index, where) for where in here) == counts.on_host[index][host]:
                found.append(_Option(vms=here, shut=partial(_is_on, host)))
        return sorted(found, key=lambda one: len(one.vms))[:OPTIONS]

    def _weight(self, index: int, where: Place) -> int:
        return self.counts.amount[index][int(self.fleet.tables.flavor[where[1]])]

    def _vms(self, index: int, domain: int) -> list[Place]:
        """Return the members of a rule in a domain that may move, by places: as often as VMs are there."""
        held = self.fleet.held
        return [
            (host, place)
            for host, place in sorted(self.counts.places[index, domain])
            for _ in range(held[host].get(place, 0))
        ]

    # -- where they go -------------------------------------------------------------------------------------------------

    def _mend(self, index: int, options: Sequence[_Option], *, spare: bool) -> bool:
        """Move the set of VMs that costs least; return whether any could move."""
        best: tuple[int, Vector, _Option] | None = None
        for option in options:
            size = len(option.vms)
            if size > self.fleet.moves_left or (best is not None and size > best[0]):
                continue
            mark = len(self.fleet.journal)
            if self._leave(option):
                found = size, self.fleet.vector()
                best = (*found, option) if best is None or found < best[:2] else best
            self._undo(mark)
        if best is not None:
            return self._leave(best[2])
        return any(self._leave(option, leavers=True, spare=spare) for option in options)

    def _leave(self, option: _Option, *, leavers: bool = False, spare: bool = False) -> bool:
        """Move VMs elsewhere; return whether all found a place, and the rules are less broken together.

        leavers : whether others may leave first; with `spare` moves to do without, even where that mends nothing.
        """
        counts, fleet = self.counts, self.fleet
        mark, made, before = len(fleet.journal), fleet.moves, _Before(counts)
        for host, place in option.vms:
            flavor = int(fleet.tables.flavor[place])
            if place not in fleet.held[host]:
                break
            before.note(flavor)
            self._put(host, place, -1)
            found = self._best(flavor, option.shut)
            if found is None and leavers:
                found = self._room_for(flavor, option.shut, before, spare=spare)
            if found is None:
                break
            self._put(found[1], found[2], 1)
        else:
            mended = before.mended()
            enough = mended > 0 if spare or not leavers else mended >= max(1, fleet.moves - made)
            if enough and fleet.within_budget():
                return True
        self._undo(mark)
        return False

    def _best(self, flavor: int, shut: Shut | None = None) -> tuple[Vector, int, int] | None:
        """Return the best place for a VM in hand where it breaks no rule further."""
        counts = self.counts

        def closed(hosts: IntArray, places: IntArray) -> BoolArray:
            bad = counts.would_break(flavor, hosts, places)
            return bad if shut is None else bad | shut(hosts, places)

        return best_place(self.fleet, flavor, shut=closed)

    def _room_for(self, flavor: int, shut: Shut, before: _Before, *, spare: bool) -> tuple[Vector, int, int] | None:
        """Let another VM leave, and mend a rule by that unless there are moves to `spare`; return where the one in
        hand has room then.
        """
        fleet, tables, counts = self.fleet, self.fleet.tables, self.counts
        hosts, places = tables.places(flavor)
        open_ = ~(counts.would_break(flavor, hosts, places) | shut(hosts, places))
        options = []
        for host, place in zip(hosts[open_].tolist(), places[open_].tolist(), strict=True):
            lacks = tables.use[place] - np.maximum(fleet.room[host], 0)
            for other in fleet.held[host]:
                one = int(tables.flavor[other])
                if (tables.use[other] >= lacks).all() and one != flavor:
                    broken = any(counts.excess(index) for index in counts.rules_of.get(one, ()))
                    ruled = bool(fleet.frozen[one])
                    options.append((not broken, ruled, int(tables.use[other].sum()), host, place, other))
        for _, _, _, host, place, other in sorted(options)[:LEAVERS]:
            mark, one = len(fleet.journal), int(tables.flavor[other])
            before.note(one)
            least = before.mended() + (not spare)
            self._put(host, other, -1)
            found = self._best(one, partial(_is_on, host))
            if found is not None:
                self._put(found[1], found[2], 1)
                closed = counts.would_break(flavor, np.array([host]), np.array([place]))
                if fleet.within_budget() and not closed[0] and before.mended() >= least:
                    return fleet.vector(), host, place
            self._undo(mark)
        return None

    def _put(self, host: int, place: int, sign: int) -> None:
        """Put a VM on a host or take it off, and count it."""
        (self.fleet.add if sign > 0 else self.fleet.remove)(host, place)
        self.counts.add(host, place, sign)

    def _undo(self, mark: int) -> None:
        """Take back all changes since the journal had `mark` entries."""
        for host, place, sign in self.fleet.journal[mark:]:
            self.counts.add(host, place, -sign)
        self.fleet.undo(mark)


def _is_on(host: int, hosts: IntArray, _places: IntArray) -> BoolArray:
    return np.asarray(hosts == host, dtype=np.bool_)


@dataclass(slots=True)
class _Before:
    """How far the rules of VMs that move were broken before they did."""

    counts: RuleCounts
    excess: dict[int, int] = field(default_factory=dict)

    def note(self, flavor: int) -> None:
        """Note the rules of a flavor, of which no VM has moved since."""
        for index in self.counts.rules_of.get(flavor, ()):
            if index not in self.excess:
                self.excess[index] = self.counts.excess(index)

    def mended(self) -> int:
        """Return by how much less the rules are broken now; -1 where one is broken more."""
        less = [before - self.counts.excess(index) for index, before in self.excess.items()]
        return sum(less) if all(one >= 0 for one in less) else -1
