"""``placer apply``: show what a plan would change on live hosts, or change it, journal first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN, fleet_of_plan
from placer.cli.running.live_options import Connect, FleetFile, PlanFile, Ssh, SshConfig
from placer.cli.running.outcomes import DRY_RUN, outcome_lines, outcome_row
from placer.cli.terminal import INTERRUPTED, Terminal
from placer.errors import Fault, InputError, PartialError
from placer.model.units import count
from placer.show.words import visible

if TYPE_CHECKING:
    from placer.live.apply import Applied, Outcome
    from placer.model.fleet import Fleet
    from placer.model.plan import Plan


def apply(
    terminal: Terminal,
    plan: PlanFile,
    connect: Connect = None,
    do_it: Annotated[
        bool, typer.Option("--apply", help="Change the domains. Without it nothing is changed: the changes are shown.")
    ] = False,
    fleet: FleetFile = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Change at most N domains, the first of the plan.")
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", metavar="N", min=1, help="Begin no domain after N have failed.")
    ] = None,
    force_managed: Annotated[
        bool, typer.Option("--force-managed", help="Also change domains that Nova, oVirt or KubeVirt manages.")
    ] = False,
    journal: Annotated[
        str | None, typer.Option("--journal", metavar="FILE", help="Default: PLAN.journal-1.jsonl and on.")
    ] = None,
    ssh: Ssh = False,
    ssh_config: SshConfig = None,
) -> Answer:
    """Show what a plan would change on its live hosts; with --apply, change it.

    Only domains that are on their planned host are changed. Everything is written into a journal before it is done;
    placer rollback takes a journal back.
    """
    from placer.live.apply import Limits, carry_out, propose
    from placer.live.host_files import Reach
    from placer.live.survey import host_faults, survey
    from placer.live.targets import targets_of
    from placer.read.documents.plan_file import read_plan

    model = read_plan(plan)
    source = fleet_of_plan(model, plan, fleet, terminal)
    _refuse_faulty(source, model, plan)
    targets = targets_of(model, source, connect or ())
    limits = Limits(domains=limit, failures=max_failures, force_managed=force_managed)
    reach = Reach(ssh=ssh or ssh_config is not None, ssh_config=ssh_config)
    surveyed = survey(model, source, targets, reach)
    for host, found in surveyed.hosts.items():
        if found.files_error is not None:
            terminal.warn([f"host {host!r}: {found.files_error}"])
    applied = propose(model, source, surveyed, limits)
    if do_it:
        path = _journal_path(plan, journal)
        applied = carry_out(model, source, applied, targets.uris, path, limits, reach)
    if applied.journal is not None:
        terminal.note(f"journal: {applied.journal}")
    faults = [*host_faults(surveyed), *applied.faults()]
    return Answer(
        data=lambda: _data(applied, do_it),
        text=_text(applied, do_it),
        failure=PartialError(faults) if faults and not applied.interrupted else None,
        exit_code=INTERRUPTED if applied.interrupted else 0,
    )


def _refuse_faulty(fleet: Fleet, plan: Plan, file: str) -> None:
    """Refuse a plan that the checker refuses: a plan file may have been changed since it was solved."""
    from placer.check.check import check

    faults = check(fleet, plan).faults
    if faults:
        raise InputError(
            Fault(message=fault.message, file=fault.file or file, field=fault.field, cure=fault.cure)
            for fault in faults
        )


def _journal_path(plan: str, given: str | None) -> Path:
    from placer.live.journal import free_journal_path

    if given is not None:
        return Path(given)
    if plan == STDIN:
        raise InputError("a plan from standard input has no place for a journal", cure="give --journal FILE")
    return free_journal_path(Path(plan))


def _data(applied: Applied, do_it: bool) -> dict[str, Any]:
    return {
        "applied": do_it,
        "interrupted": applied.interrupted,
        "journal": None if applied.journal is None else str(applied.journal),
        "counts": applied.counts,
        "vms": [{**outcome_row(one), "diff": one.diff, "restart": one.restart} for one in applied.outcomes],
    }


def _text(applied: Applied, do_it: bool) -> str:
    lines = [line for outcome in applied.outcomes for line in _outcome_lines(outcome)]
    summary = ", ".join(f"{number} {status}" for status, number in applied.counts.items())
    lines.append(f"{count(len(applied.outcomes), 'VM')}: {summary or 'none'}")
    if not do_it:
        lines.append(DRY_RUN)
    return "\n".join(lines)


def _outcome_lines(outcome: Outcome) -> list[str]:
    restart = [visible(f"  not while it runs: {outcome.restart}")] if outcome.restart else []
    return [*outcome_lines(outcome, outcome.diff), *restart]
