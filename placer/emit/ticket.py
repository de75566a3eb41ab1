"""A plan as a change ticket in Markdown: what, why, risk, steps, rollback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from placer.emit.export import Exporter
from placer.emit.moves_markdown import schedule_markdown
from placer.emit.report_sections import before_after, now_and_planned
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Movable
from placer.planning.moves import schedule_moves
from placer.show.words import amount, count, figure, percent, visible

_LISTED = 200
_TOUCHED = {
    Change.REPIN: "only re-pinned inside the same nodes",
    Change.RENODE: "to another node of the same host",
    Change.MIGRATE: "to another host",
    Change.RESTART: "to be shut off and started again",
}


def ticket(plan: Plan, fleet: Fleet) -> bytes:
    """Return the ticket; it says of what is not known that it is not."""
    sections = {
        "What": _what(plan, fleet),
        "Why": _why(plan, fleet),
        "Risk": _risk(plan, fleet),
        "Steps": _steps(plan, fleet),
        "Rollback": _rollback(plan, fleet),
    }
    lines = [f"# Change: placement of {_plain(plan.fleet_path or 'a fleet')}"]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _what(plan: Plan, fleet: Fleet) -> Iterator[str]:
    counts = Counter(vm.change for vm in plan.vms)
    arriving = sum(1 for vm in plan.vms if vm.change is Change.NONE and fleet.vm_by_name[vm.name].current is None)
    yield f"{count(len(plan.vms), 'VM')} on {count(len({vm.host for vm in plan.vms}), 'host')}:"
    yield ""
    for change, words in _TOUCHED.items():
        if counts[change]:
            yield f"- {count(counts[change], 'VM')} {words}"
    for number, words in ((arriving, "new"), (counts[Change.NONE] - arriving, "left as they are")):
        if number:
            yield f"- {count(number, 'VM')} {words}"
    if plan.unplaced:
        yield f"- {count(len(plan.unplaced), 'VM')} without a place"
    yield ""
    yield f"Fleet digest {plan.fleet_digest or 'unknown'}, seed {plan.seed}, status {plan.status}."


def _why(plan: Plan, fleet: Fleet) -> Iterator[str]:
    yield "| goal | value | bound | gap | status |"
    yield "|---|--:|--:|--:|---|"
    for goal in plan.goals:
        cells = (_plain(goal.name), figure(goal.value), figure(goal.bound), percent(goal.gap), goal.status)
        yield f"| {' | '.join(cells)} |"
    compared = before_after(fleet, plan, now_and_planned(fleet, plan))
    if compared is not None:
        yield ""
        yield f"{compared.caption}:"
        yield ""
        yield "| measure | now | planned |"
        yield "|---|--:|--:|"
        for row in compared.rows:
            yield f"| {' | '.join(map(_plain, row))} |"


def _risk(plan: Plan, fleet: Fleet) -> Iterator[str]:
    restarts = [vm for vm in plan.vms if vm.change is Change.RESTART]
    moved = [vm for vm in plan.vms if vm.change in (Change.RENODE, Change.MIGRATE)]
    copied = sum(cell.memory_kib for vm in moved for cell in vm.cells)
    yield f"- downtime: {count(len(restarts), 'VM')} restarted{_named(restarts)}"
    yield f"- memory copied while running: {amount(copied)} of {count(len(moved), 'VM')}{_named(moved)}"
    cold = [vm for vm in moved if fleet.vm_by_name[vm.name].movable is Movable.COLD]
    if cold:
        yield f"- may not move while running: {count(len(cold), 'VM')}{_named(cold)}"
    worst = plan.summary.get("worst_host_failure")
    if isinstance(worst, dict) and worst.get("host") is not None:
        lost = worst.get("vms_without_place")
        yield f"- if {_plain(str(worst['host']))} fails afterwards, {lost} of its VMs find no place on the others"
    else:
        yield "- what a failure of one host would mean afterwards is not known"
    for out in plan.unplaced[:_LISTED]:
        yield f"- without a place: {_plain(out.name)}: {_plain(out.reason)}"
    for warning in list(dict.fromkeys([*plan.warnings, *fleet.warnings]))[:_LISTED]:
        yield f"- warning: {_plain(warning)}"


def _steps(plan: Plan, fleet: Fleet) -> Iterator[str]:
    yield "1. Check that plan and fleet still agree: `placer check FLEET PLAN`, `placer verify PLAN`."
    yield "2. Show what would be done on the hosts: `placer apply PLAN`."
    yield "3. Do it: `placer apply PLAN --apply`, or by hand in this order:"
    schedule = schedule_moves(fleet, plan)
    if not schedule.waves:
        yield ""
        yield "Nothing moves."
        return
    for line in schedule_markdown(schedule).splitlines():
        yield f"##{line}" if line.startswith("#") else line
    yield ""
    yield "4. Compare the hosts with the plan: `placer verify PLAN`."


def _rollback(plan: Plan, fleet: Fleet) -> Iterator[str]:
    yield "`placer apply --apply` writes a journal: `placer rollback JOURNAL --apply` takes its changes back."
    changed = [vm for vm in plan.vms if vm.change is not Change.NONE]
    if not changed:
        return
    yield "By hand, each VM goes back to where it is now:"
    yield ""
    for vm in changed[:_LISTED]:
        current = fleet.vm_by_name[vm.name].current
        nodes = "unknown" if current is None or current.nodes is None else ", ".join(map(str, current.nodes))
        yield f"- {_plain(vm.name)}: {_plain(vm.from_host or vm.host)}, nodes {nodes}"
    if len(changed) > _LISTED:
        yield f"- and {len(changed) - _LISTED:,} more, which the plan file holds"


def _named(vms: list[PlanVm]) -> str:
    if not vms:
        return ""
    names = ", ".join(_plain(vm.name) for vm in vms[:_LISTED])
    return f": {names}" + (f" and {len(vms) - _LISTED:,} more" if len(vms) > _LISTED else "")


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in visible(text))


EXPORTER = Exporter(files=lambda plan, fleet: {"change.md": ticket(plan, fleet)}, document=ticket)
