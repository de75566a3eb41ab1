"""What the failure of a single host would do to a plan: would its VMs find a NUMA-true place on the others?

Answered from the fleet and the plan alone, whoever made it. The VMs of a failed host are placed greedily beside those
of the others, which stay where they are; what the referee of the engines accepts is a proof that they find a place.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Plan
from placer.model.rules import values_of
from placer.model.vm import Vm
from placer.planning.after import fleet_after, with_vms
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.room import Room
from solvers.problem import HostClass, MoveBudget, Problem
from solvers.slots import Filler
from solvers.starts.best_fit import solve_greedy

MOST_STATES = 64
"""So many distinct host states, the fullest first, are looked at; the answer says how many of how many."""

FAILED = "\0failed"
"""Name of the host that VMs of a failed one count as being on: no inventory has it."""


@dataclass(frozen=True, slots=True)
class HostState:
    """Hosts of a plan that are alike: class, VMs on each by the flavor that looks for a place, the first of them."""

    host_class: int
    demand: tuple[tuple[int, int], ...]
    example: int


def worst_failure(fleet: Fleet, plan: Plan) -> dict[str, Any]:
    """Return the worst single host failure: the host, and the VMs that would find no NUMA-true place on the others.

    Nothing else moves, and no rule gets worse. ``proven`` tells whether no other choice of places leaves out fewer
    vCPUs of that host's VMs, and no other host's failure more. ``states`` is how many distinct host states were looked
    at, of ``states_in_all``.
    """
    worst: dict[str, Any] = {"host": None, "vms_without_place": 0, "vcpus_without_place": 0, "proven": True}
    if not plan.vms:
        return {**worst, "states": 0, "states_in_all": 0}
    settled, compiled, twin = _compiled(fleet, plan)
    problem = compiled.problem
    states = _host_states(settled, compiled, twin)
    weight = [sum(problem.flavors[flavor].vcpus * many for flavor, many in state.demand) for state in states]
    order = sorted(range(len(states)), key=lambda n: (-weight[n], n))
    rooms = _Rooms.of(problem)
    for number in order[:MOST_STATES]:
        lost = rooms.lost(states[number])
        vcpus = sum(problem.flavors[flavor].vcpus * many for flavor, many in lost.items())
        if worst["host"] is None or vcpus > worst["vcpus_without_place"]:
            worst = {
                "host": settled.hosts[states[number].example].name,
                "vms_without_place": sum(lost.values()),
                "vcpus_without_place": vcpus,
                "proven": rooms.without_room(states[number]) >= vcpus,
            }
    # Of a failure that was not looked at, no more is known than that it loses all of the host's VMs at most.
    unseen = max((weight[n] for n in order[MOST_STATES:]), default=0)
    worst["proven"] = worst["proven"] and unseen <= worst["vcpus_without_place"]
    return {**worst, "states": min(len(order), MOST_STATES), "states_in_all": len(order)}


def _compiled(fleet: Fleet, plan: Plan) -> tuple[Fleet, Compiled, dict[int, int]]:
    """Return the fleet as the plan leaves it, in numbers, and VM -> the flavor that it has once its host has failed.

    VMs alike look for places alike: of each kind one is added that is on a host which has failed.
    """
    after = fleet_after(fleet, plan)
    settled = with_vms(after, (vm for vm in after.vms if vm.current is not None))
    selections = [rule.members for rule in settled.rules if rule.members is not None and "name" in rule.members]
    named = {name for selection in selections for name in values_of(selection, "name")}
    lost: list[Vm] = []
    kinds: dict[Any, int] = {}
    kind_of: dict[int, int] = {}
    for number, vm in enumerate(settled.vms):
        assert vm.current is not None
        own = vm.name if vm.name in named and "name" not in vm.spec.labels else None
        parts = None if vm.current.nodes is None else len(vm.current.nodes)
        key = (id(vm.spec), parts, own)
        if key not in kinds:
            kinds[key] = len(lost)
            spec = vm.spec
            if own is not None:  # a rule that names a VM reads a label `name` before the name
                spec = dataclasses.replace(spec, labels={**spec.labels, "name": own})
            away = dataclasses.replace(vm.current, host=FAILED)
            lost.append(dataclasses.replace(vm, name=f"{FAILED} {len(lost)}", spec=spec, uuid=None, current=away))
        kind_of[number] = kinds[key]
    failed = dataclasses.replace(settled.hosts[0], name=FAILED, failed=True)
    asked = dataclasses.replace(settled, hosts=(*settled.hosts, failed), vms=(*settled.vms, *lost))
    compiled = compile_fleet(asked, parse_goals("placed", asked), MoveBudget(moves=0))
    flavors = compiled.flavors.of_vm[len(settled.vms) :]
    return settled, compiled, {vm: flavors[kind] for vm, kind in kind_of.items()}


def _host_states(fleet: Fleet, compiled: Compiled, twin: dict[int, int]) -> list[HostState]:
    """Return the hosts that hold VMs, those alike together; of a class whose VMs can move one host speaks for all."""
    on_host: dict[int, Counter[int]] = defaultdict(Counter)
    position = {host.name: number for number, host in enumerate(fleet.hosts)}
    for number, vm in enumerate(fleet.vms):
        assert vm.current is not None
        on_host[position[vm.current.host]][twin[number]] += 1
    found: dict[tuple[int, tuple[tuple[int, int], ...]], int] = {}
    for number, host_class in enumerate(compiled.problem.classes):
        for member in host_class.members:
            demand = tuple(sorted(on_host[member].items()))
            if demand:
                found.setdefault((number, demand), member)
    return [HostState(host_class, demand, example) for (host_class, demand), example in found.items()]


@dataclass(slots=True)
class _Rooms:
    """What the hosts have left beside what is there."""

    problem: Problem
    room: Room

    @classmethod
    def of(cls, problem: Problem) -> _Rooms:
        """Return what is left in a problem."""
        return cls(problem=problem, room=Room(problem))

    def lost(self, state: HostState) -> dict[int, int]:
        """Return flavor -> VMs of one host of a state that find no place on the others by best fit."""
        demand = dict(state.demand)
        problem = dataclasses.replace(
            self.problem,
            flavors=tuple(
                dataclasses.replace(flavor, arriving=demand.get(number, 0))
                for number, flavor in enumerate(self.problem.flavors)
            ),
            classes=tuple(self._without(state.host_class)),
        )
        found = solve_greedy(problem) if problem.classes else None
        left = demand if found is None or not found.patterns else dict(enumerate(found.unplaced))
        return {flavor: many for flavor, many in left.items() if many}

    def _without(self, failed: int) -> Sequence[HostClass]:
        return [
            dataclasses.replace(one, count=one.count - (number == failed), members=())
            for number, one in enumerate(self.problem.classes)
            if one.count > (number == failed)
        ]

    def without_room(self, state: HostState) -> int:
        """Return vCPUs of one host of a state for which the others have no room, each flavor counted alone."""
        problem = self.problem
        total = 0
        for flavor, vms in state.demand:
            room = 0
            for shape, numbers in self.room.numbers.items():
                form, where = problem.shapes[shape], self.room.allowed[shape][:, flavor]
                own = np.flatnonzero((form.flavor == flavor) & ~form.stay_only)
                if not where.any() or (form.complete and not len(own)):
                    continue
                hosts = self.room.count[numbers] - (numbers == state.host_class)
                if not form.complete and hosts[where].any():
                    return 0
                most = Filler.of(form.use[own], form.touches[own], form.row_names).bounds(self.room.free[shape]).most
                room += int((most * hosts * where).sum())
            total += problem.flavors[flavor].vcpus * max(0, vms - room)
        return total
