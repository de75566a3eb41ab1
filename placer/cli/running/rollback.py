"""``placer rollback``: take back what an apply did, from its journal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.running.live_options import Connect
from placer.cli.terminal import INTERRUPTED, Terminal
from placer.errors import PartialError
from placer.show.words import count, visible

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
        "vms": [
            {
                "name": one.vm,
                "host": one.host,
                "uuid": one.uuid,
                "status": one.status.value,
                "calls": [call.text for call in one.calls],
                "done": one.done,
                "reason": one.reason,
                "cure": one.cure,
            }
            for one in done.outcomes
        ],
    }


def _text(done: RolledBack, do_it: bool) -> str:
    lines = []
    for one in done.outcomes:
        lines.append(visible(f"{one.host}: {one.vm}: {one.status.value}"))
        if one.reason:
            lines.append(visible(f"  {one.reason}" + (f"; {one.cure}" if one.cure else "")))
        lines += [f"  {'done' if number < one.done else 'call'}: {call.text}" for number, call in enumerate(one.calls)]
    numbers = Counter(one.status.value for one in done.outcomes)
    summary = ", ".join(f"{number} {status}" for status, number in numbers.items())
    lines.append(f"{count(len(done.outcomes), 'domain')} in the journal: {summary or 'nothing was begun'}")
    if not do_it:
        lines.append("nothing was changed: this was a dry run; --apply does it")
    return "\n".join(lines)
