"""``placer rollback``: take back what an apply did, from its journal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.running.live_options import Connect
from placer.cli.running.outcomes import DRY_RUN, outcome_lines, outcome_row
from placer.cli.terminal import INTERRUPTED, Terminal
from placer.errors import PartialError
from placer.model.units import count

if TYPE_CHECKING:
    from placer.live.rollback import RolledBack


def rollback(
    terminal: Terminal,
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="The journal of an apply.")],
    connect: Connect = None,
    do_it: Annotated[
        bool, typer.Option("--apply", help="Take it back. Without it nothing is changed: what would be is shown.")
    ] = False,
) -> Answer:
    """Show what taking an apply back would change; with --apply, take it back.

    A domain that something else has changed since is left alone and named.
    """
    from placer.live.rollback import roll_back
    from placer.live.targets import parse_connections

    done = roll_back(Path(journal), connect=parse_connections(connect or ()), apply=do_it)
    faults = done.faults()
    return Answer(
        data=lambda: _data(done, do_it),
        text=_text(done, do_it),
        failure=PartialError(faults) if faults and not done.interrupted else None,
        exit_code=INTERRUPTED if done.interrupted else 0,
    )


def _data(done: RolledBack, do_it: bool) -> dict[str, Any]:
    return {
        "applied": do_it,
        "interrupted": done.interrupted,
        "vms": [outcome_row(one) for one in done.outcomes],
    }


def _text(done: RolledBack, do_it: bool) -> str:
    lines = [line for one in done.outcomes for line in outcome_lines(one)]
    numbers = Counter(one.status.value for one in done.outcomes)
    summary = ", ".join(f"{number} {status}" for status, number in numbers.items())
    lines.append(f"{count(len(done.outcomes), 'domain')} in the journal: {summary or 'nothing was begun'}")
    if not do_it:
        lines.append(DRY_RUN)
    return "\n".join(lines)
