"""Failures answered by a greedy fit: what fails is put into what the other hosts have free, on arrays.

Every fit found is a proof: nothing else moves, every VM has a placement of its own. Where no more is left out than has
no room even by its flavor alone, that is proven too. Any other failure may lose less, and is planned for.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from placer.measure.rule_excess import TYING
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.rules import RuleKind, matches
from placer.model.vm import Current, Vm
from placer.planning.compile.compile import compile_fleet
from placer.planning.room import Room
from solvers.problem import IntArray, Problem

Kind = tuple[int, int | None, tuple[int, ...]]
"""VMs of one kind are alike once their host has failed: see `Kinds`."""

ROOMIEST = 128
"""VMs are first fitted on so many of the roomiest kinds of host of a shape, on all only if they do not fit there."""


def fitted_failures(
    fleet: Fleet, failures: Mapping[Hashable, Sequence[str]], counted: frozenset[str] | None
) -> dict[Hashable, list[str]]:
    """Return failure -> the VMs of its hosts, those that fail together, that have no place on the others.

    A failure that is not named is not known. No plan in which nothing moves leaves out fewer vCPUs.

    Parameters
    ----------
    fleet : with the VMs that are somewhere.
    counted : names of the VMs that need a place; None for all.

    Notes
    -----
    VMs that rules tie to others, or that rules name one by one, are left to the planner.
    """
    wanted = _wanted(fleet, failures, counted)
    probes: list[Vm] = []
    numbers: dict[Kind, int] = {}
    kinds = Kinds(fleet)
    names = fleet.vm_by_name
    tied = [rule for rule in fleet.rules if rule.kind in TYING or "name" in (rule.members or {})]
    everyone = any(rule.kind is RuleKind.ALONE for rule in tied)
    for name in sorted({name for demand in wanted.values() for name in demand}):
        vm = names[name]
        kind = kinds.of(vm)
        if kind not in numbers:
            numbers[kind] = len(probes)
            probes.append(homeless(vm, f"\0{len(probes)}"))
    if not probes:
        return {key: [] for key, demand in wanted.items() if not demand}
    asked = dataclasses.replace(fleet, vms=(*fleet.vms, *probes), digest="")
    compiled = compile_fleet(asked, [Goal(name="placed", kind="placed")])
    flavors = compiled.flavors.of_vm[len(fleet.vms) :]
    fit = Fit(compiled.problem)
    class_of: dict[str, int] = {}
    for number, one in enumerate(compiled.problem.classes):
        class_of.update({fleet.hosts[member].name: number for member in one.members})
    chosen = [selection for rule in tied for selection in rule.selections]
    loose = {
        name: not everyone and not any(matches(selection, name, names[name].spec.labels) for selection in chosen)
        for name in names
    }
    found: dict[Hashable, list[str]] = {}
    for key, demand in wanted.items():
        if not all(loose[name] for name in demand):
            continue
        gone = Counter(class_of[host] for host in failures[key] if host in class_of)
        of_flavor: dict[int, list[str]] = defaultdict(list)
        for name in sorted(demand):
            of_flavor[int(flavors[numbers[kinds.of(names[name])]])].append(name)
        need = {flavor: len(own) for flavor, own in of_flavor.items()}
        lost = fit.lost(gone, need)
        # One that floats may float elsewhere too, which its stand-in does not: what has no room so proves nothing.
        if any(may_float(names[name]) for flavor in lost for name in of_flavor[flavor]):
            continue
        if all(many <= fit.without_room(flavor, gone, need[flavor]) for flavor, many in lost.items()):
            found[key] = sorted(name for flavor, many in lost.items() for name in of_flavor[flavor][:many])
    return found


def fitted_outcome(
    fleet: Fleet, failed: Sequence[str], counted: frozenset[str] | None, lost: Sequence[str]
) -> dict[str, Any]:
    """Return what a sweep tells of hosts that fail together (see `FailureSweep`), of whose VMs these have no place."""
    vcpus, homeless = 0, 0
    if lost:
        names = set(failed)
        vcpus = sum(fleet.vm_by_name[name].spec.vcpus for name in lost)
        on = (vm for vm in fleet.vms if vm.current is not None and vm.current.host in names)
        homeless = sum(counted is None or vm.name in counted for vm in on)
    return {"vms": homeless, "lost": list(lost), "vcpus_lost": vcpus, "proven": True}


def may_float(vm: Vm) -> bool:
    """Tell whether a VM is not known to be on one node a cell: where it comes next it may float."""
    return vm.current is None or vm.current.nodes is None or bool(vm.current.bound)


class Kinds:
    """Tells what makes VMs whose host failed look for a place alike: spec, which rules are about them by their labels,
    and how many cells the guest has. VMs that rules name one by one are not told apart.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._specs = SpecNumbers()
        self._chosen = [chosen for rule in fleet.rules for chosen in rule.selections if "name" not in chosen]
        self._ruled: dict[int, tuple[int, ...]] = {}

    def of(self, vm: Vm) -> Kind:
        """Return the kind of a VM of the fleet."""
        ruled = self._ruled.get(id(vm.spec))
        if ruled is None:
            labels = vm.spec.labels
            ruled = tuple(number for number, one in enumerate(self._chosen) if matches(one, "", labels))
            self._ruled[id(vm.spec)] = ruled
        nodes = None if vm.current is None else vm.current.nodes
        return self._specs.of(vm.spec), None if nodes is None else len(nodes), ruled


