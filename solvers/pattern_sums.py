"""What patterns of hosts hold and take, added up by pattern."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from solvers.problem import IntArray, Problem
from solvers.result import HostPattern


@dataclass(frozen=True)
class PatternSums:
    """Sums over the N patterns.

    Attributes
    ----------
    count : (N,) hosts that hold the pattern.
    vms : (N, F) VMs of each flavor on one host, phantoms too; `before` : (N, F) the same at the start.
    kept : (N, F) VMs that change neither host nor node. Where nobody is there at the start, both are views of one line.
    loads : a pattern, (K,) units taken by VMs; `taken` the same with phantoms.
    host_class : (N,) class of its hosts. starts_empty : whether no host holds any VM at the start.
    """

    patterns: Sequence[HostPattern]
    count: IntArray
    vms: IntArray
    before: IntArray
    kept: IntArray
    loads: list[IntArray]
    taken: list[IntArray]
    host_class: IntArray
    starts_empty: bool
    _domains: dict[str, IntArray] = field(default_factory=dict)
    _holders: list[set[int]] = field(default_factory=list)

    @classmethod
    def of(cls, problem: Problem, patterns: Sequence[HostPattern]) -> PatternSums:
        """Add them up."""
        flavors, number = len(problem.flavors), len(patterns)
        vms = np.zeros((number, flavors), dtype=np.int64)
        empty = all(one.is_empty for one in problem.classes)
        none = np.zeros(flavors, dtype=np.int64)
        before = np.broadcast_to(none, vms.shape) if empty else np.zeros(vms.shape, dtype=np.int64)
        kept = before if empty else np.zeros(vms.shape, dtype=np.int64)
        loads, taken = _loads(problem, patterns), []
        contents = [problem.content_of(index) for index in range(len(problem.classes))]
        for n, pattern in enumerate(patterns):
            host_class = problem.classes[pattern.host_class]
            shape = problem.shapes[host_class.shape]
            taken.append(loads[n] + sum_of(shape.use, pattern.phantoms) if pattern.phantoms else loads[n])
            for placement, many in (*pattern.placements, *pattern.phantoms):
                vms[n, shape.flavor[placement]] += many
            if not empty:
                before[n] = contents[pattern.host_class]
            if host_class.content or host_class.floating:
                here = dict(pattern.placements)
                for placement, many in host_class.content:
                    kept[n, shape.flavor[placement]] += min(many, here.get(placement, 0))
                for flavor, many in host_class.floating:
                    kept[n, flavor] += min(many, vms[n, flavor] - kept[n, flavor])
        settles = np.array([flavor.settles for flavor in problem.flavors], dtype=np.bool_)
        if settles.any() and not empty:
            kept = np.where(settles, np.minimum(before, vms), kept)
        return cls(
            patterns=patterns,
            count=np.array([pattern.count for pattern in patterns], dtype=np.int64),
            vms=vms,
            before=before,
            kept=kept,
            loads=loads,
            taken=taken,
            host_class=np.array([pattern.host_class for pattern in patterns], dtype=np.int64),
            starts_empty=empty,
        )

    def holding(self, flavors: Sequence[int]) -> IntArray:
        """Return the patterns that hold a VM of one of the flavors, or whose hosts do at the start, in order."""
        return np.array(sorted(self.holders(flavors)), dtype=np.int64)

    def holders(self, flavors: Sequence[int]) -> Set[int]:
        """Return the same patterns as a set."""
        if not self._holders:
            self._holders.extend(set() for _ in range(self.vms.shape[1]))
            for pattern, (now, before) in enumerate(zip(self.vms, self.before, strict=True)):
                for flavor in np.flatnonzero(now if self.starts_empty else (now != 0) | (before != 0)).tolist():
                    self._holders[flavor].add(pattern)
        return self._holders[flavors[0]] if len(flavors) == 1 else set().union(*map(self._holders.__getitem__, flavors))

    def domains(self, problem: Problem, scope: str) -> IntArray:
        """Return (N,): the domain of a scope that a pattern's hosts are in, -1 for none."""
        if scope not in self._domains:
            domain = np.array([one.domain.get(scope, -1) for one in problem.classes], dtype=np.int64)
            self._domains[scope] = domain[self.host_class]
        return self._domains[scope]

    @cached_property
    def left(self) -> IntArray:
        """Return (N, F): VMs that leave one host."""
        left: IntArray = self.before if self.starts_empty else np.maximum(0, self.before - self.vms)
        return left

    @cached_property
    def changed(self) -> IntArray:
        """Return (N,): VMs of one host that change host or node."""
        changed: IntArray = np.zeros(len(self.patterns), dtype=np.int64)
        return changed if self.starts_empty else (self.before - self.kept).sum(axis=1)

    @cached_property
    def came(self) -> IntArray:
        """Return (N, F): VMs on one host over what was there: migrants and arrivals."""
        came: IntArray = self.vms if self.starts_empty else np.maximum(0, self.vms - self.before)
        return came


def _loads(problem: Problem, patterns: Sequence[HostPattern]) -> list[IntArray]:
    """Return what the VMs of each pattern take of the rows of its shape."""
    out: list[IntArray] = [np.zeros(0, dtype=np.int64)] * len(patterns)
    of_shape: dict[int, list[int]] = defaultdict(list)
    for n, pattern in enumerate(patterns):
        of_shape[problem.classes[pattern.host_class].shape].append(n)
    for number, own in of_shape.items():
        # Most placements take of few rows of many, so these alone are added up.
        ends, row, units = problem.shapes[number].taken
        entries = [(line, *entry) for line, n in enumerate(own) for entry in patterns[n].placements]
        line, placed, many = np.array(entries, dtype=np.int64).reshape(-1, 3).T
        width = ends[placed + 1] - ends[placed]
        at = np.repeat(ends[placed + 1] - np.cumsum(width), width) + np.arange(int(width.sum()))
        loads = np.zeros((len(own), problem.shapes[number].use.shape[1]), dtype=np.int64)
        np.add.at(loads, (np.repeat(line, width), row[at]), np.repeat(many, width) * units[at])
        for n, load in zip(own, loads, strict=True):
            out[n] = load
    return out


def sum_of(table: IntArray, entries: Sequence[tuple[int, int]]) -> IntArray:
    """Return the sum of lines of a table, each as often as its entry says."""
    if not entries:
        return np.zeros(table.shape[1], dtype=np.int64)
    index, many = zip(*entries, strict=True)
    total: IntArray = np.array(many, dtype=np.int64) @ table[list(index)]
    return total
