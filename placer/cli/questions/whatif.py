"""``placer whatif``: a fleet after edits, side by side with the fleet as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import read_fleet
from placer.cli.questions.sweep_options import EachRounds, MaxMigrations, MaxMoves, SweepExecutor, SweepWorkers
from placer.cli.questions.sweeps import SweepProgress, checked_output, opened_pool
from placer.cli.terminal import Terminal

if TYPE_CHECKING:
    from placer.options import SweepOptions
    from placer.sweeps.executors import Pool
    from placer.sweeps.tasks import Variant
    from placer.whatif.compare import Row

MANY = 1024
"""Tasks of a sweep whose number is not known before it is planned: enough for every worker."""


def whatif(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory; - reads standard input.")],
    scenario: Annotated[
        list[str] | None, typer.Argument(metavar="[SCENARIO]…", help="Files of edits (placer.scenario/v1).")
    ] = None,
    stack: Annotated[bool, typer.Option("--stack", help="Each scenario begins where the one before ended.")] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the comparison: .json or .csv.")
    ] = None,
    flavor: Annotated[
        list[str] | None, typer.Option("--flavor", help="Also compare the headroom of 16x64GiB[/cells]; repeatable.")
    ] = None,
    goals: Annotated[str | None, typer.Option("--goals", metavar="LIST", help="As for placer solve.")] = None,
    time_limit: Annotated[
        str | None,
        typer.Option("--time-limit", metavar="TIME", help="For each solve: 2s up to 20 hosts, else 60s, if not said."),
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
    at_once: Annotated[int, typer.Option("--k", min=1, max=2, help="So many of them fail at once.")] = 1,
    results: Annotated[
        str | None,
        typer.Option("--results", metavar="FILE", help="Append rows as they come; a second run goes on from it."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the comparison.")] = False,
) -> Answer:
    """Compare a fleet as it is with what it would be after edits, each planned with proof."""
    from placer.options import SweepOptions
    from placer.read.documents.scenario_file import read_scenarios
    from placer.sweeps.executors import kept_open
    from placer.whatif.compare import compare, usual_limit_s
    from placer.whatif.scenario import variants

    checked_output(output, force)
    model = read_fleet(fleet, terminal)
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
    scenarios = read_scenarios(scenario or [])
    found = variants(model, scenarios, stack=stack)
    kept = None if results is None else Path(results)
    tasks = len(found) if fail_each is None else MANY
    with opened_pool(executor, workers, tasks, kept is not None) as opened, kept_open(opened) as pool:
        rows = compare(found, options, pool=pool, results=kept, on_done=SweepProgress(terminal, "scenarios"))
        if fail_each is not None:
            rows = tuple(
                {**row, "failures": _failures(variant, fail_each, at_once, options, pool, kept, terminal)}
                if "placed" in row
                else row
                for variant, row in zip(found, rows, strict=True)
            )
    if output is not None:
        write_rows(rows, output)
        terminal.note(f"wrote {output}")

    def data() -> dict[str, Any]:
        return {"scenarios": list(rows)}

    def draw(console: Any) -> None:
        from placer.show.scenario_table import draw_comparison, draw_failures

        draw_comparison(rows, options.headroom, console)
        draw_failures(rows, console)

    return Answer(data=data, text=draw)


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

    from placer.failures.sweep import sweep_failures
    from placer.measure.moved import is_present
    from placer.planner import solve_with

    # What runs is a fact: only where VMs are still to be placed the failures are of a plan.
    runs = all(is_present(variant.fleet, vm) for vm in variant.fleet.vms)
    plan = None if runs else solve_with(variant.fleet, options)
    number = hashlib.sha256(variant.name.encode()).hexdigest()[:8]
    path = None if results is None else results.with_name(f"{results.name}.failures-{number}")
    progress = SweepProgress(terminal, "failures")
    return asdict(
        sweep_failures(variant, plan, scope, options, at_once=at_once, pool=pool, results=path, on_done=progress)
    )


def write_rows(rows: tuple[Row, ...], output: str) -> None:
    """Write the comparison as JSON or CSV.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    import json

    from placer.errors import InputError
    from placer.show.scenario_table import comparison_csv

    if output.endswith(".json"):
        document = {"schema": "placer.whatif/v1", "scenarios": list(rows)}
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    else:
        text = comparison_csv(rows)
    try:
        Path(output).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"cannot be written: {error}", file=output) from None
