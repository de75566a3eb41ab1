"""The tables that a plan is: hosts, nodes, VMs, pins, moves and warnings, for workbooks and data files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placer.emit.report.hosts import Pattern, find_patterns
from placer.emit.report.sections import goal_words
from placer.emit.tables import COLUMNS, plan_rows
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.model.units import mib_number
from placer.moves.schedule import schedule_moves
from placer.show.plan_sentences import sentences

_UNKNOWN = "unknown"

Value = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: its name, its columns with units in their names, its rows; None is what is not known."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Value]]


def plan_tables(plan: Plan, fleet: Fleet) -> tuple[Table, ...]:
    """Return Summary, Hosts, Nodes, VMs, Pins, Moves and Warnings of a plan."""
    patterns = find_patterns(fleet, plan)
    return (
        _summary(plan, fleet),
        _hosts(patterns),
        _nodes(patterns),
        vm_table(plan),
        Table(name="Pins", columns=COLUMNS, rows=list(plan_rows(plan, fleet))),
        _moves(plan, fleet),
        _warnings(plan, fleet),
    )


def _summary(plan: Plan, fleet: Fleet) -> Table:
    """Return the outcome in sentences, the counts, and the goals; a bound or gap that is not known says so."""
    nothing: tuple[Value, ...] = (None, None, None, None)
    facts: list[tuple[Value, ...]] = [("outcome", sentence, *nothing) for sentence in sentences(plan, fleet)]
    facts += [
        ("status", plan.status, *nothing),
        ("hosts", len(fleet.hosts), *nothing),
        ("hosts with VMs", len({vm.host for vm in plan.vms}), *nothing),
        ("VMs placed", len(plan.vms), *nothing),
        ("VMs without a place", len(plan.unplaced), *nothing),
        ("seed", plan.seed, *nothing),
        ("fleet digest", plan.fleet_digest, *nothing),
    ]
    for goal in plan.goals:
        known = [_UNKNOWN if figure is None else figure for figure in (goal.value, goal.bound, goal.gap)]
        facts.append((f"goal {goal.name}", *known, goal.status, goal_words(goal.name)))
    return Table(name="Summary", columns=("what", "value", "bound", "gap", "status", "meaning"), rows=facts)


def _hosts(patterns: Sequence[Pattern]) -> Table:
    rows = [
        (
            host.name,
            len(vms),
            sum(len(node.cpus) for node in pattern.nodes),
            sum(node.free for node in pattern.nodes),
            mib_number(sum(node.free_kib for node in pattern.nodes)),
        )
        for pattern in patterns
        for host, vms in zip(pattern.hosts, pattern.vms, strict=True)
    ]
    return Table(name="Hosts", columns=("host", "vms", "cpus", "free_cpus", "free_memory_mib"), rows=rows)


def _nodes(patterns: Sequence[Pattern]) -> Table:
    rows = [
        (
            host.name,
            node.mapped.id,
            len(node.cpus),
            node.free,
            format_cpuset(node.open),
            len(node.mapped.reserved & node.cpus),
            mib_number(node.room_kib),
            mib_number(node.free_kib),
        )
        for pattern in patterns
        for host in pattern.hosts
        for node in pattern.nodes
    ]
    columns = ("host", "node", "cpus", "free_cpus", "free_cpuset", "reserved_cpus", "memory_mib", "free_memory_mib")
    return Table(name="Nodes", columns=columns, rows=rows)


def vm_table(plan: Plan) -> Table:
    """Return a row a VM, those without a place last."""
    rows: list[tuple[Value, ...]] = [
        (
            vm.name,
            vm.uuid,
            vm.host,
            len(vm.pins),
            mib_number(sum(cell.memory_kib for cell in vm.cells)),
            len(vm.cells),
            format_cpuset(node for cell in vm.cells for node in cell.nodes),
            None if vm.emulator is None else format_cpuset(vm.emulator),
            vm.change.value,
            vm.from_host,
            ", ".join(vm.named_devices) or None,
            None,
        )
        for vm in plan.vms
    ]
    rows += [(out.name, *(None,) * 10, out.reason) for out in plan.unplaced]
    columns = ("vm", "uuid", "host", "vcpus", "memory_mib", "cells", "memory_nodes", "emulator", "change", "from_host")
    return Table(name="VMs", columns=(*columns, "devices", "reason_unplaced"), rows=rows)


def _moves(plan: Plan, fleet: Fleet) -> Table:
    columns = ("wave", "vm", "uuid", "step", "needs", "from_host", "to_host", "to_nodes", "copied_gib", "put_aside")
    if all(vm.change is Change.NONE for vm in plan.vms):
        return Table(name="Moves", columns=columns, rows=[])
    rows = [
        (
            number,
            step.vm,
            step.uuid,
            step.kind.value,
            step.need.value,
            None if step.source is None else step.source.host,
            step.target.host,
            format_cpuset(step.target.memory_nodes),
            step.copied_gib,
            "yes" if step.parking else "no",
        )
        for number, wave in enumerate(schedule_moves(fleet, plan).waves, start=1)
        for step in wave.steps
    ]
    return Table(name="Moves", columns=columns, rows=rows)


def _warnings(plan: Plan, fleet: Fleet) -> Table:
    told = dict.fromkeys([*plan.warnings, *fleet.warnings])
    return Table(name="Warnings", columns=("warning",), rows=[(warning,) for warning in told])
