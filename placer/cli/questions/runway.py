"""``placer runway``: how many months of growth the fleet takes."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import read_fleet
from placer.cli.questions.sweep_options import (
    EachRounds,
    EachTimeLimit,
    MaxMigrations,
    MaxMoves,
    SweepExecutor,
    SweepWorkers,
)
from placer.cli.questions.sweeps import opened_pool
from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from placer.whatif.runway import Runway


def runway(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory; - reads standard input.")],
    growth: Annotated[str, typer.Option("--growth", metavar="PERCENT", help="More VMs of every kind a month: 3%.")],
    months: Annotated[int, typer.Option("--months", min=1, max=1200, help="Look so many months ahead.")] = 120,
    time_limit: EachTimeLimit = "15s",
    rounds: EachRounds = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="The same seed, the same answer.")] = 0,
    max_moves: MaxMoves = None,
    max_migrations: MaxMigrations = None,
    executor: SweepExecutor = None,
    workers: SweepWorkers = None,
    results: Annotated[
        str | None, typer.Option("--results", metavar="FILE", help="Append months as they come; a second run goes on.")
    ] = None,
) -> Answer:
    """Find the month in which the first VM does not fit, by bisection over solves."""
    from placer.options import SweepOptions
    from placer.whatif.runway import runway as find_runway

    options = SweepOptions(
        time_limit_s=parse_duration_s(time_limit, "--time-limit"),
        rounds=rounds,
        seed=seed,
        max_moves=max_moves,
        max_migrations=max_migrations,
    )
    share = _share(growth)

    def tell(month: int, fits: bool) -> None:
        terminal.note(f"month {month}: {'everything fits' if fits else 'not everything fits'}")

    model = read_fleet(fleet, terminal)
    with opened_pool(executor, workers, months, results is not None) as pool:
        found = find_runway(
            model,
            share,
            options,
            most_months=months,
            pool=pool,
            results=None if results is None else Path(results),
            on_month=tell,
        )
    return Answer(data=lambda: asdict(found), text=lambda console: _draw(console, found))


def _share(text: str) -> Fraction:
    from placer.read.documents.scenario_schema import percent
    from placer.read.inventory.types import Refused

    try:
        return percent(text)
    except Refused as error:
        raise InputError(str(error), field="--growth", cure=error.cure) from None


def _draw(console: Console, found: Runway) -> None:
    from placer.show.rows import draw_rows
    from placer.show.words import figure

    full = next((month for month in found.months if month.month == found.full), None)
    if full is None:
        console.print(f"everything fits through month {found.fits}, as far as was looked")
    else:
        proof = "proven" if found.proven else "none was found that places all; whether there is one is open"
        lead = "not everything fits now" if found.fits < 0 else f"everything fits through month {found.fits}"
        console.print(f"{lead}; month {found.full} does not ({proof})", soft_wrap=True)
        if full.reason:
            what = f"one of its {full.unplaced:,} VMs without a place" if full.unplaced else "what it runs into"
            console.print(f"{what}: {full.reason}", soft_wrap=True)
    rows = []
    for month in found.months:
        said = figure(month.unplaced) + ("" if month.reserve is not False else ", a failure is not survived")
        rows.append((figure(month.month), figure(month.vms), said))
    draw_rows(("month#", "VMs#", "without a place#"), rows, console, most=None)
