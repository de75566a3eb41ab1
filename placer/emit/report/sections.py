"""The parts of a report beside its hosts, as tables and figures: goals, before and after, moves, headroom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from placer.emit.report.hosts import plan_now
from placer.measure.measure import FleetScore, score_fleet
from placer.model.fleet import Fleet
from placer.model.goals import HeadroomFlavor, Policy
from placer.model.plan import GoalResult, Plan
from placer.model.sets import floats
from placer.model.units import count
from placer.model.vm import CellMode, CpuPolicy
from placer.moves.changes import Changes
from placer.moves.model import Place, Schedule, Step
from placer.moves.need import Need
from placer.read.imports.usage import oversized
from placer.show.change_words import CHANGE_COLUMNS, aside_sentences, change_row, parking_proof
from placer.show.words import amount, figure, goal_before, percent, visible
from placer.whatif.headroom import Headroom

LISTED = 2000
"""Rows of changes, moves and VMs without a place; the plan file has all of them, and the report says how many more."""
_CPU_BELOW, _MEMORY_BELOW = 0.25, 0.5
"""The shares of ``placer usage``."""
SIZES_COUNTED = 4
"""How many of the fleet's commonest VM sizes the headroom is counted for where none is asked for."""
SOFT = ("excess", "weight", "priority")
"""What a plan tells of each soft rule that it breaks."""


