"""A schedule of moves as Markdown for a change ticket, and as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from placer.model.cpuset import format_cpuset
from placer.model.units import count, format_kib
from placer.moves.model import Place, Schedule, Step, Wave
from placer.moves.need import Need
from placer.moves.pages import page_command
from placer.show.change_words import parking_proof
from placer.show.words import visible

_PASSING = "do not stop here: a VM is only passing through"
_HEADING = (
    "| wave | done | VM | do | from | to | memory of node | GiB | remark |",
    "|---|---|---|---|---|---|---|--:|---|",
)


def schedule_markdown(schedule: Schedule, *, said: Sequence[str] = (), brief: bool = False) -> str:
    """Return the schedule with one table of all waves, boxes to tick, and what has no place in it.

    Parameters
    ----------
    said : sentences under the first one.
    brief : of a wave's steps that only give other CPUs only the number is told, and not why VMs are put aside.
    """
    lines = ["# Moves", ""]
    for sentence in (f"{outline(schedule)}.", *map(_escaped, said)):
        lines += [sentence, ""]
    if schedule.waves:
        lines += _HEADING
    for number, wave in enumerate(schedule.waves, start=1):
        rows = list(_rows(wave, brief=brief))
        if not wave.complete:
            rows[-1] = (*rows[-1][:-1], "; ".join(filter(None, (rows[-1][-1], _PASSING))))
        for at, row in enumerate(rows):
            lines.append(f"| {number if at else f'{number}: {wave_outline(wave)}'} | {' | '.join(row)} |")
    for heading, entries in tail(replace(schedule, cycles=()) if brief else schedule):
        lines += ["", f"## {heading}", "", *(f"- {_escaped(entry)}" for entry in entries)]
    return "\n".join(lines).rstrip() + "\n"


def _rows(wave: Wave, *, brief: bool) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a wave's rows behind its number."""
    for words in floating_words(wave, before=True):
        yield "", "", "", "", "", "", "", _escaped(f"before: {words}")
    shown = [step for step in wave.steps if not (brief and _only_pins(step))]
    for step in shown:
        cells = (step.vm, does(step), *ends(step), memory(step), f"{step.copied_gib:g}", remark(step))
        yield "☐", *map(_escaped, cells)
    if folded := len(wave.steps) - len(shown):
        yield "☐", count(folded, "VM"), "new pins", "", "", "", "0", "while they run: `placer apply PLAN --apply`"
    for words in floating_words(wave, before=False):
        yield "", "", "", "", "", "", "", _escaped(f"after: {words}")


