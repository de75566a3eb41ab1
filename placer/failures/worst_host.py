"""What the failure of a single host would do to a plan: would its VMs find a NUMA-true place on the others?

Answered from the fleet and the plan alone, whoever made it. VMs of a failed host are placed greedily beside those of
the others, which stay where they are: every place found is a proof. Where rules tie hosts the greedy engine looks for
places, and its referee says that no rule gets worse.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from placer.failures.refit import Fit
from placer.measure.alike import PlaceNumbers
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Plan, PlanVm
from placer.model.rules import values_of
from placer.model.same_host import room_key
from placer.model.vm import Vm
from placer.planning.after import fleet_after, with_vms
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.room import Room
from solvers.problem import HostClass, MoveBudget, Problem
from solvers.slots import Filler
from solvers.starts.best_fit import solve_greedy

MOST_STATES = 64
"""So many distinct host states, the fullest first, are looked at; the answer says how many of how many."""
FEWEST_STATES, RULE_WORK = 8, 2_000_000
"""With rules each look counts their members on all hosts anew: fewer states, so that all looks together are no more
than so many hosts × rules, some ten seconds, but not fewer than the first number.
"""

FAILED = "\0failed"
"""Name of the host that VMs of a failed one count as being on: no inventory has it."""


@dataclass(frozen=True, slots=True)
class HostState:
    """Hosts of a plan that are alike: class, VMs on each by the flavor that looks for a place, the first of them."""

    host_class: int
    demand: tuple[tuple[int, int], ...]
    example: int


def worst_failure(fleet: Fleet, plan: Plan, *, is_late: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Return the worst single host failure: the host, and the VMs that would find no NUMA-true place on the others.

    Nothing else moves, and no rule gets worse. ``proven`` tells whether no other choice of places leaves out fewer
    vCPUs of that host's VMs, and no other host's failure more. ``states`` is how many distinct host states were looked
    at, of ``states_in_all``: once it `is_late`, no further one is.
    """
    worst: dict[str, Any] = {"host": None, "vms_without_place": 0, "vcpus_without_place": 0, "proven": True}
    if not plan.vms:
        return {**worst, "states": 0, "states_in_all": 0}
    if len(fleet.hosts) == 1:
        # There are no others: what a host of many nodes takes to put in numbers is spared.
        vcpus_of = {vm.name: vm.spec.vcpus for vm in fleet.vms}
        out = sum(vcpus_of[vm.name] for vm in plan.vms)
        worst = {**worst, "host": fleet.hosts[0].name, "vms_without_place": len(plan.vms), "vcpus_without_place": out}
        return {**worst, "states": 1, "states_in_all": 1}
    sample = _one_of_each(fleet, plan)
    settled, compiled, twin = _compiled(sample.fleet, plan)
    problem = sample.whole(compiled.problem)
    states = _host_states(settled, compiled, twin)
    weight = [sum(problem.flavors[flavor].vcpus * many for flavor, many in state.demand) for state in states]
    order = sorted(range(len(states)), key=lambda n: (-weight[n], n))
    rooms, looked = _Rooms.of(problem), 0
    for number in order[: _states_looked_at(problem)]:
        if looked and is_late():
            break
        looked += 1
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
    unseen = max((weight[n] for n in order[looked:]), default=0)
    worst["proven"] = worst["proven"] and unseen <= worst["vcpus_without_place"]
    return {**worst, "states": looked, "states_in_all": len(order)}


def _states_looked_at(problem: Problem) -> int:
    work = problem.host_count * len(problem.rules)
    return min(MOST_STATES, max(FEWEST_STATES, RULE_WORK // work)) if work else MOST_STATES


@dataclass(frozen=True, slots=True)
class _Sample:
    """A fleet with one of the hosts that are alike under a plan, and host -> how many it stands for."""

    fleet: Fleet
    many: dict[str, int]

    def whole(self, problem: Problem) -> Problem:
        """Return the numbers of all hosts from those of the sample; members stay those of the sample."""
        classes = [
            dataclasses.replace(
                one, count=sum(self.many[self.fleet.hosts[member].name] for member in one.members), members=()
            )
            for one in problem.classes
        ]
        return dataclasses.replace(problem, classes=tuple(classes))


def _one_of_each(fleet: Fleet, plan: Plan) -> _Sample:
    """Return the fleet with one of the hosts that are built, labelled and filled alike: a large one has few kinds.

    Where a rule names hosts or VMs every host is of its own.
    """
    named = any(
        "name" in chosen for rule in fleet.rules for chosen in (*rule.selections, rule.hosts, rule.unless) if chosen
    )
    if named or any(vm.pins_fixed for vm in fleet.vms):
        return _Sample(fleet, {host.name: 1 for host in fleet.hosts})
    placed: dict[str, list[tuple[Vm, PlanVm]]] = defaultdict(list)
    for planned in plan.vms:
        placed[planned.host].append((fleet.vm_by_name[planned.name], planned))
    specs, places = SpecNumbers(), PlaceNumbers()
    labels: dict[Hashable, int] = {}

    def label_number(said: Mapping[str, str]) -> int:
        return labels.setdefault(tuple(sorted(said.items())), len(labels)) if fleet.rules else 0

    first: dict[Hashable, str] = {}
    many: Counter[str] = Counter()
    for host in fleet.hosts:
        content = [
            (specs.of(vm.spec), places.of(planned), label_number(vm.spec.labels), vm.movable, vm.pin)
            for vm, planned in placed[host.name]
        ]
        content.sort()
        admits = (host.cost, host.kvm, host.wide_vms, host.migration_domain, host.gen, host.failed)
        kind = (room_key(host), admits, label_number(host.labels), tuple(content))
        many[first.setdefault(kind, host.name)] += 1
    kept = [vm for name in many for vm, _ in placed[name]]
    hosts = tuple(host for host in fleet.hosts if host.name in many)
    return _Sample(with_vms(dataclasses.replace(fleet, hosts=hosts), kept), dict(many))


def _compiled(fleet: Fleet, plan: Plan) -> tuple[Fleet, Compiled, dict[int, int]]:
    """Return the fleet as the plan leaves it, in numbers, and VM -> the flavor that it has once its host has failed.

    VMs alike look for places alike: of each kind one is added that is on a host which has failed.
    """
    after = fleet_after(fleet, plan)
    settled = with_vms(after, (vm for vm in after.vms if vm.current is not None))
    selections = [chosen for rule in settled.rules for chosen in rule.selections if "name" in chosen]
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
    fit: Fit | None

    @classmethod
    def of(cls, problem: Problem) -> _Rooms:
        """Return what is left in a problem."""
        # What only fills rows knows no rule over several hosts.
        return cls(problem=problem, room=Room(problem), fit=None if problem.rules else Fit(problem))

    def lost(self, state: HostState) -> dict[int, int]:
        """Return flavor -> VMs of one host of a state that find no place on the others, the largest placed first."""
        demand = dict(state.demand)
        if self.fit is not None:
            return self.fit.lost({state.host_class: 1}, demand)
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