def homeless(vm: Vm, name: str) -> Vm:
    """Return a VM like one whose host failed: it looks for a place anew, with the cells that its guest has."""
    nodes = None if vm.current is None else vm.current.nodes
    return Vm(name=name, spec=vm.spec, current=Current(host="\0", nodes=nodes))


def _wanted(
    fleet: Fleet, failures: Mapping[Hashable, Sequence[str]], counted: frozenset[str] | None
) -> dict[Hashable, list[str]]:
    """Return the VMs that each failure leaves without a host."""
    on: dict[str, list[str]] = {}
    for vm in fleet.vms:
        if vm.current is not None and (counted is None or vm.name in counted):
            on.setdefault(vm.current.host, []).append(vm.name)
    return {key: [name for host in hosts for name in on.get(host, ())] for key, hosts in failures.items()}


class Fit:
    """Free rows of every kind of host, the roomiest first, into which VMs are put one after the other."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.room = room = Room(problem)
        self.most: dict[int, IntArray | None] = {}
        self.which: dict[int, IntArray] = {}
        self.free: dict[int, IntArray] = {}
        self.allowed: dict[int, Any] = {}
        for shape, numbers in room.numbers.items():
            # Beside VMs on no known node nobody knows what is free.
            known = np.array([not problem.classes[n].floating for n in numbers.tolist()], dtype=bool)
            capacity = np.array([problem.classes[n].capacity for n in numbers.tolist()])
            share = (room.free[shape] / np.maximum(capacity, 1)).sum(axis=1)
            order = np.argsort(-share, kind="stable")
            order = order[known[order]]
            self.which[shape] = numbers[order]
            self.free[shape] = room.free[shape][order]
            self.allowed[shape] = room.allowed[shape][order]
        self.placements = {
            (shape, flavor): own[np.argsort(problem.shapes[shape].cost["remote"][own], kind="stable")]
            if "remote" in problem.shapes[shape].cost
            else own
            for shape in self.which
            for flavor in range(len(problem.flavors))
            if len(own := room.placements(shape, flavor))
        }

    def lost(self, gone: Mapping[int, int], need: Mapping[int, int]) -> dict[int, int]:
        """Return flavor -> VMs, of those that need a place, for which none is found when hosts (class -> how many) are
        gone.
        """
        lost = self._lost(gone, need, ROOMIEST)
        more = lost and any(len(own) > ROOMIEST for own in self.which.values())
        return self._lost(gone, need, None) if more else lost

    def without_room(self, flavor: int, gone: Mapping[int, int], need: int) -> int:
        """Return how many of so many VMs of a flavor have no room when hosts are gone, whatever else fits."""
        if flavor not in self.most:
            self.most[flavor] = self.room.most_by_class(flavor)
        most = self.most[flavor]
        if most is None:
            return 0
        left = int((most * self.room.count).sum()) - sum(int(most[number]) * many for number, many in gone.items())
        return max(0, need - left)

    def _lost(self, gone: Mapping[int, int], need: Mapping[int, int], most: int | None) -> dict[int, int]:
        classes, flavors = self.problem.classes, self.problem.flavors
        free = {shape: rows[:most].copy() for shape, rows in self.free.items()}
        allowed = {shape: rows[:most] for shape, rows in self.allowed.items()}
        count = {
            shape: np.array([classes[n].count - gone.get(n, 0) for n in own[:most].tolist()], dtype=np.int64)
            for shape, own in self.which.items()
        }
        lost: dict[int, int] = {}
        for flavor in sorted(need, key=lambda number: (-flavors[number].vcpus, number)):
            for placed in range(need[flavor]):
                if not any(self._put(shape, flavor, free, allowed, count) for shape in free):
                    lost[flavor] = need[flavor] - placed
                    break
        return lost

    def _put(
        self, shape: int, flavor: int, free: dict[int, IntArray], allowed: dict[int, Any], count: dict[int, IntArray]
    ) -> bool:
        """Put one VM where the least is left free; that host is a kind of its own from now on."""
        use = self.problem.shapes[shape].use
        open_rows = allowed[shape][:, flavor] & (count[shape] > 0)
        for placement in self.placements.get((shape, flavor), ()):
            fits = np.flatnonzero(open_rows & (use[placement] <= free[shape]).all(axis=1))
            if not len(fits):
                continue
            taken = use[placement] > 0
            at = int(fits[np.argmin(free[shape][fits][:, taken].sum(axis=1))])
            left = free[shape][at] - use[placement]
            if count[shape][at] == 1:
                free[shape][at] = left
            else:
                count[shape][at] -= 1
                free[shape] = np.vstack([free[shape], left])
                allowed[shape] = np.vstack([allowed[shape], allowed[shape][at]])
                count[shape] = np.append(count[shape], 1)
            return True
        return False
