"""A plan as a change ticket in Markdown: what, why, risk, steps, rollback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from placer.emit.export import Exporter
from placer.emit.moves.markdown import schedule_markdown
from placer.emit.report.lead import sentences
from placer.emit.report.sections import before_after, goal_words, now_and_planned
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Movable
from placer.moves.schedule import schedule_moves
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
    for sentence in sentences(plan, fleet):
        yield _plain(sentence)
        yield ""
    yield "| VMs | |"
    yield "|--:|---|"
    for change, words in _TOUCHED.items():
        if counts[change]:
            yield f"| {counts[change]:,} | {words} |"
    for number, words in ((arriving, "new"), (counts[Change.NONE] - arriving, "left as they are")):
        if number:
            yield f"| {number:,} | {words} |"
    if plan.unplaced:
        yield f"| {len(plan.unplaced):,} | without a place |"
    yield ""
    digest = plan.fleet_digest[:12] if plan.fleet_digest else "unknown"
    yield f"Plan of placer {_plain(plan.versions.get('placer', 'unknown'))}: fleet digest {digest}, seed {plan.seed}."


def _why(plan: Plan, fleet: Fleet) -> Iterator[str]:
    yield "Goals in their order; no plan can pass a bound."
    yield ""
    yield "| goal | meaning | value | bound | gap | status |"
    yield "|---|---|--:|--:|--:|---|"
    for goal in plan.goals:
        cells = (_plain(goal.name), goal_words(goal.name), figure(goal.value), figure(goal.bound), percent(goal.gap))
        yield f"| {' | '.join(cells)} | {goal.status} |"
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
    cold = [vm for vm in moved if fleet.vm_by_name[vm.name].movable is Movable.COLD]
    copied = sum(cell.memory_kib for vm in moved for cell in vm.cells)
    down = [*restarts, *cold]
    told = f"{count(len(down), 'VM')} shut off and started again{_named(down)}" if down else "none planned"
    yield f"- downtime: {told}"
    renoded = [vm for vm in moved if vm.change is Change.RENODE and fleet.vm_by_name[vm.name].running]
    if renoded:
        what = "libvirt moves no strict memory while a VM runs: a restart, or migratepages on the host, moves that of"
        yield f"- {what} {count(len(renoded), 'VM')}{_named(renoded)}"
    if moved:
        yield f"- memory copied: {amount(copied)} of {count(len(moved), 'VM')}{_named(moved)}"
    worst = plan.summary.get("worst_host_failure")
    if not isinstance(worst, dict) or worst.get("host") is None:
        yield "- what a failure of one host would mean afterwards is not known"
    for out in plan.unplaced[:_LISTED]:
        yield f"- without a place: {_plain(out.name)}: {_plain(out.reason)}"
    for warning in list(dict.fromkeys([*plan.warnings, *fleet.warnings]))[:_LISTED]:
        yield f"- warning: {_plain(warning)}"


def _steps(plan: Plan, fleet: Fleet) -> Iterator[str]:
    yield "PLAN is the plan's file, FLEET its inventory."
    yield ""
    yield "1. Check that plan and fleet still agree: `placer check FLEET PLAN`, `placer verify PLAN`."
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
    blank = True
    for line in schedule_markdown(schedule).splitlines()[1:]:
        if line or not blank:
            yield f"##{line}" if line.startswith("#") else line
        blank = not line


def _rollback(plan: Plan, fleet: Fleet) -> Iterator[str]:
    yield "`placer apply --apply` writes a journal: `placer rollback JOURNAL --apply` takes its changes back."
    changed = [vm for vm in plan.vms if vm.change is not Change.NONE]
    if not changed:
        return
    yield "By hand, in the reverse order, each VM goes back to where it is now:"
    yield ""
    yield "| done | VM | host | CPUs on node | memory on node |"
    yield "|---|---|---|---|---|"
    for vm in changed[:_LISTED]:
        current = fleet.vm_by_name[vm.name].current
        nodes = None if current is None else current.nodes
        memory = None if current is None else current.memory_nodes or nodes
        yield f"| ☐ | {_plain(vm.name)} | {_plain(vm.from_host or vm.host)} | {_ids(nodes)} | {_ids(memory)} |"
    if len(changed) > _LISTED:
        yield ""
        yield f"and {len(changed) - _LISTED:,} more, which the plan file holds"


def _ids(nodes: tuple[int, ...] | None) -> str:
    return "unknown" if nodes is None else ", ".join(map(str, nodes))


def _named(vms: list[PlanVm]) -> str:
    if not vms:
        return ""
    names = ", ".join(_plain(vm.name) for vm in vms[:_LISTED])
    return f": {names}" + (f" and {len(vms) - _LISTED:,} more" if len(vms) > _LISTED else "")


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in visible(text))


EXPORTER = Exporter(files=lambda plan, fleet: {"change.md": ticket(plan, fleet)}, document=ticket)
