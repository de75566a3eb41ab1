"""The incumbent: how many hosts of each state hold which pattern, which VMs are left out, and what it all costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.columns.columns import Evaluator
from solvers.columns.model import Pattern, StateModel, pattern_of
from solvers.problem import IntArray
from solvers.result import HostPattern

Hosts = dict[tuple[int, Pattern], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """An answer that keeps every row: (state, pattern) -> hosts, (F,) VMs left out, value of every objective."""

    hosts: Hosts
    out: IntArray
    values: tuple[int, ...]
    moves: int
    migrations: int

    def better(self, other: Incumbent | None) -> bool:
        """Tell whether this is lexicographically better."""
        return other is None or self.values < other.values


@dataclass(slots=True)
class Ledger:
    """Makes incumbents, computing only what changed."""

    evaluator: Evaluator
    _known: dict[tuple[int, Pattern], tuple[IntArray, int, int, IntArray]] = field(default_factory=dict)

    @property
    def model(self) -> StateModel:
        """The model of the evaluator."""
        return self.evaluator.model

    def learn(self, keys: Iterable[tuple[int, Pattern]]) -> None:
        """Compute cost, moves, migrations and amounts of (state, pattern) pairs not seen before."""
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if not new:
            return
        columns = self.evaluator.evaluate([state for state, _ in new], [pattern for _, pattern in new])
        for n, key in enumerate(new):
            amounts = np.zeros(len(self.model.phantom), dtype=np.int64)
            entries = slice(int(columns.ptr[n]), int(columns.ptr[n + 1]))
            amounts[columns.amount_flavor[entries]] = columns.amount[entries]
            self._known[key] = (columns.cost[n], int(columns.moves[n]), int(columns.migrations[n]), amounts)

    def cost(self, state: int, pattern: Pattern) -> IntArray:
        """Return (objectives,): what one host costs."""
        self.learn([(state, pattern)])
        return self._known[state, pattern][0]

    def amounts(self, state: int, pattern: Pattern) -> IntArray:
        """Return (F,): real VMs on one host."""
        self.learn([(state, pattern)])
        return self._known[state, pattern][3]

    def changes(self, keys: Iterable[tuple[int, Pattern]]) -> tuple[int, int]:
        """Return moves and migrations of some hosts together."""
        moves = migrations = 0
        for key in keys:
            self.learn([key])
            moves += self._known[key][1]
            migrations += self._known[key][2]
        return moves, migrations

    def incumbent(self, hosts: Mapping[tuple[int, Pattern], int], out: IntArray) -> Incumbent:
        """Return the incumbent of exact counts."""
        self.learn(hosts)
        cost = self.model.unplaced @ out
        moves = migrations = 0
        for key, count in hosts.items():
            known = self._known[key]
            cost = cost + count * known[0]
            moves += count * known[1]
            migrations += count * known[2]
        values = tuple(int(value) for value in cost)
        return Incumbent(hosts=dict(hosts), out=out, values=values, moves=moves, migrations=migrations)

    def swapped(
        self,
        old: Incumbent,
        remove: Sequence[tuple[int, Pattern]],
        add: Sequence[tuple[int, Pattern]],
        out: IntArray,
    ) -> Incumbent:
        """Return `old` with some hosts' patterns replaced."""
        self.learn(add)
        hosts = dict(old.hosts)
        cost = np.array(old.values, dtype=object) + self.model.unplaced @ (out - old.out)
        moves, migrations = old.moves, old.migrations
        for sign, keys in ((-1, remove), (1, add)):
            for key in keys:
                known = self._known[key]
                cost = cost + sign * known[0]
                moves += sign * known[1]
                migrations += sign * known[2]
                hosts[key] = hosts.get(key, 0) + sign
        if any(count < 0 for count in hosts.values()):
            raise ValueError("a pattern is taken from more hosts than hold it")
        return Incumbent(
            hosts={key: count for key, count in hosts.items() if count},
            out=out,
            values=tuple(int(value) for value in cost),
            moves=moves,
            migrations=migrations,
        )

    def within_budget(self, incumbent: Incumbent) -> bool:
        """Tell whether moves and migrations keep their limits."""
        budget = self.model.problem.budget
        return (budget.moves is None or incumbent.moves <= budget.moves) and (
            budget.migrations is None or incumbent.migrations <= budget.migrations
        )

    def patterns(self, incumbent: Incumbent) -> tuple[HostPattern, ...]:
        """Return the incumbent as patterns of classes, in a fixed order."""
        out: list[HostPattern] = []
        queues: dict[int, list[tuple[Pattern, int]]] = {}
        for (index, pattern), count in sorted(incumbent.hosts.items(), reverse=True):
            queues.setdefault(index, []).append((pattern, count))
        for index, queue in sorted(queues.items()):
            state = self.model.states[index]
            flavor = self.model.problem.shapes[state.shape].flavor
            for number in state.classes:
                left = self.model.problem.classes[number].count
                while left:
                    pattern, count = queue.pop()
                    taken = min(left, count)
                    real = tuple(pair for pair in pattern if not self.model.phantom[flavor[pair[0]]])
                    phantom = tuple(pair for pair in pattern if self.model.phantom[flavor[pair[0]]])
                    out.append(HostPattern(host_class=number, count=taken, placements=real, phantoms=phantom))
                    left -= taken
                    if count > taken:
                        queue.append((pattern, count - taken))
        return tuple(out)