_GOAL_WORDS = {
    "placed": "vCPUs without a place",
    "excess": "what VMs take that their hosts have not",
    "rules": "how far rules are broken, over all rules and domains",
    "remote": "extra distance to memory, in vCPU equivalents",
    "hosts": "cost of the hosts in use",
    "power": "watts of the hosts in use",
    "soft": "how far soft rules are broken, times their weights",
    "cores": "vCPUs on a core that another VM uses too",
    "l3": "L3 domains used beyond the fewest possible",
    "balance": "uneven load of the places",
    "moves": "VMs that change host",
    "repins": "VMs that stay on their nodes and get other CPUs or sets",
    "moved_gib": "memory copied, GiB",
    "headroom": "more VMs of this size that fit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its title, and whether it holds figures."""

    title: str
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of texts with a caption; `more` says what was left out, `folded` is a table that is opened on demand."""

    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[str]]
    more: str = ""
    notes: tuple[str, ...] = field(default=())
    folded: Sheet | None = None


def columns(*titles: str) -> tuple[Column, ...]:
    """Return columns; a title that ends in ``#`` is one of figures."""
    return tuple(Column(title=title.rstrip("#"), number=title.endswith("#")) for title in titles)


def goal_sheet(plan: Plan, before: Mapping[str, float | None] | None = None) -> Sheet:
    """Return the goals in order with value, bound and gap; what is not known is said to be unknown.

    Parameters
    ----------
    before : the value of each goal as the fleet runs now, see `placer.measure.before.goals_before`; None: no column.
    """
    now = () if before is None else ("before#",)
    return Sheet(
        caption="Goals in their order",
        columns=columns("goal", "meaning", *now, "value#", "bound#", "gap#", "status", "bound from"),
        rows=[_goal_row(goal, before) for goal in plan.goals],
    )


def goal_words(goal: str) -> str:
    """Return in words what a goal counts, by its name with or without tolerance and argument."""
    name = goal.partition("~")[0]
    return _GOAL_WORDS.get(name) or _GOAL_WORDS.get(name.partition(":")[0].partition(">")[0], "")


def _goal_row(goal: GoalResult, before: Mapping[str, float | None] | None) -> tuple[str, ...]:
    held = "" if goal.held_at is None else f", {visible(goal.held_at)} held"
    ended = goal.stopped if goal.status != "optimal" else ""
    said = "; ".join(word for word in (goal.source if goal.bound is not None else "", ended) if word)
    return (
        visible(goal.name),
        goal_words(goal.name),
        *(() if before is None else (goal_before(before, goal.name),)),
        figure(goal.value),
        figure(goal.bound),
        percent(goal.gap),
        goal.status + held,
        visible(said),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NowAndPlanned:
    """The measure of the VMs that are on known nodes now and are planned: as they are, and as they will be."""

    vms: int
    old: FleetScore
    new: FleetScore


def now_and_planned(fleet: Fleet, plan: Plan) -> NowAndPlanned | None:
    """Return the measure now and as planned over the same VMs; None where none of them is on known nodes now."""
    both = {place.name: place for place in plan_now(fleet) if place.name in plan.vm_by_name}
    if not both:
        return None
    old = score_fleet(fleet, replace(plan, vms=tuple(both.values())))
    new = score_fleet(fleet, replace(plan, vms=tuple(vm for vm in plan.vms if vm.name in both)))
    return NowAndPlanned(vms=len(both), old=old, new=new)


def before_after(fleet: Fleet, plan: Plan, at: NowAndPlanned | None) -> Sheet | None:
    """Return the measure now and as planned as a table; its caption tells of how many VMs."""
    if at is None:
        return None
    present = sum(1 for vm in fleet.vms if vm.current is not None)
    hosts_now = {vm.current.host for vm in fleet.vms if vm.current is not None}
    rows = [
        *_score_rows(at.old, at.new),
        ("hosts with VMs", figure(len(hosts_now)), figure(len({vm.host for vm in plan.vms}))),
    ]
    told = f"{at.vms:,} of {count(present, 'VM')} on a host now, whose nodes are known"
    return Sheet(caption=f"Before and after: {told}", columns=columns("measure", "now#", "planned#"), rows=rows)


def _score_rows(old: FleetScore, new: FleetScore) -> list[tuple[str, ...]]:
    return [
        ("locality score, 100 is all local", *(figure(score.locality_score, 2) for score in (old, new))),
        ("accesses that leave the node", *(percent(score.remote_share) for score in (old, new))),
        ("mean distance, 1 is local", *(figure(score.mean_distance) for score in (old, new))),
        ("remote access, vCPU equivalents", *(figure(score.remote_access, 2) for score in (old, new))),
    ]


def change_sheet(changes: Changes) -> Sheet | None:
    """Return the VMs that a plan changes as `moves` lists them, those folded that only get other CPUs; None: none."""
    there = [vm for vm in changes.vms if vm.need is not Need.START]
    if not there:
        return None
    moved = [vm for vm in there if vm.need is not Need.PIN]
    pinned = [vm for vm in there if vm.need is Need.PIN]
    counts = Counter(vm.need for vm in there)
    told = ", ".join(f"{need.value} {counts[need]:,}" for need in reversed(Need) if counts[need])
    get = "gets" if len(pinned) == 1 else "get"
    return Sheet(
        caption=f"VMs that change: {told}",
        columns=columns(*CHANGE_COLUMNS),
        rows=[change_row(vm) for vm in moved[:LISTED]],
        more=_more(len(moved)),
        folded=_folded(
            f"{count(len(pinned), 'VM')} that only {get} other CPUs", CHANGE_COLUMNS, [change_row(vm) for vm in pinned]
        ),
    )


def _folded(caption: str, titles: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Sheet | None:
    """Return rows that stand folded under a table; None where there are none."""
    if not rows:
        return None
    return Sheet(caption=caption, columns=columns(*titles), rows=rows[:LISTED], more=_more(len(rows)))


def unplaced_sheet(plan: Plan) -> Sheet | None:
    """Return the VMs without a place and why; None where all have one."""
    if not plan.unplaced:
        return None
    return Sheet(
        caption=f"Without a place: {count(len(plan.unplaced), 'VM')}",
        columns=columns("VM", "reason"),
        rows=[(visible(vm.name), visible(vm.reason)) for vm in plan.unplaced[:LISTED]],
        more=_more(len(plan.unplaced)),
    )


def soft_sheet(plan: Plan) -> Sheet | None:
    """Return the soft rules that a plan breaks, each with its excess; None where it breaks none."""
    rows = plan.summary.get("soft_rules_broken")
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not known:
        return None
    return Sheet(
        caption=f"Soft rules broken: {count(len(known), 'rule')}",
        columns=columns("rule", *(f"{name}#" for name in SOFT)),
        rows=[(visible(str(row.get("rule"))), *(_told(row.get(name)) for name in SOFT)) for row in known[:LISTED]],
        more=_more(len(known)),
    )


def _told(value: object) -> str:
    return figure(value if isinstance(value, int | float) else None)


def move_sheet(schedule: Schedule, changes: Changes) -> Sheet:
    """Return the steps in the order in which they fit, those folded that only give other CPUs.

    What a step needs is told in the words of `moves` and the ticket, and what it takes beyond the changes below it.
    """
    steps = [(number, step) for number, wave in enumerate(schedule.waves, start=1) for step in wave.steps]
    moving = [(number, step) for number, step in steps if step.need is not Need.PIN]
    pinning = [(number, step) for number, step in steps if step.need is Need.PIN]
    notes = [
        f"{visible(blocked.vm)} cannot move to {visible(blocked.target)}: {visible(blocked.reason)}"
        for blocked in schedule.blocked[:LISTED]
    ]
    notes += [visible(str(note)) for note in (*schedule.broken[:LISTED], *schedule.notes)]
    notes += aside_sentences(changes, schedule)
    aside = ", none put aside on the way"
    if schedule.parking_moves:
        aside = f", {count(schedule.parking_moves, 'VM')} put aside on the way ({parking_proof(schedule)})"
    return Sheet(
        caption=f"Move schedule: {count(len(steps), 'step')} in {count(len(schedule.waves), 'wave')}{aside}",
        columns=columns("wave#", "VM", "needs", "from", "to", "copied#"),
        rows=[_step_row(number, step) for number, step in moving[:LISTED]],
        more=_more(len(moving)),
        notes=tuple(notes),
        folded=_folded(
            f"{count(len(pinning), 'step')} that only {'gives' if len(pinning) == 1 else 'give'} other CPUs",
            ("wave#", "VM", "needs", "host"),
            [(str(number), visible(step.vm), _step_words(step), visible(step.target.host)) for number, step in pinning],
        ),
    )


def _step_row(wave: int, step: Step) -> tuple[str, ...]:
    source = "new" if step.source is None else _place(step.source)
    copied = f"{figure(step.copied_gib, 1)} GiB" if step.copied_gib else "nothing"
    return (
        str(wave),
        visible(step.vm),
        _step_words(step),
        source,
        _place(step.target),
        copied,
    )


def _step_words(step: Step) -> str:
    aside = ", put aside for a while" if step.parking else ", CPUs for the time being" if step.passing else ""
    return step.need.value + aside


def _place(at: Place) -> str:
    """Return host and nodes; those of the memory too where they are other ones than those of the CPUs."""
    if at.nodes is None:
        return f"{visible(at.host)} nodes unknown"
    nodes, memory = tuple(sorted(set(at.nodes))), at.memory_nodes
    told = f"{visible(at.host)} node {', '.join(map(str, nodes))}"
    return told if memory in ((), nodes) else f"{told}, memory {', '.join(map(str, memory))}"


def usage_sheet(fleet: Fleet) -> Sheet | None:
    """Return the VMs that use little of what they have, the largest waste first; None where no usage is known."""
    known = sum(vm.usage is not None for vm in fleet.vms)
    if not known:
        return None
    found = oversized(fleet.vms, cpu_below=_CPU_BELOW, memory_below=_MEMORY_BELOW)
    told = f"{count(len(found), 'VM')} below {percent(_CPU_BELOW)} of CPU or {percent(_MEMORY_BELOW)} of memory"
    return Sheet(
        caption=f"Little used: {told}, of {known:,} whose use is known (95th percentile)",
        columns=columns("VM", "vCPUs#", "vCPUs used#", "CPU#", "memory#", "memory used#", "share#"),
        rows=[
            (
                visible(entry.vm.name),
                figure(entry.vm.spec.vcpus),
                figure(entry.used_vcpus, 1),
                percent(entry.cpu_p95),
                amount(entry.vm.spec.memory_kib),
                "unknown" if entry.used_kib is None else amount(entry.used_kib),
                percent(entry.memory_p95),
            )
            for entry in found[:LISTED]
        ],
        more=f"and {len(found) - LISTED:,} more, which placer usage lists" if len(found) > LISTED else "",
        notes=("Requests rule the plan all the same: nothing is made smaller.",),
    )


def headroom_sheet(room: Sequence[Headroom]) -> Sheet | None:
    """Return how many more VMs fit where nothing is moved; None where no size was counted."""
    if not room:
        return None
    return Sheet(
        caption="Headroom: how many more VMs of a size fit, nothing moved",
        columns=columns("size", "policy", "fit#", "hosts with room#", "runs out first"),
        rows=[_headroom_row(entry) for entry in room],
    )


def _fits(entry: Headroom) -> str:
    """Return how many fit; what rules over several hosts leave of that was not counted."""
    if entry.tied:
        return f"at most {figure(entry.total if entry.at_most is None else entry.at_most)}: rules may leave fewer"
    if entry.at_most in (None, entry.total):
        return figure(entry.total)
    return f"{figure(entry.total)} of at most {figure(entry.at_most)}"


def _headroom_row(entry: Headroom) -> tuple[str, ...]:
    return (
        entry.flavor,
        entry.policy,
        _fits(entry),
        figure(sum(1 for number in entry.per_host.values() if number)),
        entry.first or "nothing holds it",
    )


def common_sizes(fleet: Fleet) -> list[HeadroomFlavor]:
    """Return the commonest VM sizes of a fleet as flavors: guests with cells keep their number of cells, and all their
    policy.
    """
    sizes: Counter[tuple[int, int, int, Policy]] = Counter()
    for vm in fleet.vms:
        spec = vm.spec
        cells = len(spec.cells) if spec.cell_mode is CellMode.GIVEN else 1
        if spec.memory_kib and not (spec.vcpus % cells or spec.memory_kib % cells):
            shared: Policy = "floating" if cells == 1 and floats(vm) else "shared"
            own = spec.cpu_policy is not CpuPolicy.SHARED
            sizes[spec.vcpus, spec.memory_kib, cells, "dedicated" if own else shared] += 1
    common = sorted(sorted(sizes, key=lambda size: (-sizes[size], size))[:SIZES_COUNTED])
    return [
        HeadroomFlavor(
            text=f"{count(vcpus, 'vCPU')} × {amount(memory)}" + (f" in {count(cells, 'cell')}" if cells > 1 else ""),
            vcpus=vcpus,
            memory_kib=memory,
            cells=cells,
            policy=policy,
        )
        for vcpus, memory, cells, policy in common
    ]


def capacity_bars(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return used, reserved and free shares of CPUs and memory, as far as the plan's summary tells them."""
    bars = []
    for name, key in (("CPUs", "cpus"), ("memory", "memory_mib")):
        row = summary.get(key)
        if not isinstance(row, Mapping) or not all(_known(row.get(part)) for part in _PARTS) or not row["total"]:
            continue
        write = (lambda mib: amount(round(mib * 1024))) if key == "memory_mib" else figure
        parts, start = [], 0.0
        for part in ("used", "reserved", "free"):
            share = 100 * row[part] / row["total"]
            parts.append({"name": part, "text": write(row[part]), "start": round(start, 2), "share": round(share, 2)})
            start += share
        bars.append({"name": name, "total": write(row["total"]), "parts": parts})
    return bars


_PARTS = ("used", "reserved", "free", "total")


def _known(value: object) -> bool:
    return isinstance(value, (int, float)) and value >= 0


def _more(number: int) -> str:
    return f"and {number - LISTED:,} more, which the plan file holds" if number > LISTED else ""
