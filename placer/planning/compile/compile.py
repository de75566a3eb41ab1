"""Compile a fleet into a `Problem`: hosts become classes of shapes, VMs become flavors, rules become rows or cross
rules.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from placer.measure.rule_excess import rule_index, start_excess
from placer.model.balance import loads_of
from placer.model.fleet import Fleet
from placer.model.goals import UNBOUND, Goal, HeadroomFlavor
from placer.model.rules import RuleKind
from placer.model.sets import Binding, PinMode, binding_of, known_nodes
from placer.model.usage_levels import usage_levels
from placer.model.vm import Cell, CellMode, CpuPolicy, EmulatorPolicy, PinPolicy, VmSpec
from placer.planning.compile.capacity import HostCapacity
from placer.planning.compile.charges import Charges, with_groups
from placer.planning.compile.cross_rules import WITHIN_HOST, cross_rules, soft_rows
from placer.planning.compile.flavors import Confinement, FlavorGroup, Flavors, group_flavors
from placer.planning.compile.host_classes import ClassBuilder
from placer.planning.compile.label_loads import LabelLoads
from placer.planning.compile.loose import host_sets, loose_now
from placer.planning.compile.needs import part_vcpus, spec_needs
from placer.planning.compile.objectives import objectives_of
from placer.planning.compile.row_table import ONE_L3, ONE_L3_FLOATS, Place
from placer.planning.compile.rows import Row
from placer.planning.compile.shapes import ShapeFactory
from placer.planning.compile.structures import LoadKinds, memory_unit
from solvers.pins.cpu_rows import WholeDemand
from solvers.problem import Flavor, MoveBudget, Problem


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A problem, and what is needed to read names out of its answer.

    Attributes
    ----------
    placements, rows : a shape, the placement behind each of the problem's placement indices, and its rows.
    now : a host, placement index -> VMs (indices into the fleet) that are there now; `floating` the same a flavor for
        VMs on no known node; `fixed` the VMs that cannot move, a host.
    capacities : a host, what it can give (CPUs held by fixed pins taken out).
    constants : goal -> what immovable VMs add to it, in the objective's own integer unit.
    """

    fleet: Fleet
    goals: tuple[Goal, ...]
    problem: Problem
    flavors: Flavors
    placements: tuple[tuple[Place, ...], ...]
    rows: tuple[tuple[Row, ...], ...]
    now: Mapping[int, Mapping[int, tuple[int, ...]]]
    floating: Mapping[int, Mapping[int, tuple[int, ...]]]
    fixed: Mapping[int, tuple[int, ...]]
    capacities: tuple[HostCapacity, ...]
    constants: Mapping[str, int]


def compile_fleet(
    fleet: Fleet,
    goals: Sequence[Goal],
    budget: MoveBudget | None = None,
    pin: PinMode | None = "none",
    *,
    relaxed: bool = False,
) -> Compiled:
    """Return the fleet in numbers. Hosts that failed take part in nothing; their VMs count as arriving.

    `pin` says which VMs that float are bound to nodes where the goal ``remote`` asks; None: none, whatever they say.
    Where hosts hold more than they have room for and that is a goal, newcomers without CPUs of their own may float:
    bound to the only node with room for them they could keep what is over from being mended. `relaxed`: rows that all
    which can be pinned keeps, where none say just what that is; see `planning.relaxed`.
    """
    kinds = {goal.kind for goal in goals}
    binds = _bindings(fleet, pin) if "remote" in kinds and pin is not None else {}
    compiled = _compiled(fleet, goals, budget, binds, relaxed)
    if (
        kinds >= {"excess", "remote"}
        and any(one.room is not None for one in compiled.problem.classes)
        and (more := _newcomers(fleet))
    ):
        return _compiled(fleet, goals, budget, {**binds, **more}, relaxed)
    return compiled


