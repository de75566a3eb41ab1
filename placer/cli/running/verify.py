"""``placer verify``: a plan against what its hosts and domains really are; drift is named and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import fleet_of_plan
from placer.cli.questions.metrics import MetricsFormat
from placer.cli.running.live_options import Connect, FleetFile, PlanFile, Ssh, SshConfig
from placer.cli.terminal import Terminal
from placer.errors import DifferenceError, PartialError, PlacerError
from placer.model.units import count
from placer.show.words import percent, visible

if TYPE_CHECKING:
    from rich.console import Console

    from placer.live.verify import Verification


def verify(
    terminal: Terminal,
    plan: PlanFile,
    connect: Connect = None,
    fleet: FleetFile = None,
    ssh: Ssh = False,
    ssh_config: SshConfig = None,
    format: Annotated[MetricsFormat, typer.Option("--format", help="How to print the result.")] = MetricsFormat.TABLE,
) -> Answer:
    """Compare a plan with its live hosts: definitions, live pins, threads and pages; drift ends with exit code 6.

    Connections are read-only. Threads and pages are read on this machine, and on others with --ssh.
    """
    from placer.live.host_files import Reach
    from placer.live.survey import survey
    from placer.live.targets import targets_of
    from placer.live.verify import verify as compare
    from placer.read.documents.plan_file import read_plan

    model = read_plan(plan)
    source = fleet_of_plan(model, plan, fleet, terminal)
    targets = targets_of(model, source, connect or ())
    reach = Reach(ssh=ssh or ssh_config is not None, ssh_config=ssh_config)
    found = compare(model, source, survey(model, source, targets, reach, processes=True))
    terminal.warn(found.strangers)
    drifts = found.drift_faults()
    failure: PlacerError | None = None
    if drifts:
        failure = DifferenceError([*drifts, *found.failures])
    elif found.failures:
        failure = PartialError(found.failures)
    if format is MetricsFormat.PROMETHEUS:
        from placer.emit.prometheus import exposition
        from placer.live.metrics import verify_families

        return Answer(data=lambda: _data(found), text=exposition(verify_families(found)), failure=failure)
    return Answer(data=lambda: _data(found), text=lambda console: _draw(found, console), failure=failure)


def _data(found: Verification) -> dict[str, Any]:
    return {
        "strangers": list(found.strangers),
        "vms": [
            {
                "name": one.vm,
                "host": one.host,
                "state": one.state,
                "drifts": [
                    {"where": drift.where.value, "what": drift.what, "planned": drift.planned, "found": drift.found}
                    for drift in one.drifts
                ],
                "planned_remote_share": one.planned_share,
                "measured_remote_share": one.measured_share,
                "unmeasured": one.unmeasured,
                "memory_kib": {
                    str(cell): {str(node): kib for node, kib in sorted(nodes.items())}
                    for cell, nodes in sorted(one.cells_kib.items())
                },
            }
            for one in found.vms
        ],
    }


def _draw(found: Verification, console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("VM", "host", "state", "drift"):
        table.add_column(name, overflow="fold")
    for name in ("remote, planned", "measured"):
        table.add_column(name, justify="right")
    for one in found.vms:
        measured = "-" if one.measured_share is None else percent(one.measured_share)
        drift = count(len(one.drifts), "drift") if one.drifts else "none" if one.looked_at else "not looked at"
        table.add_row(visible(one.vm), visible(one.host), one.state, drift, percent(one.planned_share), measured)
    console.print(table)
    drifted = sum(1 for one in found.vms if one.drifts)
    unseen = sum(1 for one in found.vms if not one.looked_at)
    text = f"{count(len(found.vms), 'VM')}: {drifted} with drift"
    text += f", {unseen} not looked at" if unseen else ""
    blind = sorted({one.unmeasured for one in found.vms if one.looked_at and one.unmeasured})
    console.print("\n".join([text, *(visible(f"not measured: {why}") for why in blind)]), soft_wrap=True)
