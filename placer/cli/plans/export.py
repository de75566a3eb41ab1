"""``placer export``: a plan in the form that other tools take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN, fleet_of_plan
from placer.cli.terminal import Terminal
from placer.emit.export import formats
from placer.model.units import count

_STARTED = frozenset({"libvirt", "virsh", "ansible"})
"""The forms that domains are started from."""


def export(
    terminal: Terminal,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan; - reads standard input.")],
    to: Annotated[str, typer.Option("--to", metavar="FORM", help=f"One of {', '.join(formats())}.")],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="OUT", help="A folder, or one file where the form allows; - prints it."),
    ],
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plan says.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> Answer:
    """Write a plan as libvirt XML, scripts, tables, or in the words of a platform."""
    from placer.emit.export import export_plan
    from placer.read.documents.plan_file import read_plan

    model = read_plan(plan)
    source = fleet_of_plan(model, plan, fleet, terminal)
    if to in _STARTED:
        from placer.check.start import start_warnings
        from placer.emit.domain.files import allocated_at_once

        terminal.warn(start_warnings(source, model, immediate=allocated_at_once(source)))
    written = export_plan(model, source, to, None if output == STDIN else Path(output), force=force)
    if isinstance(written, str):
        return Answer(data=lambda: {"to": to, "text": written}, text=written)
    for path in written:
        terminal.detail(f"wrote {path}")
    terminal.note(f"wrote {count(len(written), 'file')} to {output}")
    return Answer(data=lambda: {"to": to, "files": [str(path) for path in written]}, text="")