def _compiled(
    fleet: Fleet, goals: Sequence[Goal], budget: MoveBudget | None, binds: Mapping[int, Binding], relaxed: bool
) -> Compiled:
    """Return the fleet in numbers; `binds` are the VMs that shall or may be bound and that may float."""
    loads = [load for goal in goals for load in loads_of(fleet, goal.name)]
    labels = LabelLoads.of(fleet, loads)
    charges = Charges.of(fleet, goals, labels)
    fleet = with_groups(fleet, charges)
    by_usage = any(goal.by_usage for goal in goals)
    flavors = group_flavors(fleet, usage_levels(fleet) if by_usage else (), binds)
    headroom = [goal for goal in goals if goal.flavor is not None]
    groups = [*flavors.groups, *(_phantom(goal.flavor) for goal in headroom if goal.flavor)]
    spread = {
        i: rule.scope
        for i, rule in enumerate(fleet.rules)
        if rule.kind is RuleKind.ANTI_AFFINITY and rule.scope in WITHIN_HOST
    }
    sharing = {
        rule
        for group in groups
        for rule in group.rules
        if any(part.shared for one in group.needs.options for part in one)
    }
    spread |= {
        i: ONE_L3_FLOATS if i in sharing else ONE_L3
        for i, rule in enumerate(fleet.rules)
        if rule.kind is RuleKind.AFFINITY and rule.scope == "l3"
    }
    max_per = {i: fleet.rules[i].max_per for i in spread}
    factory = ShapeFactory(
        groups=groups,
        spread_rules=spread,
        headroom={len(flavors.groups) + n: goal.name for n, goal in enumerate(headroom)},
        loads=loads,
        labels=labels,
        soft=soft_rows({i: fleet.rules[i] for i in spread}),
        rules=fleet.rules,
    )
    kinds = {goal.kind for goal in goals}
    fixed = {id(fleet.vms[number].spec): fleet.vms[number].spec for number in flavors.fixed}.values()
    every = [group.needs for group in groups] + [spec_needs(spec) for spec in fixed]
    parts = [(needs, part) for needs in every for option in needs.options for part in option]
    whole = WholeDemand.of((needs.thread_policy, part.dedicated, needs.core_kind) for needs, part in parts)
    factory.only_threads = not whole.any
    floats = any(group.online is not None for group in groups)
    floats |= any(known_nodes(fleet.vms[number]) is None for number in flavors.fixed)
    labels.memory_unit = memory_unit((part for _, part in parts), floats=floats)
    cross = cross_rules(fleet, flavors, labels)
    bound = [group.needs for group in groups if group.online is None or group.binds]
    bound += map(spec_needs, fixed)
    any_shared = any(part.shared for needs in bound for option in needs.options for part in option)
    builder = ClassBuilder(
        fleet=fleet,
        flavors=flavors,
        groups=groups,
        factory=factory,
        max_per=max_per,
        cross={number: n for n, number in enumerate(cross)},
        loads=LoadKinds(
            kinds=tuple(sorted(labels.kinds() | {(load.resource, load.places) for load in loads if not load.by_label})),
            memory_unit=labels.memory_unit,
        ),
        cores="cores" in kinds,
        charges=charges,
        whole=whole,
        any_shared=any_shared or _one_node_sets(fleet, groups),
        relaxed=relaxed,
        broken_l3=_broken_over_l3(fleet),
        floating_l3=any(
            rule in spread
            and fleet.rules[rule].scope == "l3"
            and any(part.shared for option in group.needs.options for part in option)
            for group in groups
            for rule in group.rules
        ),
    )
    built = builder.build()
    left = sum(one == "shall" for one in _bindings(fleet, "none", but=binds).values())
    problem = Problem(
        flavors=tuple(_flavor(group, number, len(flavors.groups)) for number, group in enumerate(groups)),
        shapes=built.shapes,
        classes=built.classes,
        objectives=objectives_of(
            goals, flavors.groups, len(headroom), {**built.units, **labels.units()}, built.excess, charges.first
        ),
        rules=tuple(cross.values()),
        budget=budget or MoveBudget(),
    )
    return Compiled(
        fleet=fleet,
        goals=tuple(goals),
        problem=problem,
        flavors=flavors,
        placements=built.placements,
        rows=built.rows,
        now=built.now,
        floating=built.floating,
        fixed=built.fixed,
        capacities=built.capacities,
        constants={**built.constants, UNBOUND: left},
    )


def _bindings(fleet: Fleet, pin: PinMode, but: Container[int] = ()) -> dict[int, Binding]:
    """Return which VMs that float on a host that works shall or may be bound to nodes, those of `but` left out."""
    out: dict[int, Binding] = {}
    for number, vm in enumerate(fleet.vms):
        host = fleet.host_by_name.get(vm.current.host) if vm.current is not None else None
        if number not in but and host is not None and not host.failed and (found := binding_of(vm, pin)) is not None:
            out[number] = found
    return out


def _newcomers(fleet: Fleet) -> dict[int, Binding]:
    """Return the VMs to come that may float where they come: none with CPUs, pages or devices of its own."""
    return {
        number: "shall"
        for number, vm in enumerate(fleet.vms)
        if vm.current is None
        and vm.pin is PinPolicy.ALLOWED
        and vm.spec.cpu_policy is CpuPolicy.SHARED
        and vm.spec.emulator_threads is not EmulatorPolicy.ISOLATE
        and vm.spec.page_kib is None
        and not vm.spec.devices
    }


def _one_node_sets(fleet: Fleet, groups: Sequence[FlavorGroup]) -> bool:
    """Tell whether vCPUs that have no CPU of their own may run on a single node alone, of VMs that are not bound."""
    if any(group.online is not None for group in groups) and any(len(host_sets(host)[0]) == 1 for host in fleet.hosts):
        return True
    return any(
        len(part.cpus) == 1
        for vm in fleet.vms
        if vm.current is not None and known_nodes(vm) is None and vm.current.host in fleet.host_by_name
        for part in loose_now(vm, fleet.host_by_name[vm.current.host]).parts
    )


def _broken_over_l3(fleet: Fleet) -> bool:
    """Tell whether a rule over L3 domains is broken now: by how much is a matter of pins, which rows do not know."""
    if not any(rule.scope == "l3" for rule in fleet.rules):
        return False
    return any(fleet.rules[rule].scope == "l3" for rule, _ in start_excess(fleet, rule_index(fleet)))


def _flavor(group: FlavorGroup, number: int, real: int) -> Flavor:
    needs = group.needs
    return Flavor(
        name=f"flavor {number}: {needs.vcpus} vCPUs",
        vcpus=needs.vcpus,
        arriving=len(group.arriving),
        priority=needs.priority,
        phantom=number >= real,
        settles=group.binds is not None,
    )


def _phantom(flavor: HeadroomFlavor) -> FlavorGroup:
    shape = VmSpec(vcpus=flavor.vcpus, memory_kib=flavor.memory_kib)
    cells = tuple(
        Cell(vcpus=frozenset(ids), memory_kib=flavor.memory_kib // flavor.cells)
        for ids in part_vcpus(shape, flavor.cells)
    )
    spec = VmSpec(
        vcpus=flavor.vcpus,
        memory_kib=flavor.memory_kib,
        cell_mode=CellMode.GIVEN,
        cells=cells,
        cpu_policy=CpuPolicy.DEDICATED if flavor.policy == "dedicated" else CpuPolicy.SHARED,
        overhead_kib=None if flavor.memory_kib else 0,
    )
    floating = flavor.vcpus if flavor.policy == "floating" else None
    return FlavorGroup(needs=spec_needs(spec), rules=(), confinement=Confinement(), online=floating)