def schedule_text(schedule: Schedule) -> str:
    """Return the whole schedule as aligned text."""
    lines = [outline(schedule)]
    for number, wave in enumerate(schedule.waves, start=1):
        lines.append(f"wave {number}: {wave_outline(wave)}")
        lines += [f"    before: {words}" for words in floating_words(wave, before=True)]
        rows = [
            (does(step), *map(visible, (step.vm, *ends(step), memory(step) and f"memory {memory(step)}")), remark(step))
            for step in wave.steps
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
            lines.append(f"    {line}  {visible(row[5])}".rstrip())
        lines += [f"    after: {words}" for words in floating_words(wave, before=False)]
    for heading, entries in tail(schedule):
        lines += [f"{heading}:", *(f"    {visible(entry)}" for entry in entries)]
    return "\n".join(lines) + "\n"


def outline(schedule: Schedule) -> str:
    """Return the schedule in a sentence."""
    steps = schedule.steps
    counts = Counter(step.need for step in steps)
    told = [need.counted(counts[need]) for need in Need if counts[need]]
    parts = [count(len(schedule.waves), "wave"), *told, f"{sum(step.copied_gib for step in steps):g} GiB"]
    if schedule.waves and schedule.minutes is not None:
        parts.append(f"{schedule.minutes:.1f} minutes of copying")
    if passing := sum(step.passing for step in steps):
        parts.append(f"{count(passing, 'VM takes', 'VMs take')} two steps, over other CPUs in between")
    if schedule.parking_moves or schedule.parking_bound:
        parts.append(f"{schedule.parking_moves} of the moves put VMs aside ({parking_proof(schedule)})")
    return ", ".join(parts)


def wave_outline(wave: Wave) -> str:
    """Return a wave in a few words."""
    text = f"{count(len(wave.steps), 'step')}, {wave.copied_gib:g} GiB"
    return text if wave.minutes is None else f"{text}, {wave.minutes:.1f} min"


def floating_words(wave: Wave, *, before: bool) -> Iterator[str]:
    """Yield what happens to the cpusets of shared vCPUs before or after a wave."""
    for entry in wave.before if before else wave.after:
        if entry.vms:
            host = visible(entry.host)
            where = f"{host}, node {format_cpuset(entry.nodes)}"
            yield f"shared vCPUs on {where} float over CPUs {format_cpuset(entry.cpus)}"


def does(step: Step) -> str:
    """Return what is done to the VM."""
    return step.need.value


def memory(step: Step) -> str:
    """Return on which nodes the memory lies before and after; empty where it stays, or is not known."""
    before = () if step.source is None else step.source.memory_nodes
    after = step.target.memory_nodes
    if not after or step.need is Need.PIN:
        return ""
    return f"{format_cpuset(before)} → {format_cpuset(after)}" if before else format_cpuset(after)


def ends(step: Step) -> tuple[str, str]:
    """Return where a step begins and ends."""
    return ("" if step.source is None else _where(step.source), _where(step.target))


def remark(step: Step) -> str:
    """Return what is particular about a step."""
    words = []
    if step.parking:
        words.append("put aside for a while")
    if step.passing:
        words.append("passing CPUs")
    for move in step.pages_first:
        what = f"{format_kib(move.memory_kib)} of {move.vm}, which floats"
        words.append(f"first move {what}, on {move.host}: {page_command(move)}")
    if step.wants_free:
        said = wanted_words(step)
        when = "by its next start" if step.kind.value == "repin" else "first"
        words.append(f"{said} must be free {when} (VMs float there)")
    if step.shares_with:
        words.append(f"shares CPUs with {', '.join(step.shares_with)} for a while")
    if step.kind.value == "repin" and not step.parking:
        own = [pin for pin in step.target.pins.values() if len(pin) == 1]
        words.append(f"CPUs {format_cpuset(frozenset().union(*own))}" if own else "floats over what is free")
    return "; ".join(words)


def wanted_words(step: Step) -> str:
    """Return what memory must be free on which nodes before a step; empty for none."""
    return ", ".join(f"{format_kib(kib)} on node {node}" for node, kib in step.wants_free.items())


def tail(schedule: Schedule) -> Iterator[tuple[str, list[str]]]:
    """Yield heading and lines of what comes after the waves."""
    if schedule.blocked:
        yield "No order found", [f"{entry.vm} to {entry.target}: {entry.reason}" for entry in schedule.blocked]
    if schedule.broken:
        yield "Rules broken on the way", list(map(str, schedule.broken))
    if schedule.remaining:
        yield (
            "Remains after the window",
            [f"{s.vm}: {does(s)} to {_where(s.target)}" for s in schedule.remaining],
        )
    if schedule.cycles:
        yield (
            "Circles",
            [
                f"{', '.join(cycle.vms)}: at least {cycle.fewest_parkings} must be put aside"
                for cycle in schedule.cycles
            ],
        )
    if schedule.notes:
        yield "Notes", list(schedule.notes)


def _only_pins(step: Step) -> bool:
    return step.need is Need.PIN and not (step.parking or step.passing or step.shares_with)


def _where(place: Place) -> str:
    if place.nodes is None:
        return place.host
    nodes = ",".join(str(node) for node in dict.fromkeys(place.nodes))
    return f"{place.host} node {nodes}"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in visible(text))
