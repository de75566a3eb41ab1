"""Which domain each group of VMs under a rule over several hosts goes to, decided before the search."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solvers.problem import IntArray, Problem
from solvers.result import HostPattern, Result

NOWHERE = -2
"""The home of a group where no host is in any domain: no member may arrive."""
FILLED = 0.6
"""The share of a domain's room that groups may take where they share domains: VMs do not fill hosts to the last."""


@dataclass(slots=True)
class Ties:
    """Which domain each group of a ``together`` rule goes to, and how many members of a ``spread`` rule each may take.

    `room` is what each (scope, domain) has of each resource, by name; `present[rule]` domain -> members now;
    `near[rule]` the same in an answer to stay near to, and `seen[flavor, scope]` its VMs of a flavor; `home[rule]` a
    domain; `quota[rule]` domain -> VMs.
    """

    problem: Problem
    room: dict[tuple[str, int], Counter[str]]
    present: dict[int, Counter[int]]
    near: dict[int, Counter[int]]
    seen: dict[tuple[int, str], Counter[int]]
    home: dict[int, int]
    quota: dict[int, dict[int, int]]
    few: bool = False

    @classmethod
    def of(cls, problem: Problem, near: Sequence[HostPattern] = (), *, few: bool = False) -> Ties:
        """Tie groups for the first time, the largest first: each near an answer, else to where most room is left.

        few : only hosts count that an answer on few hosts uses, and groups share domains: hosts of others stay alike.
        """
        held = _held(problem, near)
        ties = cls(
            problem=problem,
            room=_rooms(problem, of=_largest(problem)) if few else _rooms(problem),
            present=_present(problem),
            near=_by_domain(problem, held),
            seen=_seen(problem, held),
            home={},
            quota={},
            few=few,
        )
        demand = problem.demand()
        order = sorted(range(len(problem.rules)), key=lambda r: (-ties._size(r, demand), r))
        for number in order:
            ties._tie(number, demand)
        return ties

    def again(self, found: Result, *, elsewhere: bool = False) -> Ties:
        """Tie groups with VMs left out to where the answer left most room, or to where it is beside where they are (
        `elsewhere`); the others stay.
        """
        problem = self.problem
        out = np.array(found.unplaced, dtype=np.int64)
        ties = replace(
            self,
            room=_rooms(problem, found),
            near={},
            seen={},
            home=dict(self.home),
            quota=dict(self.quota),
            few=False,
        )
        for number, rule in enumerate(problem.rules):
            if any(out[flavor] for flavor in rule.members):
                ties._tie(number, problem.demand(), avoid=self.home.get(number, -1) if elsewhere else -1)
        return ties

    def _size(self, number: int, demand: IntArray) -> int:
        return sum(int(demand[f]) * self.problem.flavors[f].vcpus for f in self.problem.rules[number].members)

    def _tie(self, number: int, demand: IntArray, *, avoid: int = -1) -> None:
        rule = self.problem.rules[number]
        here = self.present.get(number, Counter())
        near = self.near.get(number, Counter())
        domains = [domain for scope, domain in self.room if scope == rule.scope]
        domains = [domain for domain in domains if domain != avoid] or domains
        need: Counter[str] = Counter()
        for flavor in rule.members:
            for name, amount in _need(self.problem, flavor).items():
                need[name] += amount * int(demand[flavor])
        if rule.kind == "together":
            if not domains:
                self.home[number] = NOWHERE
                return
            known = [domain for domain in here if domain >= 0]
            wide = [domain for domain in near if domain >= 0 and self._left(rule.scope, domain, need) >= 0]
            if known:
                chosen = max(known, key=lambda d: (here[d], -d))
            elif wide:
                chosen = max(wide, key=lambda d: (near[d], -d))
            else:
                chosen = self._shared(rule.scope, need)
                chosen = self._roomiest(rule.scope, domains, need) if chosen < 0 else chosen
            self.home[number] = chosen
            self.room[rule.scope, chosen].subtract(need)
            return
        total = sum(int(self.problem.flavors[flavor].arriving) for flavor in rule.members)
        quota: dict[int, int] = {}
        for domain in sorted(near):
            take = min(near[domain] - here[domain], rule.max_per - here[domain], total - sum(quota.values()))
            if domain >= 0 and take > 0:
                quota[domain] = take
        each = Counter({name: amount // max(1, total) for name, amount in need.items()})
        for _ in range(total - sum(quota.values())):
            open_ = [d for d in domains if quota.get(d, 0) + here[d] < rule.max_per]
            if not open_:
                break
            chosen = self._roomiest(rule.scope, open_, each)
            quota[chosen] = quota.get(chosen, 0) + 1
            self.room[rule.scope, chosen].subtract(each)
        self.quota[number] = quota

    def _shared(self, scope: str, need: Counter[str]) -> int:
        """Return the roomiest domain of those that groups are tied to already, if it has room for one more; else -1."""
        homes = {home for number, home in self.home.items() if self.problem.rules[number].scope == scope}
        open_ = sorted(home for home in homes if home >= 0 and self._left(scope, home, need) >= 0)
        return self._roomiest(scope, open_, need) if self.few and open_ else -1

    def _left(self, scope: str, domain: int, need: Counter[str]) -> float:
        """Return what is left of what a group would be shortest of, as a share of what it needs."""
        room = self.room[scope, domain]
        return min(((room[name] - amount) / amount for name, amount in need.items() if amount), default=0.0)

    def _roomiest(self, scope: str, domains: Sequence[int], need: Counter[str]) -> int:
        """Return the domain that has most left of what the group would be shortest of."""
        return max(domains, key=lambda domain: (self._left(scope, domain, need), -domain))


def _rooms(
    problem: Problem, found: Result | None = None, of: Mapping[int, float] | None = None
) -> dict[tuple[str, int], Counter[str]]:
    """Return (scope, domain) -> resource -> units over all hosts of the domain, less what an answer takes if given.

    of : class -> the share of its hosts' room that counts, where not all of all classes does.
    """
    rooms: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    used: dict[int, IntArray] = {}
    for pattern in () if found is None else found.patterns:
        shape = problem.shapes[problem.classes[pattern.host_class].shape]
        for placement, count in pattern.placements:
            taken = used.setdefault(pattern.host_class, np.zeros(len(shape.row_names), dtype=np.int64))
            taken += pattern.count * count * shape.use[placement]
    for number, host_class in enumerate(problem.classes):
        rows = host_class.count * host_class.capacity - used.get(number, 0)
        if of is not None:
            rows = (rows * of.get(number, 0.0)).astype(np.int64)
        for (_, name), amount in zip(problem.shapes[host_class.shape].row_names, rows.tolist(), strict=True):
            for scope, domain in host_class.domain.items():
                if domain >= 0:
                    rooms[scope, domain][name] += max(0, amount)
    return dict(rooms)


def _largest(problem: Problem) -> dict[int, float]:
    """Return the classes of the largest hosts, as many as hold all VMs, and the share of their room that counts."""
    left: Counter[str] = Counter()
    for flavor, many in enumerate(problem.demand().tolist()):
        for name, amount in _need(problem, flavor).items():
            left[name] += amount * many
    names = [[name for _, name in shape.row_names] for shape in problem.shapes]
    whole = Counter(dict.fromkeys(left, 1))
    for host_class in problem.classes:
        for name, amount in zip(names[host_class.shape], host_class.capacity.tolist(), strict=True):
            whole[name] += amount * host_class.count
    size = []
    for host_class in problem.classes:
        rows = zip(names[host_class.shape], host_class.capacity.tolist(), strict=True)
        size.append(sum(amount / whole[name] for name, amount in rows if left[name]))
    chosen: dict[int, float] = {}
    for number in sorted(range(len(size)), key=lambda n: (-size[n], n)):
        if all(amount <= 0 for amount in left.values()):
            break
        host_class = problem.classes[number]
        chosen[number] = FILLED
        for name, amount in zip(names[host_class.shape], host_class.capacity.tolist(), strict=True):
            left[name] -= amount * host_class.count
    return chosen


def _need(problem: Problem, flavor: int) -> Counter[str]:
    """Return resource -> units of one VM of a flavor, as its first placement on any shape takes them."""
    for shape in problem.shapes:
        own = np.flatnonzero(shape.flavor == flavor)
        if len(own):
            out: Counter[str] = Counter()
            for (_, name), amount in zip(shape.row_names, shape.use[own[0]].tolist(), strict=True):
                out[name] += amount
            return out
    return Counter()


def _present(problem: Problem) -> dict[int, Counter[int]]:
    """Return rule -> domain -> members that are there now, immovable ones too."""
    content = [(number, cls.count, problem.content_of(number)) for number, cls in enumerate(problem.classes)]
    here = _by_domain(problem, content)
    for host_class in problem.classes:
        for index, members in host_class.fixed_members.items():
            domain = host_class.domain.get(problem.rules[index].scope, -1)
            here.setdefault(index, Counter())[domain] += members * host_class.count
    return here


def _held(problem: Problem, patterns: Sequence[HostPattern]) -> list[tuple[int, int, IntArray]]:
    """Return (class, hosts, VMs of each flavor on one of them) of patterns."""
    held = []
    for pattern in patterns:
        amounts = np.zeros(len(problem.flavors), dtype=np.int64)
        flavor = problem.shapes[problem.classes[pattern.host_class].shape].flavor
        for placement, count in pattern.placements:
            amounts[flavor[placement]] += count
        held.append((pattern.host_class, pattern.count, amounts))
    return held


def _seen(problem: Problem, held: Sequence[tuple[int, int, IntArray]]) -> dict[tuple[int, str], Counter[int]]:
    """Return (flavor, scope of a rule) -> domain -> VMs held, for members of rules."""
    scopes: dict[int, set[str]] = defaultdict(set)
    for rule in problem.rules:
        for member in rule.members:
            scopes[member].add(rule.scope)
    out: dict[tuple[int, str], Counter[int]] = defaultdict(Counter)
    for number, count, amounts in held:
        for flavor in np.flatnonzero(amounts).tolist():
            for scope in scopes[flavor]:
                out[flavor, scope][problem.classes[number].domain.get(scope, -1)] += int(amounts[flavor]) * count
    return out


def _by_domain(problem: Problem, hosts: Sequence[tuple[int, int, IntArray]]) -> dict[int, Counter[int]]:
    """Return rule -> domain -> members, of (class, hosts, VMs of each flavor on one of them)."""
    rules_of: dict[int, list[int]] = defaultdict(list)
    for index, rule in enumerate(problem.rules):
        for member in rule.members:
            rules_of[member].append(index)
    out: dict[int, Counter[int]] = {}
    for number, count, amounts in hosts:
        domain = problem.classes[number].domain
        for flavor in np.flatnonzero(amounts).tolist():
            for index in rules_of[flavor]:
                where = domain.get(problem.rules[index].scope, -1)
                out.setdefault(index, Counter())[where] += int(amounts[flavor]) * count
    return out
