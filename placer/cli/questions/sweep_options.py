"""Options that whatif, runway and pareto share: each solves a fleet many times."""

from __future__ import annotations

from typing import Annotated

import typer

EachTimeLimit = Annotated[str, typer.Option("--time-limit", metavar="TIME", help="For each solve.")]
EachRounds = Annotated[int | None, typer.Option("--rounds", min=1, help="Rounds of each solve: repeatable.")]
MaxMoves = Annotated[int | None, typer.Option("--max-moves", min=0, help="As for placer solve.")]
MaxMigrations = Annotated[int | None, typer.Option("--max-migrations", min=0, help="As for placer solve.")]
SweepExecutor = Annotated[
    str | None, typer.Option("--executor", metavar="WHERE", help="serial, processes or dask:tcp://SCHEDULER:8786.")
]
SweepWorkers = Annotated[
    int | None, typer.Option("--workers", min=1, max=1024, help="Processes; as many as cores if not said.")
]
