"""Scenarios of ``placer whatif`` in a report: charts side by side, and the table that says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from placer.emit.report.charts import Bar, Chart, chart
from placer.emit.report.sections import Sheet, columns
from placer.model.units import count
from placer.read.documents.comparison_file import Failures, Harm, Planned, Scenario, Unsettled
from placer.show.words import figure, lacking, listed, percent, visible

LISTED_FAILURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The section of a report: charts, the table of all scenarios, and what each changes or why it has no plan."""

    charts: tuple[Chart, ...]
    sheet: Sheet
    failures: Sheet | None


def compared(scenarios: Sequence[Scenario]) -> Compared:
    """Return scenarios as a section; each chart is left out where it would say nothing."""
    flavors = list(dict.fromkeys(flavor for row in scenarios if row.planned for flavor in row.planned.headroom))
    return Compared(
        charts=tuple(_charts(scenarios, flavors)), sheet=_table(scenarios, flavors), failures=_failures(scenarios)
    )


def _charts(scenarios: Sequence[Scenario], flavors: Sequence[str]) -> Iterator[Chart]:
    made = [
        ("VMs placed, of those there are", _placed, "Behind each bar: all VMs of the scenario."),
        (
            "Remote access in vCPU equivalents, less is better",
            _remote,
            "The line is the bound: no plan has less. Where value and bound meet, the value is proven.",
        ),
        ("Hosts in use, of those that work", _hosts, "Behind each bar: all hosts that work."),
        *(
            (f"Headroom: how many more VMs of {visible(flavor)} fit, more is better", _headroom(flavor), "")
            for flavor in flavors
        ),
        ("VMs that change host or node", _moves, ""),
        ("Worst failure: VMs that lose their place, less is better", _worst, ""),
    ]
    for number, (title, bar_of, note) in enumerate(made):
        bars = [_bar(row, bar_of) for row in scenarios]
        if any(bar.value is not None for bar in bars):
            drawn = chart(title, bars, note=note, number=number + 1)
            if drawn is not None:
                yield drawn


def _bar(row: Scenario, bar_of: Callable[[str, Planned], Bar]) -> Bar:
    return Bar(label=row.name, value=None, text=row.status) if row.planned is None else bar_of(row.name, row.planned)


def _placed(name: str, at: Planned) -> Bar:
    return Bar(label=name, value=at.placed, of=at.vms, text=f"{at.placed:,} of {at.vms:,}")


def _remote(name: str, at: Planned) -> Bar:
    bound = next((goal.bound for goal in at.goals if goal.name == "remote"), None)
    return Bar(label=name, value=at.remote_access, mark=bound, text=figure(at.remote_access))


def _hosts(name: str, at: Planned) -> Bar:
    return Bar(label=name, value=at.hosts_used, of=at.hosts, text=f"{at.hosts_used:,} of {at.hosts:,}")


def _headroom(flavor: str) -> Callable[[str, Planned], Bar]:
    def bar(name: str, at: Planned) -> Bar:
        found = at.headroom.get(flavor)
        if found is None:
            return Bar(label=name, value=None, text="unknown")
        return Bar(label=name, value=found.fit, text=f"{found.fit:,}")

    return bar


def _moves(name: str, at: Planned) -> Bar:
    moved = at.migrations + at.node_changes
    return Bar(label=name, value=moved, text=f"{moved:,}, {at.migrations:,} to another host")


def _worst(name: str, at: Planned) -> Bar:
    if at.failures is None:
        return Bar(label=name, value=None, text="not asked")
    if not at.failures.harmful:
        return Bar(label=name, value=0, text="unknown" if at.failures.unknown else "0: every VM finds a place")
    worst = max(at.failures.harmful, key=lambda harm: harm.vms_lost)
    where = visible(listed(worst.domains, 2))
    return Bar(label=name, value=worst.vms_lost, of=worst.vms, text=f"{worst.vms_lost:,} of {worst.vms:,} on {where}")


