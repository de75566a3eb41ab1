"""``placer pareto``: what nearness to memory costs in hosts and in moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import read_fleet
from placer.cli.questions.sweep_options import EachRounds, EachTimeLimit, SweepExecutor, SweepWorkers
from placer.cli.questions.sweeps import SweepProgress, opened_pool
from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from placer.whatif.compare import Row


def pareto(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory; - reads standard input.")],
    moves: Annotated[
        str | None,
        typer.Option(
            "--moves",
            metavar="N,N…",
            help="Limits on moves to try on a fleet with placed VMs; 0,5,20,100 if not said, on many hosts 0,20,100.",
        ),
    ] = None,
    time_limit: EachTimeLimit = "15s",
    rounds: EachRounds = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="The same seed, the same answer.")] = 0,
    executor: SweepExecutor = None,
    workers: SweepWorkers = None,
    results: Annotated[
        str | None, typer.Option("--results", metavar="FILE", help="Append points as they come; a second run goes on.")
    ] = None,
) -> Answer:
    """Plan for few hosts, few moves and near memory at once, and keep the plans that no other one beats."""
    from placer.options import SweepOptions
    from placer.whatif.pareto import SLACKS, usual_moves
    from placer.whatif.pareto import pareto as sweep

    said = None if moves is None else _limits(moves)
    options = SweepOptions(time_limit_s=parse_duration_s(time_limit, "--time-limit"), rounds=rounds, seed=seed)
    model = read_fleet(fleet, terminal)
    limits = usual_moves(model) if said is None else said
    with opened_pool(executor, workers, len(SLACKS) * len(limits), results is not None) as pool:
        rows = sweep(
            model,
            options,
            moves=limits,
            pool=pool,
            results=None if results is None else Path(results),
            on_done=SweepProgress(terminal, "plans"),
        )

    def data() -> dict[str, Any]:
        return {"points": list(rows)}

    return Answer(data=data, text=lambda console: _draw(console, rows))


def _limits(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 8 for part in parts):
        raise InputError(f"{text[:60]!r} is no list of numbers", field="--moves", cure="write it like 0,10,100")
    return sorted({int(part) for part in parts})


def _draw(console: Console, rows: tuple[Row, ...]) -> None:
    from rich.table import Table

    from placer.model.units import count
    from placer.show.reserve_words import reserve_in_short, reserve_sentences
    from placer.show.rows import say
    from placer.show.words import figure

    nearest = min(rows, key=lambda row: (row["remote_access"], row["host_cost"], row["moves"]))
    fewest = min(rows, key=lambda row: (row["hosts_used"], row["remote_access"], row["moves"]))
    for what, row in {"nearest to memory": nearest, "fewest hosts": fewest}.items():
        moves, hosts = count(row["moves"], "move"), count(row["hosts_used"], "host")
        say(console, f"The {what}: remote access {figure(row['remote_access'])} on {hosts} with {moves}.")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    kept = ("reserve",) if any(row["reserve"] for row in rows) else ()
    for heading in ("moves", "host cost", "hosts", "remote", "locality", *kept, "proven"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            figure(row["moves"]),
            figure(row["host_cost"]),
            figure(row["hosts_used"]),
            figure(row["remote_access"]),
            figure(row["locality_score"], 1),
            *([reserve_in_short(row["reserve"])] if kept else []),
            "yes" if row["proven"] else "no",
        )
    console.print(table)
    for row in rows:
        if not all(rule["proven"] for rule in row["reserve"]):
            for line in reserve_sentences(row["reserve"]):
                console.print(f"{count(row['moves'], 'move')}: {line}", soft_wrap=True, markup=False)
