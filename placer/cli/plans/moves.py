"""``placer moves``: the order in which to carry out a plan."""

from __future__ import annotations

import re
from collections.abc import Callable
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
    from rich.console import Console

    from placer.moves.changes import Changes
    from placer.moves.model import Schedule

_BITS = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([KMGT])(?:bit/s|bps)\s*", re.IGNORECASE)
_BYTES_PER_GIB = 2**30


class MovesFormat(StrEnum):
    """The forms of a schedule."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    CSV = "csv"
    SCRIPT = "script"


def moves(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory that was planned.")],
    plan: Annotated[
        str | None, typer.Argument(metavar="PLAN", help="The plan; - reads standard input. None with --best.")
    ] = None,
    best: Annotated[
        str | None,
        typer.Option("--best", metavar="N[,N…]", help="Without a plan: the N moves that save most remote access."),
    ] = None,
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
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="Of --best, for all numbers together.")
    ] = "45s",
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the plan of --best.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite it.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Every step of every wave.")] = False,
    format: Annotated[MovesFormat, typer.Option("--format", help="How to print the schedule.")] = MovesFormat.TABLE,
) -> Answer:
    """Order a plan's moves in waves, each step where there is room for it; or find the moves that matter most."""
    if (plan is None) == (best is None):
        raise InputError("either a plan is ordered, or --best finds one", cure="placer moves FLEET PLAN, or --best 10")
    if best is not None:
        from placer.cli.plans.best_moves import best as find_best

        limit_s = parse_duration_s(time_limit, "--time-limit")
        return find_best(terminal, fleet, best, time_limit_s=limit_s, output=output, force=force, show_all=show_all)
    if output is not None:
        raise InputError("only --best makes a plan", field="--output", cure="print it: --format markdown")
    assert plan is not None
    from placer.check.check import check
    from placer.emit.moves.json import schedule_data
    from placer.moves.changes import plan_changes
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

    text: str | Callable[[Console], None]
    if format is MovesFormat.SCRIPT:
        from placer.emit.moves.script import schedule_script

        text = schedule_script(schedule, model)
    elif format is MovesFormat.MARKDOWN:
        from placer.emit.moves.markdown import schedule_markdown
        from placer.show.change_words import aside_sentences

        text = schedule_markdown(schedule, said=list(aside_sentences(plan_changes(model, planned), schedule)))
    elif format is MovesFormat.CSV:
        from placer.emit.moves.csv import schedule_csv

        text = schedule_csv(schedule, plan_changes(model, planned))
    elif show_all:
        from placer.emit.moves.markdown import schedule_text

        text = schedule_text(schedule)
    else:

        def text(console: Console) -> None:
            _draw(schedule, plan_changes(model, planned), console)

    return Answer(data=data, text=text, failure=failure)


def _draw(schedule: Schedule, changes: Changes, console: Console) -> None:
    """Draw what changes in sentences, the changes that gain most, and the waves."""
    from placer.emit.moves.markdown import outline, tail, wave_outline
    from placer.model.units import count
    from placer.moves.need import Need
    from placer.show.change_words import CHANGE_COLUMNS, aside_sentences, change_row, change_sentences
    from placer.show.items import draw_items
    from placer.show.rows import MOST, draw_rows, say

    for sentence in change_sentences(changes):
        say(console, sentence)
    for sentence in aside_sentences(changes, schedule):
        say(console, sentence)
    waves = {step.vm: number for number, wave in enumerate(schedule.waves, start=1) for step in wave.steps}
    needs: dict[str, set[Need]] = {}
    for step in schedule.steps:
        needs.setdefault(step.vm, set()).add(step.need)
    rows = changes.moving or changes.vms
    if rows:
        say(console, f"\n{'what moves memory, ' if changes.moving and changes.pinned else ''}what gains most first")
        cells = []
        for vm in rows:
            # What is put aside on the way may need other things than the change alone.
            taken = " and ".join(need.value for need in Need if need in needs.get(vm.vm, {vm.need}))
            cells.append((*change_row(vm)[:-1], taken, str(waves.get(vm.vm, "-"))))
        draw_rows([*CHANGE_COLUMNS, "wave#"], cells, console, rest="--all, or --format csv")
    if not schedule.waves:
        return
    say(console, f"\n{outline(schedule)}")
    for number, wave in enumerate(schedule.waves[:MOST], start=1):
        say(console, f"  wave {number}: {wave_outline(wave)}")
    if len(schedule.waves) > MOST:
        say(console, f"  and {len(schedule.waves) - MOST:,} more waves")
    wanting = [step for step in schedule.steps if step.wants_free]
    if wanting:
        after = sum(1 for step in wanting if step.pages_first)
        moved = f", {after} of them after pages of VMs that float are moved" if after else ""
        say(
            console,
            f"{count(len(wanting), 'step')} want memory that is really free on a node{moved}: --all says how much",
        )
    for heading, entries in tail(schedule):
        more = [f"and {len(entries) - MOST:,} more: --all"] if len(entries) > MOST else []
        draw_items(heading, [*entries[:MOST], *more], console)
    say(console, "every step in its order: --all, --format csv, markdown or script")


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
