"""Rules over several hosts, as the greedy engine keeps them: room left in each domain, domains in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.problem import BoolArray, CrossRule, Problem
from solvers.starts.groups import Groups

_PLENTY = 1 << 40


@dataclass(slots=True)
class RuleKeeper:
    """What every cross rule still allows; groups that are domains by themselves are named (shape, group).

    A rule may get as bad as it is at the start, never worse.
    """

    problem: Problem
    groups: Sequence[Groups]
    rules_of: dict[int, list[int]] = field(init=False)
    _count: dict[tuple[int, Hashable], int] = field(init=False)
    _start: dict[tuple[int, Hashable], int] = field(init=False)
    _used: dict[int, set[Hashable]] = field(init=False)
    _domains: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.rules_of = defaultdict(list)
        self._count, self._start = defaultdict(int), defaultdict(int)
        self._used, self._domains = defaultdict(set), {}
        for index, rule in enumerate(self.problem.rules):
            for flavor in rule.members:
                self.rules_of[flavor].append(index)
            self._split_to_hosts(index, rule)
            self._count_start(index, rule)

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
        return rule.scope in ("host", "node") or self._domain(rule, number) is not None

    def _members(self, index: int, groups: Groups, group: int) -> int:
        """Return the VMs of a rule on each host of a group, immovable ones too."""
        host_class = self.problem.classes[groups.host_class[group]]
        return host_class.fixed_members.get(index, 0) + groups.of_flavor(group, self.problem.rules[index].members)

    def _count_start(self, index: int, rule: CrossRule) -> None:
        """Note what is in each domain at the start of the problem, and what the groups hold already."""
        starting: set[Hashable] = set()
        for number, host_class in enumerate(self.problem.classes):
            if not self._is_counted(rule, number):
                continue
            immovable = host_class.fixed_members.get(index, 0)
            then = immovable + int(self.problem.content_of(number)[list(rule.members)].sum())
            domain = self._domain(rule, number)
            if domain is not None:
                self._start[index, domain] += then * host_class.count
                starting.update({domain} if then else ())
            else:
                places = self._node_places(index, number) if rule.scope == "node" else range(1 if then else 0)
                starting.update((number, copy, place) for copy in range(host_class.count) for place in places)
        self._domains[index] = max(1, len(starting))
        for shape, groups in enumerate(self.groups):
            for group in range(len(groups)):
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
                each, total = self._spread_room(index, rule, shape, group, each, total)
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
        self, index: int, rule: CrossRule, shape: int, group: int, each: int, total: int
    ) -> tuple[int, int]:
        groups = self.groups[shape]
        number = groups.host_class[group]
        domain = self._domain(rule, number)
        if domain is not None:
            limit = max(rule.max_per, self._start[index, domain])
            room = max(0, limit - self._count[index, domain])
            return min(each, room), min(total, room)
        if rule.scope == "host":
            host_class = self.problem.classes[number]
            immovable = host_class.fixed_members.get(index, 0)
            start = immovable + int(self.problem.content_of(number)[list(rule.members)].sum())
            room = max(0, max(rule.max_per, start) - immovable - groups.of_flavor(group, rule.members))
            return min(each, room), total
        return each, total

    def is_alone(self, flavor: int) -> bool:
        """Tell whether each host is a domain that a rule holds the flavor together in: a group of its own."""
        rules = [self.problem.rules[index] for index in self.rules_of.get(flavor, ())]
        return any(rule.kind == "together" and rule.scope in ("host", "node") for rule in rules)

    def place(self, flavor: int, shape: int, group: int, placement: int, many: int) -> None:
        """Count `many` VMs more in all at a placement of a group."""
        for index in self.rules_of.get(flavor, ()):
            self._note(index, shape, group, many, (placement,))
