"""``placer whatif``: a fleet after edits, side by side with the fleet as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import refuse_existing, refuse_existing_plan
from placer.cli.plans.states import read_standing
from placer.cli.questions.edit_options import AddHosts, AddVms, Drain, Fail, Grow
from placer.cli.questions.fleet_beside import fleet_beside, refuse_elsewhere, write_beside
from placer.cli.questions.sweep_options import EachRounds, MaxMigrations, MaxMoves, SweepExecutor, SweepWorkers
from placer.cli.questions.sweeps import SweepProgress, checked_output, opened_pool
from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placer.model.fleet import Fleet
    from placer.options import SweepOptions
    from placer.sweeps.executors import Pool
    from placer.sweeps.tasks import Variant
    from placer.whatif.compare import Row

MANY = 1024
"""Tasks of a sweep whose number is not known before it is planned: enough for every worker."""


def whatif(
    terminal: Terminal,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FLEET|PLAN",
            help="The inventory; - reads standard input. Of a plan its fleet is taken as the plan leaves it.",
        ),
    ],
    scenario: Annotated[
        list[str] | None, typer.Argument(metavar="SCENARIO", help="Files of edits (placer.scenario/v1).")
    ] = None,
    fail: Fail = None,
    drain: Drain = None,
    add_hosts: AddHosts = None,
    add_vms: AddVms = None,
    grow: Grow = None,
    stack: Annotated[bool, typer.Option("--stack", help="Each scenario begins where the one before ended.")] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the comparison: .json or .csv.")
    ] = None,
    flavor: Annotated[
        list[str] | None,
        typer.Option("--flavor", metavar="FLAVOR", help="Also compare the headroom of 16x64GiB[/cells]; repeatable."),
    ] = None,
    goals: Annotated[str | None, typer.Option("--goals", metavar="LIST", help="As for placer solve.")] = None,
    time_limit: Annotated[
        str | None,
        typer.Option("--time-limit", metavar="TIME", help="For each solve: 2s up to 20 hosts, else 15s, if not said."),
    ] = None,
    total_time: Annotated[
        str | None,
        typer.Option("--total-time", metavar="TIME", help="For all failures of a scenario together; no limit."),
    ] = None,
    rounds: EachRounds = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="The same seed, the same rows.")] = 0,
    max_moves: MaxMoves = None,
    max_migrations: MaxMigrations = None,
    executor: SweepExecutor = None,
    workers: SweepWorkers = None,
    fail_each: Annotated[
        str | None,
        typer.Option("--fail-each", metavar="host|LABEL", help="Also let every host, or every value of a label, fail."),
    ] = None,
    drain_each: Annotated[
        str | None,
        typer.Option("--drain-each", metavar="host|LABEL", help="Also empty every host, or every value of a label."),
    ] = None,
    at_once: Annotated[int, typer.Option("--k", min=1, help="So many of them fail at once.")] = 1,
    results: Annotated[
        str | None,
        typer.Option("--results", metavar="FILE", help="Append rows as they come; a second run goes on from it."),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="FILE.json", help="Write the last scenario's plan, its fleet beside as .yaml."),
    ] = None,
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plan says.")
    ] = None,
    save_scenario: Annotated[
        str | None, typer.Option("--save-scenario", metavar="DIR", help="Write what the options say as scenario files.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> Answer:
    """Compare a fleet as it is with what it would be after edits, each planned with proof.

    Edits are files, or options, a scenario each: --fail rack=a3 --drain h1,h2 --add-hosts 'h1*4' --add-vms '40*4x8GiB'.
    """
    from placer.options import SweepOptions
    from placer.read.documents.scenario_file import read_scenarios
    from placer.sweeps.executors import kept_open
    from placer.whatif.compare import compare, usual_limit_s
    from placer.whatif.scenario import variants
    from placer.whatif.spoken import spoken_scenarios

    checked_output(output, force)
    if plan is not None:
        refuse_existing_plan(plan, force)
        refuse_existing(fleet_beside(plan), force)
    model, inventory = read_standing(file, fleet, terminal)
    if plan is not None:
        refuse_elsewhere(plan, inventory, "--plan")
    spoken = spoken_scenarios(
        model.host_by_name,
        fail=fail or (),
        drain=drain or (),
        add_hosts=add_hosts or (),
        add_vms=add_vms or (),
        grow=grow or (),
    )
    if save_scenario is not None:
        _save([text for _, text in spoken], save_scenario, force, terminal)
    limit = usual_limit_s(model) if time_limit is None else parse_duration_s(time_limit, "--time-limit")
    options = SweepOptions(
        goals=None if goals is None else tuple(goals.split(",")),
        time_limit_s=limit,
        total_time_s=None if total_time is None else parse_duration_s(total_time, "--total-time"),
        rounds=rounds,
        seed=seed,
        max_moves=max_moves,
        max_migrations=max_migrations,
        headroom=tuple(flavor or ()),
    )
    scenarios = (*read_scenarios(scenario or []), *(one for one, _ in spoken))
    found = variants(model, scenarios, stack=stack)
    kept = None if results is None else Path(results)
    tasks = len(found) if fail_each is None and drain_each is None else MANY
    with opened_pool(executor, workers, tasks, kept is not None) as opened, kept_open(opened) as pool:
        rows = compare(found, options, pool=pool, results=kept, on_done=SweepProgress(terminal, "scenarios"))
        if fail_each is not None:
            rows = tuple(
                {**row, "failures": _failures(variant, fail_each, at_once, options, pool, kept, terminal)}
                if "placed" in row
                else row
                for variant, row in zip(found, rows, strict=True)
            )
        if drain_each is not None:
            rows = tuple(
                {**row, "drain_each": _drains(variant, drain_each, options, pool, kept, terminal)}
                if "placed" in row
                else row
                for variant, row in zip(found, rows, strict=True)
            )
    if output is not None:
        write_rows(rows, output)
        terminal.note(f"wrote {output}")

    if plan is not None:
        _write_plan(found[-1].fleet, options, plan, force, terminal)

    def data() -> dict[str, Any]:
        return {"scenarios": list(rows)}

    def draw(console: Any) -> None:
        from placer.show.scenario_table import draw_comparison, draw_drains, draw_failures

        draw_comparison(rows, options.headroom, console)
        draw_failures(rows, console)
        draw_drains(rows, console)

    return Answer(data=data, text=draw)


def _save(texts: Sequence[str], folder: str, force: bool, terminal: Terminal) -> None:
    """Write scenarios as files that the verb takes."""
    from placer.emit.writer import write_files

    if not texts:
        raise InputError("no option says a scenario", field="--save-scenario", cure="say one, such as --drain h1")
    files = {Path(folder) / f"scenario-{number}.yaml": text.encode() for number, text in enumerate(texts, start=1)}
    write_files(files, force=force)
    terminal.note(f"wrote {', '.join(map(str, files))}")


def _write_plan(fleet: Fleet, options: SweepOptions, plan: str, force: bool, terminal: Terminal) -> None:
    """Write the fleet after the edits as an inventory, and a plan of it: what they say agrees, so exports work."""
    from placer.emit.plan_file import write_plan
    from placer.planner import solve_with

    write_plan(solve_with(write_beside(fleet, plan, force), options, foresees=True), plan, force=force)
    terminal.note(f"wrote {plan}, and {fleet_beside(plan)}")


def _failures(
    variant: Variant,
    scope: str,
    at_once: int,
    options: SweepOptions,
    pool: Pool,
    results: Path | None,
    terminal: Terminal,
) -> dict[str, Any]:
    """Return the failures of one variant as plain data; each variant keeps its results in a file of its own."""
    from dataclasses import asdict

    from placer.failures.sweep import ask_for_fewer, sweep_failures
    from placer.measure.moved import is_present
    from placer.planner import solve_with

    ask_for_fewer(variant.fleet, scope, at_once)
    # What runs is a fact: only where VMs are still to be placed the failures are of a plan.
    runs = all(is_present(variant.fleet, vm) for vm in variant.fleet.vms)
    plan = None if runs else solve_with(variant.fleet, options)
    number = hashlib.sha256(variant.name.encode()).hexdigest()[:8]
    path = None if results is None else results.with_name(f"{results.name}.failures-{number}")
    progress = SweepProgress(terminal, "failures")
    return asdict(
        sweep_failures(variant, plan, scope, options, at_once=at_once, pool=pool, results=path, on_done=progress)
    )


def _drains(
    variant: Variant, scope: str, options: SweepOptions, pool: Pool, results: Path | None, terminal: Terminal
) -> list[dict[str, Any]]:
    """Return what emptying each domain of one variant takes; each variant keeps its results in a file of its own."""
    from placer.whatif.drain_each import drain_each

    number = hashlib.sha256(variant.name.encode()).hexdigest()[:8]
    path = None if results is None else results.with_name(f"{results.name}.drains-{number}")
    return drain_each(variant, scope, options, pool=pool, results=path, on_done=SweepProgress(terminal, "drains"))


def write_rows(rows: tuple[Row, ...], output: str) -> None:
    """Write the comparison as JSON or CSV.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    import json

    from placer.read.documents.comparison_file import COMPARISON_SCHEMA
    from placer.show.scenario_table import comparison_csv

    if output.endswith(".json"):
        document = {"schema": COMPARISON_SCHEMA, "scenarios": list(rows)}
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    else:
        text = comparison_csv(rows)
    try:
        Path(output).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"cannot be written: {error}", file=output) from None
