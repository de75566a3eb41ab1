"""``placer moves --best``: the few moves that matter, and what more of them would bring."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from placer.cli.answer import Answer
from placer.cli.inputs import read_fleet, refuse_existing_plan
from placer.cli.terminal import Terminal
from placer.errors import InputError
from placer.model.units import count
from placer.show.words import figure

if TYPE_CHECKING:
    from rich.console import Console

    from placer.moves.changes import VmChange
    from placer.whatif.best_moves import BestMoves


def best(
    terminal: Terminal,
    fleet: str,
    limits: str,
    *,
    time_limit_s: float,
    output: str | None,
    force: bool,
    show_all: bool,
) -> Answer:
    """Answer with the best moves within each limit, the largest in full."""
    from placer.emit.plan_file import write_plan
    from placer.show.rows import MOST
    from placer.whatif.best_moves import best_moves

    if output is not None:
        refuse_existing_plan(output, force)
    model = read_fleet(fleet, terminal)
    found = best_moves(model, parse_limits(limits), time_limit_s=time_limit_s)
    last = found[-1]
    terminal.warn(last.plan.warnings)
    if output is not None:
        write_plan(last.plan, output, force=force)
        terminal.note(f"wrote {output}")
    after = f"placer moves {Path(fleet).name} {'PLAN' if output is None else output}"
    return Answer(
        data=lambda: {"frontier": [_data(one) for one in found], "moves": list(_moves(last))},
        text=lambda console: _draw(found, console, None if show_all else MOST, after, output is not None),
    )


def parse_limits(text: str) -> list[int]:
    """Return numbers of moves, ascending: ``10`` or ``1,5,20``.

    Raises
    ------
    InputError
        It is no list of whole numbers above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 10**7 for part in parts):
        raise InputError(f"{text[:60]!r} is no number of moves", field="--best", cure="write 10, or 1,5,20")
    return sorted({int(part) for part in parts})


def _saved(one: BestMoves) -> float | None:
    return None if one.before is None or one.after is None else one.before - one.after


def _data(one: BestMoves) -> dict[str, Any]:
    return {
        "limit": one.limit,
        "moves": len(_gaining(one)),
        "remote_access": {"before": one.before, "after": one.after, "at_least": one.at_least},
        "saved": _saved(one),
        "memory_gib": one.changes.memory_gib,
        "proven": one.proven,
    }


def _gaining(one: BestMoves) -> list[VmChange]:
    """Return the VMs that change host or node; the others only get other CPUs."""
    return [vm for vm in one.changes.vms if vm.moves_memory or vm.gain]


def _moves(one: BestMoves) -> Sequence[dict[str, Any]]:
    rows = _gaining(one)
    gains = itertools.accumulate(vm.gain or 0.0 for vm in rows)
    copied = itertools.accumulate(vm.memory_gib for vm in rows)
    return [
        {
            "vm": vm.vm,
            "uuid": vm.uuid,
            "from": None if vm.source is None else vm.source.host,
            "to": vm.target.host,
            "needs": vm.need.value,
            "gain": vm.gain,
            "memory_gib": vm.memory_gib,
            "gain_so_far": gain,
            "memory_gib_so_far": gib,
        }
        for vm, gain, gib in zip(rows, gains, copied, strict=True)
    ]


def _draw(found: Sequence[BestMoves], console: Console, most: int | None, after: str, written: bool) -> None:
    from placer.show.change_words import CHANGE_COLUMNS, change_row, downtime_sentence
    from placer.show.rows import draw_rows, say

    last = found[-1]
    say(console, _sentence(last))
    say(console, downtime_sentence(last.changes))
    if len(found) > 1:
        say(console, "\nwhat fewer moves would bring")
        rows = [
            (
                figure(one.limit),
                figure(one.before),
                figure(one.after),
                figure(_saved(one)),
                figure(one.changes.memory_gib, 1),
                "yes" if one.proven else f"no, at least {figure(one.at_least)} is left",
            )
            for one in found
        ]
        draw_rows(("moves#", "remote now#", "then#", "saved#", "GiB#", "proven"), rows, console, most=None)
    moves = list(_moves(last))
    if moves:
        say(console, "\nthe moves, what gains most first, and the sums so far")
        cells = [
            (*change_row(vm), figure(move["gain_so_far"], 1), figure(move["memory_gib_so_far"], 1))
            for vm, move in zip(_gaining(last), moves, strict=True)
        ]
        draw_rows([*CHANGE_COLUMNS, "Σ gain#", "Σ GiB#"], cells, console, most=most, rest="--all")
    say(console, f"\nin which order: {after}" + ("" if written else ", once -o PLAN has written it"))


def _sentence(one: BestMoves) -> str:
    moves, gib = count(len(_gaining(one)), "move"), figure(one.changes.memory_gib, 1)
    saved = _saved(one)
    if saved is None or one.before is None:
        return f"{moves} of at most {one.limit:,}, {gib} GiB; remote access is {figure(one.after)} then, unknown now."
    proof = (
        f"proven: no {one.limit:,} save more"
        if one.proven
        else "no bound is known"
        if one.at_least is None
        else f"no {one.limit:,} save more than {figure(one.before - one.at_least)}"
    )
    return f"{moves} save {figure(saved)} of {figure(one.before)} remote access and copy {gib} GiB; {proof}."