def _table(scenarios: Sequence[Scenario], flavors: Sequence[str]) -> Sheet:
    titles = ("scenario", "what changes", "status", "placed#", "remote access#", "bound#", "locality score#", "hosts#")
    rows = [_row(row, flavors) for row in scenarios]
    return Sheet(
        caption=f"What if: {count(len(scenarios) - 1, 'scenario')} beside {visible(scenarios[0].name)}",
        columns=columns(*titles, "moves#", "widest gap#", *(f"{visible(flavor)} more#" for flavor in flavors)),
        rows=rows,
        notes=tuple(_notes(scenarios)),
    )


def _row(row: Scenario, flavors: Sequence[str]) -> tuple[str, ...]:
    at = row.planned
    head = (visible(row.name), visible("; ".join(row.changes)) or "nothing", row.status)
    if at is None:
        return (*head, *([""] * (7 + len(flavors))))
    gaps = [goal.gap for goal in at.goals]
    known = [gap for gap in gaps if gap is not None]
    bound = next((goal.bound for goal in at.goals if goal.name == "remote"), None)
    return (
        *head,
        f"{at.placed:,}/{at.vms:,}",
        figure(at.remote_access),
        figure(bound),
        figure(at.locality_score, 1),
        f"{at.hosts_used:,}/{at.hosts:,}",
        figure(at.migrations + at.node_changes),
        percent(max(known, default=0.0)) if len(known) == len(gaps) else "unknown",
        *(figure(at.headroom[flavor].fit) if flavor in at.headroom else "unknown" for flavor in flavors),
    )


def _notes(scenarios: Sequence[Scenario]) -> Iterator[str]:
    for row in scenarios:
        if row.planned is None:
            yield f"{visible(row.name)} has no plan ({row.status}): {visible(row.reason or 'no reason is told')}"
            continue
        for reason, vms in row.planned.unplaced.items():
            yield f"{visible(row.name)}: {count(vms, 'VM')} without a place: {visible(reason)}"
        if (over := row.planned.over) is not None:
            why = f": {visible(over.why)}" if over.why else ""
            yield f"{visible(row.name)}: VMs that run would take {lacking(over.parts)} more than their hosts have{why}"
        for rule in row.planned.reserve:
            if not rule.proven:
                lacks = f"lacks {figure(rule.value)}, in any plan at least {figure(rule.bound)}"
                yield f"{visible(row.name)}: {visible(rule.rule)} is not proven to be kept: {lacks}"


def _failures(scenarios: Sequence[Scenario]) -> Sheet | None:
    """Return the failures that hurt, scenario by scenario; None where none was looked at."""
    swept = [(row.name, row.planned.failures) for row in scenarios if row.planned and row.planned.failures]
    if not swept:
        return None
    rows = [line for name, found in swept for line in _harms(visible(name), found)]
    return Sheet(
        caption="What if: failures and what they cost",
        columns=columns("scenario", "what fails", "VMs without a place#", "of#", "proven"),
        rows=rows,
        notes=tuple(
            f"{visible(name)}: {count(found.combinations, 'failure')} looked at, {_in_all(found.harmful):,} leave VMs "
            f"without a place, {_in_all(found.unknown):,} not known"
            for name, found in swept
        ),
    )


def _in_all(failures: Sequence[Harm] | Sequence[Unsettled]) -> int:
    return sum(failure.ways for failure in failures)


def _harms(name: str, found: Failures) -> Iterator[tuple[str, ...]]:
    for harm in found.harmful[:LISTED_FAILURES]:
        lost = (f"{harm.vms_lost:,}", f"{harm.vms:,}", "yes" if harm.proven else "no")
        yield (name, visible(" + ".join(harm.domains)), *lost)
    for unknown in found.unknown[:LISTED_FAILURES]:
        yield (name, visible(" + ".join(unknown.domains)), "unknown", "", visible(unknown.why))
