"""``placer moves``: the order in which to carry out a plan."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import fleet_of_plan
from placer.cli.terminal import Terminal
from placer.errors import ImpossibleError, InputError
from placer.model.units import parse_bytes

if TYPE_CHECKING:
    from placer.model.fleet import Fleet
    from placer.moves.model import Schedule

_BITS = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([KMGT])(?:bit/s|bps)\s*", re.IGNORECASE)
_BYTES_PER_GIB = 2**30


class MovesFormat(StrEnum):
    """The forms of a schedule."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    SCRIPT = "script"


def moves(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory that was planned.")],
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan; - reads standard input.")],
    at_once: Annotated[int, typer.Option("--at-once", metavar="K", min=1, help="Most moves at once on a host.")] = 2,
    at_once_gib: Annotated[
        float | None, typer.Option("--at-once-gib", metavar="G", help="Most memory under way at once on a host, GiB.")
    ] = None,
    bandwidth: Annotated[
        str | None, typer.Option("--bandwidth", metavar="RATE", help="Of a host's network: 10Gbit/s or 1GiB/s.")
    ] = None,
    window: Annotated[
        str | None, typer.Option("--window", metavar="TIME", help="Stop within so much time of copying, such as 2h.")
    ] = None,
    format: Annotated[MovesFormat, typer.Option("--format", help="How to print the schedule.")] = MovesFormat.TABLE,
) -> Answer:
    """Order a plan's moves in waves, each step where there is room for it."""
    from placer.check.check import check
    from placer.emit.moves.json import schedule_data
    from placer.moves.model import MoveLimits
    from placer.moves.schedule import schedule_moves
    from placer.read.documents.plan_file import read_plan

    rate = None if bandwidth is None else parse_bandwidth_gib_s(bandwidth)
    minutes = None if window is None else parse_duration_s(window, "--window") / 60
    planned = read_plan(plan)
    model = fleet_of_plan(planned, plan, fleet, terminal)
    report = check(model, planned)
    if not report.ok:
        raise InputError(f"the plan is refused: {report.faults[0]}", file=plan, cure="see: placer check FLEET PLAN")
    limits = MoveLimits(per_host=at_once, per_host_gib=at_once_gib, bandwidth_gib_s=rate)
    schedule = schedule_moves(model, planned, limits, window_minutes=minutes)
    failure = None
    if schedule.blocked:
        names = ", ".join(repr(entry.vm) for entry in schedule.blocked[:5])
        more = f" and {len(schedule.blocked) - 5} more" if len(schedule.blocked) > 5 else ""
        failure = ImpossibleError(
            f"no order was found for {len(schedule.blocked)} of the VMs: {names}{more}; {schedule.blocked[0].reason}",
            cure="leave room on a host for VMs to be put aside, or allow other moves: placer solve --max-moves",
        )

    def data() -> dict[str, Any]:
        return schedule_data(schedule)

    return Answer(data=data, text=_text(schedule, format, model), failure=failure)


def _text(schedule: Schedule, form: MovesFormat, model: Fleet) -> str:
    from placer.emit.moves.markdown import schedule_markdown, schedule_text

    if form is MovesFormat.SCRIPT:
        from placer.emit.moves.script import schedule_script

        return schedule_script(schedule, model)
    return schedule_markdown(schedule) if form is MovesFormat.MARKDOWN else schedule_text(schedule)


def parse_bandwidth_gib_s(text: str) -> float:
    """Return GiB a second of a rate in bits (``10Gbit/s``, decimal) or bytes (``1GiB/s``, ``1.25GB/s``).

    Raises
    ------
    InputError
        It is no rate, or not above zero.
    """
    bits = _BITS.fullmatch(text)
    if bits is not None:
        rate = float(bits[1]) * 1000.0 ** ("KMGT".index(bits[2].upper()) + 1) / 8
    elif text.strip().endswith("/s"):
        rate = float(parse_bytes(text.strip()[:-2]))
    else:
        rate = 0.0
    if rate <= 0:
        raise InputError(f"{text[:40]!r} is no rate", field="--bandwidth", cure='write it like "10Gbit/s" or "1GiB/s"')
    return rate / _BYTES_PER_GIB
