"""``placer check``: validate a fleet, or compute all that a plan says once more from fleet and plan alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN, MaxHosts, MaxVms, Reading, read_fleet
from placer.cli.plans.conflict import conflict_data, conflict_lines
from placer.cli.terminal import Terminal, fault_data
from placer.errors import DifferenceError, Fault, InputError
from placer.model.units import count
from placer.show.remark_words import MOST_ALIKE, remark_lines
from placer.show.rows import MOST
from placer.show.words import amount, figure, percent

if TYPE_CHECKING:
    from rich.console import Console

    from placer.check.findings import CheckReport
    from placer.explain.conflicts import Conflict
    from placer.lint.remark import Remark
    from placer.model.fleet import Fleet
    from placer.model.plan import Plan


def check(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory; - reads standard input.")],
    plan: Annotated[
        str | None, typer.Argument(metavar="PLAN", help="The plan; without it only the fleet is validated.")
    ] = None,
    bound: Annotated[
        bool, typer.Option("--bound", help="Also price the plan's certificate again, with a second solver.")
    ] = False,
    lint: Annotated[
        bool, typer.Option("--lint", help="Also say what is valid and unwise: vNUMA sizes, pins, host settings.")
    ] = False,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="Also say why VMs cannot all be placed, with cures tried by solves.")
    ] = False,
    placement: Annotated[
        bool,
        typer.Option("--placement", help="Say which VMs are far from their memory now, and whose pins overlap."),
    ] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Every row of --placement, every remark of --lint.")] = False,
    max_hosts: MaxHosts = None,
    max_vms: MaxVms = None,
) -> Answer:
    """Verify a plan independently, or validate a fleet."""
    from placer.check.check import check as run_check

    for option, given in (("--lint", lint), ("--conflicts", conflicts), ("--placement", placement)):
        if given and plan is not None:
            raise InputError(f"{option} looks at a fleet", field=option, cure="leave the plan out")
    if plan is None:
        if bound:
            raise InputError("only a plan has bounds", field="--bound", cure="give the plan: placer check FLEET PLAN")
        model = read_fleet(fleet, None, Reading(max_hosts=max_hosts, max_vms=max_vms))
        report = run_check(model, excess=True)
        failure = InputError(_located(report.faults, fleet)) if report.faults else None
        text = f"{fleet}: {'not valid' if failure else 'valid'}"
        if placement and not failure:
            return _placement(model, report, text, terminal, None if show_all else MOST)
        conflict = _conflict(model) if conflicts and not failure else None
        if conflicts and not failure and conflict is None:
            text += "; no conflict of VMs and rules is proven"
        return _answer(
            report,
            text,
            failure,
            terminal,
            remarks=_lint(model) if lint and not failure else (),
            most=None if show_all else MOST_ALIKE,
            conflict=conflict,
        )
    if fleet == plan == STDIN:
        raise InputError("fleet and plan cannot both come from standard input", cure="give one of them as a file")
    planned = _read_plan(plan, bound)
    model = read_fleet(fleet, None, Reading.of(planned))
    _refuse_stranger(model, planned, plan)
    report = run_check(model, planned, bound=bound)
    if report.faults:
        alone = run_check(model).faults
        if alone:
            raise InputError(_located(alone, fleet))
        refused = DifferenceError(_located(report.faults, plan))
        return _answer(report, f"{plan}: refused, {count(len(report.faults), 'fault')}", refused, terminal)
    open_ = any("neither confirmed" in text or "not proven again" in text for text in report.warnings)
    proof = (
        "" if not bound else "; not every bound was proven again" if open_ else ", its bounds confirmed in a second way"
    )
    return _answer(report, f"{plan}: every constraint holds, every value is as it says{proof}", None, terminal, planned)


def _placement(fleet: Fleet, report: CheckReport, text: str, terminal: Terminal, most: int | None) -> Answer:
    from placer.explain.placement import placement_now
    from placer.show.placement_words import draw_placement

    found = placement_now(fleet)
    plain = _answer(report, text, None, terminal)
    return Answer(
        data=lambda: {**plain.data(), "placement": asdict(found)},
        text=lambda console: draw_placement(found, console, most),
    )


def _lint(fleet: Fleet) -> tuple[Remark, ...]:
    from placer.emit.domain.files import source_xml
    from placer.lint.lint import lint

    return lint(fleet, source_xml)


def _conflict(fleet: Fleet) -> Conflict | None:
    from placer.explain.conflicts import explain_conflict

    return explain_conflict(fleet)


def _read_plan(file: str, certificate: bool) -> Plan:
    from placer.read.documents.plan_file import read_plan

    return read_plan(file, certificate=certificate)


def _refuse_stranger(fleet: Fleet, plan: Plan, file: str) -> None:
    if plan.fleet_digest == fleet.digest:
        return
    raise InputError(
        "the plan was made for another fleet, or the fleet or a file it names has changed since",
        file=file,
        field="fleet.digest",
        cure="solve again, or give the fleet of the plan",
    )


def _located(faults: Sequence[Fault], file: str) -> list[Fault]:
    return [fault if fault.file else replace(fault, file=file) for fault in faults]


def _answer(
    report: CheckReport,
    text: str,
    failure: InputError | DifferenceError | None,
    terminal: Terminal,
    plan: Plan | None = None,
    remarks: Sequence[Remark] = (),
    conflict: Conflict | None = None,
    most: int | None = None,
) -> Answer:
    for said in report.warnings:
        # A bound that was proven again is news, and good news.
        if _CONFIRMED in said:
            terminal.note(said)
        else:
            terminal.warn([said])

    def data() -> dict[str, Any]:
        return {
            "valid": report.ok,
            "faults": [fault_data(fault) for fault in report.faults],
            "warnings": list(report.warnings),
            "measured": dict(report.measured),
            "lint": [asdict(remark) for remark in remarks],
            "conflict": None if conflict is None else conflict_data(conflict),
        }

    def draw(console: Console) -> None:
        console.print(text, soft_wrap=True)
        for line in conflict_lines(conflict) if conflict is not None else ():
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        if report.ok:
            _draw_measured(report.measured, plan, console)
        for line in remark_lines(remarks, most):
            console.print(line, soft_wrap=True, markup=False, highlight=False)

    return Answer(data=data, text=draw, failure=failure)


_CONFIRMED = "bound confirmed by "
_WRITTEN: dict[str, tuple[str, Callable[[Any], str]]] = {
    "hosts": ("hosts", figure),
    "vms": ("VMs", figure),
    "vcpus": ("vCPUs", figure),
    "usable_cpus": ("usable CPUs", figure),
    "vm_memory_kib": ("memory of VMs", amount),
    "host_memory_kib": ("memory for VMs", amount),
    "remote_access": ("remote access", figure),
    "remote_share": ("remote share", percent),
    "locality_score": ("locality score", figure),
    "mean_distance": ("mean distance", figure),
    "floating_vms": ("VMs that float, not among these", figure),
    "floating_remote_expected": ("remote access expected of them", figure),
    "device_access": ("device access", figure),
    "placed_vms": ("VMs placed", figure),
    "placed_vcpus": ("vCPUs placed", figure),
    "unplaced_vms": ("VMs without a place", figure),
    "migrations": ("VMs that change host", figure),
    "node_changes": ("VMs that change node", figure),
}


def _draw_measured(measured: Any, plan: Plan | None, console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for key, (name, written) in _WRITTEN.items():
        if key in measured and (not key.startswith("floating") or measured["floating_vms"]):
            table.add_row(f"  {name}", "unknown" if measured[key] is None else written(measured[key]))
    console.print(table)
    values = measured.get("goals")
    if plan is None or not values:
        return
    goals = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    goals.add_column("  goal")
    for column in ("measured", "bound in the plan"):
        goals.add_column(column, justify="right")
    for goal in plan.goals:
        if goal.name in values:
            goals.add_row(f"  {goal.name}", figure(values[goal.name]), figure(goal.bound))
    console.print(goals)
