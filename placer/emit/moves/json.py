"""A schedule of moves as plain data: schema ``placer.moves/v1``."""

from __future__ import annotations

from typing import Any

from placer.model.cpuset import format_cpuset
from placer.moves.model import FloatingSet, Place, Schedule, Step
from placer.moves.pages import page_command

SCHEMA = "placer.moves/v1"


def schedule_data(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON holds it; what is not known is null."""
    steps = [step for wave in schedule.waves for step in wave.steps]
    counts = {kind: sum(step.kind.value == kind for step in steps) for kind in sorted({s.kind.value for s in steps})}
    return {
        "schema": SCHEMA,
        "complete": not schedule.blocked and not schedule.remaining,
        "steps": counts,
        "memory_gib": sum(step.memory_gib for step in steps),
        "disk_gib": sum(step.disk_gib for step in steps),
        "minutes": schedule.minutes,
        "parking_moves": {"value": schedule.parking_moves, "bound": schedule.parking_bound},
        "waves": [
            {
                "number": number,
                "memory_gib": wave.memory_gib,
                "minutes": wave.minutes,
                "may_stop_after": wave.complete,
                "narrow_before": [_floating(entry) for entry in wave.before],
                "steps": [step_data(step) for step in wave.steps],
                "set_after": [_floating(entry) for entry in wave.after],
            }
            for number, wave in enumerate(schedule.waves, start=1)
        ],
        "cycles": [
            {
                "vms": list(cycle.vms),
                "hosts": list(cycle.hosts),
                "fewest_parkings": cycle.fewest_parkings,
                "exact": cycle.exact,
            }
            for cycle in schedule.cycles
        ],
        "blocked": [
            {"vm": entry.vm, "to": entry.target, "reason": entry.reason, "by": list(entry.by)}
            for entry in schedule.blocked
        ],
        "rules_broken_on_the_way": [
            {
                "rule": rule.rule,
                "from_wave": rule.first,
                "to_wave": rule.last,
                "minutes": rule.minutes,
                "by_any_order": rule.by_any,
                "mended": rule.mended,
            }
            for rule in schedule.broken
        ],
        "remaining": [step_data(step) for step in schedule.remaining],
        "notes": list(schedule.notes),
    }


def step_data(step: Step) -> dict[str, Any]:
    """Return one step."""
    return {
        "vm": step.vm,
        "uuid": step.uuid,
        "do": step.kind.value,
        "from": None if step.source is None else _place(step.source),
        "to": _place(step.target),
        "memory_gib": step.memory_gib,
        "disk_gib": step.disk_gib,
        "parking": step.parking,
        "passing": step.passing,
        "wants_free_kib": {str(node): kib for node, kib in step.wants_free.items()},
        "move_pages_first": [
            {
                "vm": move.vm,
                "host": move.host,
                "from_node": move.source,
                "to_node": move.target,
                "memory_kib": move.memory_kib,
                "command": page_command(move),
            }
            for move in step.pages_first
        ],
        "shares_with": list(step.shares_with),
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "host": place.host,
        "nodes": None if place.nodes is None else list(place.nodes),
        "memory_nodes": list(place.memory_nodes) if place.cells else None,
        "pins": {str(vcpu): format_cpuset(cpus) for vcpu, cpus in sorted(place.pins.items())},
    }


def _floating(entry: FloatingSet) -> dict[str, Any]:
    node = entry.nodes[0] if len(entry.nodes) == 1 else format_cpuset(entry.nodes)
    return {"host": entry.host, "node": node, "cpus": format_cpuset(entry.cpus), "vms": list(entry.vms)}
