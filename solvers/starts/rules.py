"""Rules over several hosts, as the greedy engine keeps them: room left in each domain, domains in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.problem import BoolArray, CrossRule, IntArray, Problem
from solvers.starts.groups import Groups

_PLENTY = 1 << 40
Place = tuple[int, int]
"""A shape and a group of it."""


@dataclass(slots=True)
class RuleKeeper:
    """What every cross rule that is not soft still allows; groups that are domains by themselves are named (shape,
    group).

    A rule may get as bad as it is at the start, never worse.
    """

    problem: Problem
    groups: Sequence[Groups]
    rules_of: dict[int, list[int]] = field(init=False)
    _count: dict[tuple[int, Hashable], int] = field(init=False)
    _start: dict[tuple[int, Hashable], int] = field(init=False)
    _used: dict[int, set[Hashable]] = field(init=False)
    _domains: dict[int, int] = field(init=False)
    _amounts: list[dict[int, int]] = field(init=False)
    _guards: dict[int, list[int]] = field(init=False)
    """Rule of kind ``count`` -> those of kind ``apart`` that limit it."""
    _now: list[dict[int, int]] = field(init=False)
    """Of each class, flavor -> VMs on one host of it at the start."""
    _classes_of: dict[int, list[int]] = field(init=False)
    """Flavor -> classes that hold some of it."""
    _fixed_in: dict[int, list[int]] = field(init=False)
    """Rule -> classes with immovable VMs of it."""
    _at: tuple[int, dict[int, list[Place]], dict[int, list[Place]]] = field(init=False)
    """How many groups there are, flavor -> groups that hold some of it, and class -> its groups."""

    def __post_init__(self) -> None:
        self._note_classes()
        self._at = (-1, {}, {})
        self.rules_of = defaultdict(list)
        self._count, self._start = defaultdict(int), defaultdict(int)
        self._used, self._domains = defaultdict(set), {}
        rules = self.problem.rules
        self._amounts = [dict(zip(rule.members, rule.counts, strict=True)) for rule in rules]
        self._guards = defaultdict(list)
        for index, rule in enumerate(rules):
            if rule.is_soft:
                continue
            if rule.kind == "apart":
                self._guards[rule.against].append(index)
            for flavor in rule.members:
                self.rules_of[flavor].append(index)
            self._split_to_hosts(index, rule)
            self._count_start(index, rule)

    def _note_classes(self) -> None:
        """Note what is on the hosts of each class: a rule is asked of those alone that hold a VM of it."""
        self._now, self._classes_of, self._fixed_in = [], defaultdict(list), defaultdict(list)
        for number, host_class in enumerate(self.problem.classes):
            content = self.problem.content_of(number)
            self._now.append({int(flavor): int(content[flavor]) for flavor in np.flatnonzero(content)})
            for flavor in self._now[-1]:
                self._classes_of[flavor].append(number)
            for index in {*host_class.fixed_members, *host_class.fixed_on}:
                self._fixed_in[index].append(number)

    def _holders(self, index: int, rule: CrossRule) -> list[Place]:
        """Return the groups with VMs of a rule, in order."""
        if self._at[0] != sum(map(len, self.groups)):
            of_flavor: dict[int, list[Place]] = defaultdict(list)
            of_class: dict[int, list[Place]] = defaultdict(list)
            for shape, groups in enumerate(self.groups):
                for group, number in enumerate(groups.host_class):
                    of_class[number].append((shape, group))
                    for flavor in {int(groups.shape.flavor[place]) for place in groups.held[group]}:
                        of_flavor[flavor].append((shape, group))
            self._at = (sum(map(len, self.groups)), of_flavor, of_class)
        _, of_flavor, of_class = self._at
        held = {place for flavor in rule.members for place in of_flavor.get(flavor, ())}
        return sorted(held.union(*(of_class.get(number, ()) for number in self._fixed_in.get(index, ()))))

    def _split_to_hosts(self, index: int, rule: CrossRule) -> None:
        """Where single hosts are domains, a host that holds a member is a group of its own."""
        if rule.kind != "together":
            return
        for groups in self.groups:
            for group in range(len(groups)):
                floating = self.problem.classes[groups.host_class[group]].floating
                if self._members(index, groups, group) or any(flavor in rule.members for flavor, _ in floating):
                    while groups.count[group] > 1:
                        groups.split(group, 1)

    def _is_counted(self, rule: CrossRule, number: int) -> bool:
        """Tell whether hosts of a class are, or are in, a domain of the rule's scope."""
        if rule.leaves_out(self.problem.classes[number]):
            return False
        return rule.scope in ("host", "node") or self._domain(rule, number) is not None

    def _members(self, index: int, groups: Groups, group: int) -> int:
        """Return what the VMs of a rule on each host of a group count, immovable ones too."""
        amounts, flavor = self._amounts[index], groups.shape.flavor
        total = self.problem.classes[groups.host_class[group]].fixed_members.get(index, 0)
        return total + sum(many * amounts.get(int(flavor[place]), 0) for place, many in groups.held[group].items())

    def _before(self, index: int, number: int) -> int:
        """Return what the VMs of a rule on each host of a class count at the start."""
        amounts = self._amounts[index]
        then = sum(many * amounts.get(flavor, 0) for flavor, many in self._now[number].items())
        return self.problem.classes[number].fixed_members.get(index, 0) + then

    def _count_start(self, index: int, rule: CrossRule) -> None:
        """Note what is in each domain at the start of the problem, and what the groups hold already."""
        starting: set[Hashable] = set()
        holding = {number for flavor in rule.members for number in self._classes_of.get(flavor, ())}
        for number in sorted(holding.union(self._fixed_in.get(index, ()))):
            host_class = self.problem.classes[number]
            if not self._is_counted(rule, number):
                continue
            then = self._before(index, number)
            domain = self._domain(rule, number)
            if domain is not None:
                self._start[index, domain] += then * host_class.count
                starting.update({domain} if then else ())
            else:
                places = self._node_places(index, number) if rule.scope == "node" else range(1 if then else 0)
                if places:
                    starting.update((number, copy, place) for copy in range(host_class.count) for place in places)
        self._domains[index] = max(1, len(starting))
        for shape, group in self._holders(index, rule):
            groups = self.groups[shape]
            many = self._members(index, groups, group)
            if many:
                self._note(index, shape, group, many * groups.count[group], tuple(groups.held[group]))
            fixed = self.problem.classes[groups.host_class[group]].fixed_on.get(index)
            if fixed is not None:
                self._used[index].update(("node", shape, group, int(node)) for node in np.flatnonzero(fixed))

    def _node_places(self, index: int, number: int) -> range:
        """Return as many places as nodes that a host's members may be on now; floating ones are on all."""
        host_class = self.problem.classes[number]
        shape = self.problem.shapes[host_class.shape]
        members = self.problem.rules[index].members
        if any(flavor in members for flavor, _ in host_class.floating):
            return range(shape.nodes)
        held = [placement for placement, _ in host_class.content if int(shape.flavor[placement]) in members]
        on = shape.touches[held].any(axis=0)
        return range(int((on | (host_class.fixed_on.get(index, on) > 0)).sum()))

    def _domain(self, rule: CrossRule, number: int) -> int | None:
        """Return the named domain of a class; None where each host is one by itself, or is in none."""
        domain = -1 if rule.scope in ("host", "node") else self.problem.classes[number].domain.get(rule.scope, -1)
        return domain if domain >= 0 else None

    def _keys(self, index: int, shape: int, group: int, placements: Sequence[int]) -> set[Hashable]:
        """Return the domains that VMs of the rule at `placements` of a group are in."""
        rule = self.problem.rules[index]
        number = self.groups[shape].host_class[group]
        if not self._is_counted(rule, number):
            return set()
        domain = self._domain(rule, number)
        if domain is not None:
            return {domain}
        if rule.scope != "node":
            return {("host", shape, group)}
        own = self.groups[shape].shape
        return {
            ("node", shape, group, int(node))
            for placement in placements
            if int(own.flavor[placement]) in rule.members
            for node in np.flatnonzero(own.touches[placement])
        }

    def _note(self, index: int, shape: int, group: int, many: int, placements: Sequence[int]) -> None:
        keys = self._keys(index, shape, group, placements)
        self._used[index] |= keys
        for key in keys:
            self._count[index, key] += many

    def room(self, flavor: int, shape: int, group: int, placement: int) -> tuple[int, int]:
        """Return how many more VMs of a flavor may be so placed: on each host of the group, and in all.

        The second is 0 where the rules forbid the place; it is one host's worth where each host is a domain.
        """
        each, total = _PLENTY, _PLENTY
        for index in self.rules_of.get(flavor, ()):
            rule = self.problem.rules[index]
            if rule.kind == "spread":
                each, total = self._spread_room(index, rule, shape, group, each, total, self._amounts[index][flavor])
            elif rule.kind != "together":
                room = self._room_of_kind(index, rule, shape, group, placement)
                each, total = min(each, room[0]), min(total, room[1])
            else:
                keys = self._keys(index, shape, group, (placement,))
                new = keys - self._used[index]
                if len(self._used[index]) + len(new) > self._domains[index]:
                    return 0, 0
        return each, total

    def open_groups(self, flavor: int, shape: int) -> BoolArray:
        """Return (groups,): False where a rule that holds the flavor's VMs together has them all elsewhere already."""
        groups = self.groups[shape]
        out = np.ones(len(groups), dtype=np.bool_)
        for index in self.rules_of.get(flavor, ()):
            rule, used = self.problem.rules[index], self._used[index]
            if rule.kind == "together" and rule.scope != "node" and len(used) >= self._domains[index]:
                keys: dict[int, Hashable | None] = {n: self._domain(rule, n) for n in set(groups.host_class)}
                for group, number in enumerate(groups.host_class):
                    domain = keys[number]
                    if domain is None and rule.scope != "host":
                        continue
                    out[group] &= (("host", shape, group) if domain is None else domain) in used
        return out

    def _spread_room(
        self, index: int, rule: CrossRule, shape: int, group: int, each: int, total: int, amount: int
    ) -> tuple[int, int]:
        groups = self.groups[shape]
        number = groups.host_class[group]
        domain = self._domain(rule, number)
        if domain is not None:
            limit = max(rule.max_per, self._start[index, domain])
            room = max(0, limit - self._count[index, domain]) // amount
            return min(each, room), min(total, room)
        if rule.scope == "host":
            limit = max(rule.max_per, self._before(index, number))
            return min(each, max(0, limit - self._members(index, groups, group)) // amount), total
        return each, total

    def _room_of_kind(self, index: int, rule: CrossRule, shape: int, group: int, placement: int) -> tuple[int, int]:
        """Return what the rarer kinds of rule allow, as `room` does."""
        groups = self.groups[shape]
        if not self._is_counted(rule, groups.host_class[group]):
            return _PLENTY, _PLENTY
        if rule.kind in ("apart", "count"):
            pairs = [(index, rule.against)] if rule.kind == "apart" else [(one, index) for one in self._guards[index]]
            room = min((self._apart_room(*pair, rule.kind, shape, group, placement) for pair in pairs), default=_PLENTY)
            return room, room if self._domain(rule, groups.host_class[group]) is not None or not room else _PLENTY
        if rule.kind == "hosts":
            if self._members(index, groups, group) or self._hosts_used(index, rule, groups.host_class[group]):
                return _PLENTY, _PLENTY
            return 0, 0
        if rule.kind == "least":
            holds, used = self._used_domains(index, rule, groups, group)
            if used >= rule.max_per:
                return _PLENTY, _PLENTY
            return (0, 0) if holds else (1, 1)
        here, fewest = self._even_counts(index, rule, groups, group)
        room = max(0, fewest + rule.max_per - here)
        return room, room if self._domain(rule, groups.host_class[group]) is not None or not room else _PLENTY

    def _apart_room(self, one: int, other: int, kind: str, shape: int, group: int, placement: int) -> int:
        """Return how many VMs of a group that is to be apart may come to each domain that a placement is in."""
        groups, rule = self.groups[shape], self.problem.rules[one]
        number = groups.host_class[group]
        domain = self._domain(rule, number)
        count, start, room = self._count, self._start, _PLENTY
        if domain is not None:
            found = [(count[one, domain], count[other, domain], start[one, domain], start[other, domain])]
        elif rule.scope == "host":
            first, second = self._members(one, groups, group), self._members(other, groups, group)
            found = [(first, second, self._before(one, number), self._before(other, number))]
        else:
            on = [self._on_nodes(index, groups, group) for index in (one, other)]
            found = [(int(on[0][n]), int(on[1][n]), 0, 0) for n in np.flatnonzero(groups.shape.touches[placement])]
        for first, second, was_first, was_second in found:
            most = max(rule.max_per, was_second if was_first else 0)
            if kind == "apart":
                room = room if first or second <= rule.max_per else 0
            elif first:
                room = min(room, max(0, most - second))
        return room

    def _on_nodes(self, index: int, groups: Groups, group: int) -> IntArray:
        """Return (nodes,): VMs of a rule on each node of the hosts of a group, immovable ones too."""
        host_class = self.problem.classes[groups.host_class[group]]
        out = np.zeros(groups.shape.nodes, dtype=np.int64) + host_class.fixed_on.get(index, 0)
        for placement, many in groups.held[group].items():
            if int(groups.shape.flavor[placement]) in self._amounts[index]:
                out += many * groups.shape.touches[placement]
        return out

    def _hosts_used(self, index: int, rule: CrossRule, number: int) -> bool:
        """Tell whether one more host of a class's domain may hold a member."""
        domain, used, before = self._domain(rule, number), 0, 0
        for groups in self.groups:
            for group, other in enumerate(groups.host_class):
                if self._domain(rule, other) == domain:
                    used += groups.count[group] * (self._members(index, groups, group) > 0)
        for other, host_class in enumerate(self.problem.classes):
            if self._domain(rule, other) == domain:
                before += host_class.count * (self._before(index, other) > 0)
        return used < max(rule.max_per, before)

    def _used_domains(self, index: int, rule: CrossRule, groups: Groups, group: int) -> tuple[bool, int]:
        """Return whether the domain of a group holds a member, and how many domains do."""
        named: set[int] = set()
        used = 0
        for own in self.groups:
            for number in range(len(own)):
                domain = self._domain(rule, own.host_class[number])
                if self._members(index, own, number) and self._is_counted(rule, own.host_class[number]):
                    used += own.count[number] if domain is None else domain not in named
                    named |= set() if domain is None else {domain}
        domain = self._domain(rule, groups.host_class[group])
        return (self._members(index, groups, group) > 0 if domain is None else domain in named), used

    def _even_counts(self, index: int, rule: CrossRule, groups: Groups, group: int) -> tuple[int, int]:
        """Return the members in the domain of a group, and in the one that has fewest."""
        domain = self._domain(rule, groups.host_class[group])
        if domain is not None:
            all_ = {self._domain(rule, n) for n in range(len(self.problem.classes))} - {None}
            return self._count[index, domain], min(self._count[index, one] for one in all_)
        each = (
            self._members(index, own, number)
            for own in self.groups
            for number in range(len(own))
            if self._is_counted(rule, own.host_class[number])
        )
        return self._members(index, groups, group), min(each)

    def reopens(self, flavor: int) -> bool:
        """Tell whether what rules allow may grow while VMs of a flavor come: then places are looked at again."""
        return any(self.problem.rules[index].kind in ("least", "even") for index in self.rules_of.get(flavor, ()))

    def is_alone(self, flavor: int) -> bool:
        """Tell whether each host is a domain that a rule holds the flavor together in: a group of its own."""
        rules = [self.problem.rules[index] for index in self.rules_of.get(flavor, ())]
        return any(
            rule.kind == "hosts" or (rule.kind == "together" and rule.scope in ("host", "node")) for rule in rules
        )

    def place(self, flavor: int, shape: int, group: int, placement: int, many: int) -> None:
        """Count `many` VMs more in all at a placement of a group."""
        for index in self.rules_of.get(flavor, ()):
            self._note(index, shape, group, many * self._amounts[index][flavor], (placement,))
