"""A plan as a change ticket in Markdown: what, why, risk, steps, rollback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from placer.emit.export import Exporter
from placer.emit.moves.markdown import schedule_markdown
from placer.emit.report.sections import before_after, goal_words, now_and_planned
from placer.measure.before import goals_before
from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan
from placer.model.units import count
from placer.moves.changes import Changes, plan_changes
from placer.moves.schedule import schedule_moves
from placer.show.change_words import aside_sentences, downtime_sentence, names_of
from placer.show.plan_sentences import sentences
from placer.show.words import figure, goal_before, percent, visible

_LISTED = 20
"""Rows of a list: a ticket of ten changes is two pages."""


def ticket(plan: Plan, fleet: Fleet) -> bytes:
    """Return the ticket; it says of what is not known that it is not."""
    changes = plan_changes(fleet, plan)
    sections = {
        "What": _what(plan, fleet),
        "Why": _why(plan, fleet),
        "Risk": _risk(plan, fleet, changes),
        "Steps": _steps(plan, fleet, changes),
        "Rollback": _rollback(changes),
    }
    lines = [f"# Change: placement of {_plain(plan.fleet_path or 'a fleet')}"]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _what(plan: Plan, fleet: Fleet) -> Iterator[str]:
    for sentence in sentences(plan, fleet):
        yield f"- {_plain(sentence)}"
    if plan.unplaced:
        yield f"- {count(len(plan.unplaced), 'VM')} without a place."
    yield ""
    digest = plan.fleet_digest[:12] if plan.fleet_digest else "unknown"
    yield f"Plan of placer {_plain(plan.versions.get('placer', 'unknown'))}: fleet digest {digest}, seed {plan.seed}."


def _why(plan: Plan, fleet: Fleet) -> Iterator[str]:
    yield "Goals in their order; no plan can pass a bound."
    yield ""
    before = goals_before(fleet, plan)
    yield f"| goal | meaning | {'' if before is None else 'before | '}value | bound | gap | status |"
    yield f"|---|---|{'' if before is None else '--:|'}--:|--:|--:|---|"
    # Goals one behind the other that stand alike share a row.
    for cells, goals in groupby(plan.goals, lambda goal: _figures(goal, before)):
        alike = list(goals)
        names = ", ".join(_plain(goal.name) for goal in alike)
        yield f"| {names} | {'; '.join(goal_words(goal.name) for goal in alike)} | {' | '.join(cells)} |"
    compared = before_after(fleet, plan, now_and_planned(fleet, plan))
    if compared is not None:
        yield ""
        yield f"{compared.caption}:"
        yield ""
        yield "| measure | now | planned |"
        yield "|---|--:|--:|"
        for row in compared.rows:
            yield f"| {' | '.join(map(_plain, row))} |"


def _figures(goal: GoalResult, before: Mapping[str, float | None] | None) -> tuple[str, ...]:
    now = () if before is None else (goal_before(before, goal.name),)
    return (*now, figure(goal.value), figure(goal.bound), percent(goal.gap), goal.status)


def _risk(plan: Plan, fleet: Fleet, changes: Changes) -> Iterator[str]:
    yield f"- {_plain(downtime_sentence(changes))}"
    if changes.memory_gib:
        copied = [vm for vm in changes.vms if vm.memory_gib]
        what = f"{figure(changes.memory_gib, 1)} GiB of {count(len(copied), 'VM')}: {_plain(names_of(copied))}"
        yield f"- memory copied: {what}"
    if changes.disk_gib:
        yield f"- disks copied: {figure(changes.disk_gib, 1)} GiB"
    worst = plan.summary.get("worst_host_failure")
    if not isinstance(worst, dict) or worst.get("host") is None:
        yield "- what a failure of one host would mean afterwards is not known"
    for out in plan.unplaced[:_LISTED]:
        yield f"- without a place: {_plain(out.name)}: {_plain(out.reason)}"
    for warning in list(dict.fromkeys([*plan.warnings, *fleet.warnings]))[:_LISTED]:
        yield f"- warning: {_plain(warning)}"


def _steps(plan: Plan, fleet: Fleet, changes: Changes) -> Iterator[str]:
    yield "1. Check that plan and fleet still agree (PLAN is the plan's file, FLEET its inventory):"
    yield "   `placer check FLEET PLAN`, `placer verify PLAN`."
    yield "2. Show what would be done on the hosts: `placer apply PLAN`."
    yield "3. Pin what is on its planned host: `placer apply PLAN --apply`. What changes host: the scripts that"
    yield "   `placer export PLAN --to virsh -o scripts` writes, or by hand in the order below. New VMs: define and"
    yield "   start them from `placer export PLAN --to libvirt -o xml`."
    yield "4. Compare the hosts with the plan: `placer verify PLAN`."
    yield ""
    yield "### Order"
    yield ""
    schedule = schedule_moves(fleet, plan)
    if not schedule.waves:
        yield "Nothing moves."
        return
    for line in schedule_markdown(schedule, said=list(aside_sentences(changes, schedule)), brief=True).splitlines()[2:]:
        yield f"##{line}" if line.startswith("#") else line


def _rollback(changes: Changes) -> Iterator[str]:
    yield "`placer apply --apply` writes a journal: `placer rollback JOURNAL --apply` takes its changes back."
    if any(vm.source is not None for vm in changes.moving):
        yield "By hand: the steps above from the last to the first, each from where it went *to* back to where it came"
        yield "*from*, its memory likewise; what it needed (*do*) it needs then too."
    if changes.starting:
        yield f"{count(len(changes.starting), 'new VM')}: shut off and undefine."
    if changes.pinned:
        what = f"Which CPUs {count(len(changes.pinned), 'VM')} had that only get other ones"
        yield f"{what}: the journal, and `placer diff FLEET PLAN --format csv`."


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in visible(text))


EXPORTER = Exporter(files=lambda plan, fleet: {"change.md": ticket(plan, fleet)}, document=ticket)