@dataclass(slots=True)
class Settler:
    """Turns hosts that hold too many or too few VMs into an incumbent: takes surplus out, puts what is left out in."""

    ledger: Ledger

    def settle(self, hosts: Mapping[tuple[int, Pattern], int], *, fill: bool = True) -> Incumbent | None:
        """Return an incumbent near `hosts` (every host covered); None where a VM present finds no place.

        `fill` says whether VMs left out are put where there is room.
        """
        model = self.ledger.model
        held: Hosts = {key: count for key, count in hosts.items() if count}
        self.ledger.learn(held)
        total = sum((count * self.ledger.amounts(*key) for key, count in held.items()), np.zeros_like(model.demand))
        surplus = np.maximum(total - model.demand, 0)
        for f in np.nonzero(surplus)[0]:
            self._take_out(held, int(f), int(surplus[f]))
        missing = np.maximum(model.demand - total, 0)
        for f in sorted(np.nonzero(missing)[0], key=lambda f: (-model.problem.flavors[f].vcpus, f)):
            # Where new VMs are not to be placed yet, those that are there still have to be.
            wanted = int(missing[f]) if fill else max(0, int(missing[f] - model.arriving[f]))
            missing[f] -= self._put_in(held, int(f), wanted)
        if (missing > model.arriving).any():
            return None
        found = self.ledger.incumbent(held, missing)
        return found if self.ledger.within_budget(found) else None

    def _take_out(self, held: Hosts, flavor: int, surplus: int) -> None:
        """Take `surplus` VMs of a flavor from hosts that hold more than was there, the costliest placements first."""
        while surplus > 0:
            offers = self._surplus_offers(held, flavor)
            if not offers:
                raise ValueError("hosts hold more VMs than there are, none of them new there")
            for _, key, placement, most in offers:
                taken = min(most, surplus)
                if taken <= 0 or key not in held:
                    continue
                # As many hosts as can lose the same number at once, or one with what remains.
                many = min(held[key], surplus // taken)
                slim = pattern_of({**dict(key[1]), placement: dict(key[1])[placement] - taken})
                _shift(held, key, (key[0], slim), many)
                surplus -= many * taken

    def _surplus_offers(self, held: Hosts, flavor: int) -> list[tuple[tuple[int, ...], tuple[int, Pattern], int, int]]:
        """Return (cost, host, placement, VMs that can go), costliest first."""
        model = self.ledger.model
        offers = []
        for key in held:
            state = model.states[key[0]]
            here = model.problem.shapes[state.shape].flavor
            spare = int(model.amounts(state, key[1])[flavor] - state.present[flavor])
            if spare <= 0:
                continue
            for placement, vms in key[1]:
                most = min(spare, vms - state.own.get(placement, 0))
                if here[placement] == flavor and most > 0:
                    cost = model.cost[model.offset[state.shape] + placement]
                    offers.append((tuple(int(-c) for c in cost), key, placement, most))
        return sorted(offers)

    def _put_in(self, held: Hosts, flavor: int, missing: int) -> int:
        """Put up to `missing` VMs of a flavor where there is room, cheapest placements first; return how many."""
        offers = {key: self._cheapest(key, flavor) for key in held} if missing else {}
        for put in range(missing):
            open_ = [(offer[0], key, offer[1]) for key, offer in offers.items() if offer is not None]
            if not open_:
                return put
            _, key, fuller = min(open_)
            _shift(held, key, (key[0], fuller), 1)
            offers[key[0], fuller] = self._cheapest((key[0], fuller), flavor)
            if key not in held:
                del offers[key]
        return missing

    def _cheapest(self, key: tuple[int, Pattern], flavor: int) -> tuple[tuple[int, ...], Pattern] | None:
        model = self.ledger.model
        state = model.states[key[0]]
        shape = model.problem.shapes[state.shape]
        choices = np.nonzero((shape.flavor == flavor) & ~shape.stay_only)[0]
        room = state.lead.capacity - model.load(state, key[1])
        fits = choices[(shape.use[choices] <= room).all(axis=1)]
        if not len(fits):
            return None
        cost = model.cost[model.offset[state.shape] + fits]
        first = int(np.lexsort((fits, *cost.T[::-1]))[0])
        placement = int(fits[first])
        pattern = pattern_of({**dict(key[1]), placement: dict(key[1]).get(placement, 0) + 1})
        return (tuple(int(c) for c in cost[first]), pattern) if model.fits(state, pattern) else None


def _shift(held: Hosts, source: tuple[int, Pattern], target: tuple[int, Pattern], count: int) -> None:
    held[source] -= count
    if not held[source]:
        del held[source]
    held[target] = held.get(target, 0) + count
