"""Solve an inventory by the reference model: goals in order, each to proven optimality, and a plan that attains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from ortools.sat.python import cp_model

from benchmarks.truth.build import build
from benchmarks.truth.floats import binding, may_float
from benchmarks.truth.goals import Part, flavor_of, objectives, parse
from benchmarks.truth.model import NotCoveredError, ReferenceModel
from benchmarks.truth.places import requests
from benchmarks.truth.reads.reading import read
from benchmarks.truth.rules import rules_excess

EFFORT = 4.0
"""Deterministic seconds of CP-SAT for one objective: above that the reference gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a VM is: side by side, a cell or part each, vCPUs, their node, their memory's node and the CPUs of the
    dedicated ones; beside them the emulator's own CPU and a node a device request, ordered by kind, policy and count.
    """

    host: str
    vcpus: tuple[tuple[int, ...], ...]
    memory_kib: tuple[int, ...]
    cpu_nodes: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    cpus: tuple[tuple[int, ...], ...]
    emulator: int | None
    devices: tuple[tuple[str, int | None], ...]
    floats: bool = False
    """It has no node a cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the reference found.

    `values` holds the proven optimum of each goal in order, part by part; `plan` attains all of them: VM -> where it
    is, left out where it has no place.
    """

    status: Literal["optimal", "impossible", "gave up"]
    values: Mapping[str, tuple[float, ...]]
    plan: Mapping[str, Placed]

    def value(self, goal: str) -> float:
        """Return the value of a goal as placer writes it: `placed` in vCPUs, `moves` in VMs that change host, the parts
        of `excess` added up, `remote` without the VMs that shall be bound and are not.
        """
        parts = self.values[goal]
        if goal == "remote":
            return parts[-1]
        if goal == "excess":
            return sum(parts)
        return sum(parts[::2]) if goal == "placed" else parts[0]


def solve(
    data: Mapping[str, Any],
    goals: str,
    *,
    max_moves: int | None = None,
    max_migrations: int | None = None,
    max_repins: int | None = None,
    pin: str = "none",
    held: Mapping[str, Sequence[float]] | None = None,
    fixed: Mapping[str, Placed] | None = None,
) -> Answer:
    """Return the lexicographic optimum of an inventory under a list of goals.

    Parameters
    ----------
    held : values, part by part, at which goals are held in place of their optimum when later ones are solved.
    fixed : a plan: every VM is where it says, and the values are the plan's own. Impossible means that it keeps
        something not.
    """
    inventory = read(data)
    limits = {"max_moves": max_moves, "max_migrations": max_migrations, "max_repins": max_repins}
    names = {name for name, _ in parse(goals)}
    # Where nothing may be re-pinned, nothing is bound.
    mode = pin if max_repins != 0 else "none"
    binds = {vm.name: said for vm in inventory.vms if inventory.present(vm) and (said := binding(vm, mode))}
    asked = binds if "remote" in names and max_repins != 0 else {}
    try:
        model = build(inventory, **limits, binds=asked, flavor=flavor_of(goals))
        if model.over and {"excess", "remote"} <= names:
            loose = {vm.name: "shall" for vm in inventory.vms if may_float(vm)}
            model = build(inventory, **limits, binds=asked | loose, flavor=flavor_of(goals))
    except NotCoveredError:
        return Answer(status="gave up", values={}, plan={})
    unbound = binds.keys() - asked.keys()
    rules = rules_excess(model)
    if fixed is not None and not _fix(model, fixed):
        return Answer(status="impossible", values={}, plan={})
    values: dict[str, tuple[float, ...]] = {}
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = EFFORT
    plan: dict[str, Placed] = {}
    for name, slack in parse(goals):
        reached: list[float] = []
        try:
            parts = objectives(model, rules, name, unbound=len(unbound))
        except NotCoveredError:
            return Answer(status="gave up", values=values, plan={})
        for number, part in enumerate(parts):
            status = _optimise(model, solver, part)
            if status == cp_model.INFEASIBLE:
                # All stays is always a plan: of whole cores where shared vCPUs lack CPUs this model says too much.
                beyond = fixed is None and model.over and not values
                return Answer(status="gave up" if beyond else "impossible", values=values, plan={})
            if status != cp_model.OPTIMAL:
                return Answer(status="gave up", values=values, plan={})
            best = solver.value(part.expression)
            plan = _plan(model, solver)
            reached.append(best / part.scale)
            keep = Fraction(best) + part.sense * slack * abs(best)
            if held is not None and name in held:
                keep = Fraction(round(held[name][number] * part.scale))
            _hold(model, part, keep)
            _hint(model, solver)
        values[name] = tuple(reached)
    return Answer(status="optimal", values=values, plan=plan)


def _optimise(model: ReferenceModel, solver: cp_model.CpSolver, part: Part) -> Any:
    if part.sense > 0:
        model.model.minimize(part.expression)
    else:
        model.model.maximize(part.expression)
    return solver.solve(model.model)


def _hold(model: ReferenceModel, part: Part, keep: Fraction) -> None:
    if isinstance(part.expression, int):
        return
    if part.sense > 0:
        model.model.add(part.expression <= keep.__floor__())
    else:
        model.model.add(part.expression >= keep.__ceil__())


def _hint(model: ReferenceModel, solver: cp_model.CpSolver) -> None:
    model.model.clear_hints()  # type: ignore[no-untyped-call]
    for places in model.choice.values():
        for _, var in places:
            model.model.add_hint(var, solver.value(var))
    for cpus in model.own.values():
        for var in cpus.values():
            model.model.add_hint(var, solver.value(var))


def _plan(model: ReferenceModel, solver: cp_model.CpSolver) -> dict[str, Placed]:
    plan = {}
    for vm in model.inventory.vms:
        for place, var in model.choice[vm.name]:
            if not solver.value(var):
                continue
            cpus = [
                tuple(cpu for cpu, own in model.own.get((vm.name, place.host.name, n), {}).items() if solver.value(own))
                for n in range(len(place.cells))
            ]
            emulator = [
                cpu for cpu, own in model.emulator.get((vm.name, place.host.name), {}).items() if solver.value(own)
            ]
            kinds = [kind for kind, _, _ in requests(vm, place.cells)]
            plan[vm.name] = Placed(
                host=place.host.name,
                vcpus=tuple(cell.vcpus for cell in place.cells),
                memory_kib=tuple(cell.memory_kib for cell in place.cells),
                cpu_nodes=place.cpu_nodes,
                memory_nodes=place.memory_nodes,
                cpus=tuple(cpus),
                emulator=emulator[0] if emulator else None,
                devices=() if place.parts else tuple(zip(kinds, place.device_nodes, strict=True)),
                floats=bool(place.parts),
            )
    return plan


def _fix(model: ReferenceModel, plan: Mapping[str, Placed]) -> bool:
    """Put every VM where a plan says; tell whether each has such a place at all."""
    for vm in model.inventory.vms:
        wanted = plan.get(vm.name)
        if wanted is None:
            for _, var in model.choice[vm.name]:
                model.model.add(var == 0)
            continue
        if wanted.floats:
            loose = [var for place, var in model.choice[vm.name] if place.parts and place.host.name == wanted.host]
            if not loose:
                return False
            model.model.add(sum(loose) == 1)
            continue
        nodes = tuple(node for _, node in wanted.devices)
        chosen = [
            var
            for place, var in model.choice[vm.name]
            if (place.host.name, place.cpu_nodes) == (wanted.host, wanted.cpu_nodes)
            and place.device_nodes == nodes
            and _same_memory(vm.flat, place.memory_nodes, wanted.memory_nodes)
        ]
        if not chosen:
            return False
        model.model.add(sum(chosen) == 1)
        for number, cpus in enumerate(wanted.cpus):
            at = model.own.get((vm.name, wanted.host, number), {})
            for cpu in cpus:
                if cpu not in at:
                    return False
                model.model.add(at[cpu] == 1)
        if wanted.emulator is not None:
            at = model.emulator.get((vm.name, wanted.host), {})
            if wanted.emulator not in at:
                return False
            model.model.add(at[wanted.emulator] == 1)
    return True


def _same_memory(flat: bool, one: Sequence[int], other: Sequence[int]) -> bool:
    """Tell whether memory is on the same nodes; a flat guest's is in equal parts, whose order says nothing."""
    return sorted(one) == sorted(other) if flat else tuple(one) == tuple(other)
