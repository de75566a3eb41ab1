"""How good a plan is, in lines: goals with bounds, what is used and free, the worst failure, VMs without a place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from placer.measure.before import goals_before
from placer.model.fleet import Fleet
from placer.model.plan import Change, GoalResult, Plan
from placer.model.units import count
from placer.moves.changes import plan_changes
from placer.show.change_words import change_sentences
from placer.show.items import draw_items
from placer.show.plan_sentences import emptied_sentence, outcome
from placer.show.reserve_words import reserve_sentences
from placer.show.rows import say
from placer.show.words import amount, counted, figure, goal_before, percent, visible

if TYPE_CHECKING:
    from rich.console import Console

_UNPLACED_SHOWN = 20
_OF = {"cpus": "share of the CPUs", "memory": "share of the memory", "usage": "share of the CPUs used"}
_CHANGES = {
    Change.FOLLOW: "whose cpusets follow",
    Change.REPIN: "only re-pinned",
    Change.RENODE: "moved to another node",
    Change.MIGRATE: "moved to another host",
    Change.RESTART: "restarted",
}


def draw_summary(plan: Plan, console: Console, fleet: Fleet | None = None) -> None:
    """Draw the summary of a plan; what is not known is said to be unknown.

    Parameters
    ----------
    fleet : the fleet of the plan, where it is at hand: the answer then leads, each goal beside its value now.
    """
    if fleet is None:
        draw_goals(plan.goals, console)
        counts = Counter(vm.change for vm in plan.vms)
        parts = [f"{count(len(plan.vms), 'VM')} placed"]
        parts += [f"{counts[change]:,} {words}" for change, words in _CHANGES.items() if counts[change]]
        console.print(f"plan: {', '.join(parts)}")
    else:
        changes = change_sentences(plan_changes(fleet, plan))
        for sentence in (*outcome(plan), *changes, *emptied_sentence(plan, fleet)):
            say(console, sentence)
        draw_goals(plan.goals, console, goals_before(fleet, plan))
    _draw_unplaced(plan, console)
    _draw_mending(plan.summary, plan.options.get("max_moves"), console)
    _draw_drains(plan.summary.get("drains"), console)
    _draw_soft(plan.summary.get("soft_rules_broken"), console)
    _draw_idle(plan.summary.get("idle_hosts"), console)
    _draw_shares(plan.summary.get("shares"), console)
    _draw_cycles(plan.summary.get("cycles"), console)
    _draw_capacity(plan.summary, console)
    for sentence in reserve_sentences(plan.summary.get("reserve")):
        say(console, sentence)
    if "worst_host_failure" in plan.summary:
        _draw_failure(plan.summary["worst_host_failure"], console)


def draw_goals(
    goals: tuple[GoalResult, ...], console: Console, before: Mapping[str, float | None] | None = None
) -> None:
    """Draw the goals in their order: value, bound, gap, status, and what proves the bound or ended the search.

    Parameters
    ----------
    before : the value of each goal as the fleet runs now, see `goals_before`; None where nothing runs yet.
    """
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("goal", overflow="fold")
    for column in (*(("before",) if before is not None else ()), "value", "bound", "gap"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("bound from", overflow="fold")
    for goal in goals:
        status = goal.status if goal.held_at is None else f"{goal.status}, {visible(goal.held_at)} held"
        words = [goal.source if goal.bound is not None else "", goal.stopped if goal.status != "optimal" else ""]
        table.add_row(
            _name(goal),
            *(() if before is None else (goal_before(before, goal.name),)),
            figure(goal.value),
            figure(goal.bound),
            percent(goal.gap),
            status,
            visible("; ".join(word for word in words if word)),
        )
    console.print(table)


def _name(goal: GoalResult) -> str:
    """Return a goal's name; what it counts where another figure of the screen counts more."""
    name = visible(goal.name)
    return f"{name} (to another host)" if goal.name.partition("~")[0] == "moves" else name


def _draw_unplaced(plan: Plan, console: Console) -> None:
    if not plan.unplaced:
        return
    shown = [f"{vm.name}: {vm.reason}" for vm in plan.unplaced[:_UNPLACED_SHOWN]]
    if len(plan.unplaced) > len(shown):
        shown.append(f"and {len(plan.unplaced) - len(shown):,} more, named in the plan")
    draw_items(f"without a place: {count(len(plan.unplaced), 'VM')}", shown, console)


def _draw_mending(summary: Mapping[str, Any], max_moves: Any, console: Console) -> None:
    """Draw the rules that the fleet breaks now, whether moves were allowed, and how many would mend them; a plan file
    may hold anything.
    """
    rows, told = summary.get("rules_broken_before"), summary.get("mended_by_moves")
    broken = False
    if isinstance(rows, list) and rows:
        known = [row for row in rows if isinstance(row, dict)]
        shown = [
            f"{row.get('rule')}: excess {_number(row.get('excess_before'))} now, "
            f"{_number(row.get('excess'))} in the plan"
            for row in known[:_UNPLACED_SHOWN]
        ]
        if len(known) > len(shown):
            shown.append(f"and {len(known) - len(shown):,} more, named in the plan")
        draw_items(f"rules broken now: {count(len(known), 'rule')}", shown, console)
        broken = any(row.get("excess") for row in known)
    # Of VMs that run what is lacking now is told; where none runs nothing could be moved.
    lacking = isinstance(summary.get("reserve_before"), list) and any(
        isinstance(row, dict) and not row.get("proven") for row in summary.get("reserve") or ()
    )
    if max_moves == 0 and (broken or lacking or isinstance(told, dict)):
        console.print(f"no move was allowed: {_way(told, broken=broken, lacking=lacking)}", soft_wrap=True)


def _way(told: Any, *, broken: bool, lacking: bool) -> str:
    """Return how many moves would mend the rules that are broken, keep the reserve, and bring down what is over."""
    many = told.get("moves") if isinstance(told, dict) else None
    if not isinstance(many, int) or not many:
        if lacking and not broken:
            tried = isinstance(told, dict)
            return "no moves were found that keep the reserve" if tried else "with --max-moves the plan may keep it"
        return "with --max-moves the plan may mend them" if broken else "none would bring what has no place down"
    fewest = ", the fewest" if told.get("proven") is True else ""
    left = "" if told.get("excess") == 0 else f" to an excess of {_number(told.get('excess'))}"
    words = [f"mend them{left}"] if broken else []
    if lacking and (told.get("excess") == 0 or not broken):
        words.append(f"bring `rules` to {_number(told.get('excess'))}" if left else "keep the reserve")
    if "over" in told:
        words.append(f"bring `excess` to {_number(told['over'])}")
    return f"{count(many, 'move')} would {' and '.join(words)}{fewest} (--max-moves {many})"


def _draw_drains(rows: Any, console: Console) -> None:
    """Draw of each host that is to be emptied whether it is: how many leave it, and who stays and why."""
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        host, left = visible(str(row.get("host"))), row.get("left")
        gone = f"{counted(row.get('moved'), 'VM')} with {_mib(row.get('moved_mib'))} leave it"
        if not isinstance(left, list) or not left:
            console.print(f"drain: {host} is emptied: {gone}", soft_wrap=True)
            continue
        proof = ", the fewest" if row.get("proven") else ""
        shown = [f"{one.get('vm')}: {one.get('why')}" for one in left[:_UNPLACED_SHOWN] if isinstance(one, dict)]
        if len(left) > len(shown):
            shown.append(f"and {len(left) - len(shown):,} more, named in the plan")
        draw_items(f"drain: {host} is not emptied: {gone}, {count(len(left), 'VM')} left{proof}", shown, console)


def _draw_soft(rows: Any, console: Console) -> None:
    """Draw the soft rules that the plan breaks."""
    if isinstance(rows, list) and rows:
        known = [row for row in rows if isinstance(row, dict)]
        shown = [
            f"{row.get('rule')}: excess {_number(row.get('excess'))}, of weight {_number(row.get('weight'))}"
            for row in known[:_UNPLACED_SHOWN]
        ]
        if len(known) > len(shown):
            shown.append(f"and {len(known) - len(shown):,} more, named in the plan")
        draw_items(f"soft rules broken: {count(len(known), 'rule')}", shown, console)


def _draw_idle(said: Any, console: Console) -> None:
    """Draw the hosts that can be switched off."""
    names = said.get("hosts") if isinstance(said, dict) else None
    if isinstance(names, list) and names:
        shown = ", ".join(visible(str(name)) for name in names[:_UNPLACED_SHOWN])
        more = f" and {len(names) - _UNPLACED_SHOWN:,} more" if len(names) > _UNPLACED_SHOWN else ""
        watts = _number(said.get("idle_watts"))
        console.print(
            f"can be switched off: {count(len(names), 'host')}, {watts} W idle: {shown}{more}", soft_wrap=True
        )


def _draw_shares(rows: Any, console: Console) -> None:
    """Draw the shares that goals of balance even out; a plan file may hold anything."""
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        title = f"{visible(str(row.get('goal')))}: {_OF.get(str(row.get('resource')), '')} by {row.get('places')}:"
        now = row.get("before")
        before = f"; before: {_shares(now)}" if isinstance(now, dict) else ""
        say(console, f"{title} {_shares(row)}{before}")


def _shares(row: Mapping[str, Any]) -> str:
    figures = [(name, row.get(name)) for name in ("highest", "lowest", "mean")]
    place = f" ({visible(str(row.get('highest_place')))})"
    return ", ".join(
        f"{name} {percent(value) if isinstance(value, int | float) else 'unknown'}{place if name == 'highest' else ''}"
        for name, value in figures
    )


def _draw_cycles(said: Any, console: Console) -> None:
    if isinstance(said, dict):
        console.print(
            f"circles of moves: {_number(said.get('found'))} found, {_number(said.get('left'))} left; "
            f"{visible(str(said.get('outcome')))}"
        )


def _draw_capacity(summary: Any, console: Console) -> None:
    """Draw used, reserved and free; a plan file may lack any of it."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("", "used", "reserved", "free", "of"):
        table.add_column(column, justify="right" if column else "left")
    for name, key in (("CPUs", "cpus"), ("memory", "memory_mib")):
        row = summary.get(key)
        if isinstance(row, dict):
            figures = [row.get(part) for part in ("used", "reserved", "free", "total")]
            if key == "memory_mib" and figures[-1] == 0:
                figures[2:] = [None, None]  # no host tells how much it has
            table.add_row(name, *(_mib(each) if key == "memory_mib" else _number(each) for each in figures))
    if table.row_count:
        console.print(table)
    slot = summary.get("largest_free_slot", "unknown")
    if isinstance(slot, dict):
        where = visible(f"{slot.get('host')} node {slot.get('node')}")
        cpus, size = counted(slot.get("cpus"), "CPU"), _mib(slot.get("memory_mib"))
        far = slot.get("memory_node")
        said = f"{cpus} and {size} on {where}" if far is None else f"{cpus} on {where} and {size} on node {far}"
        console.print(f"largest free slot: {said}", markup=False)
    elif slot is None:
        memory = summary.get("memory_mib")
        untold = isinstance(memory, dict) and memory.get("total") == 0
        console.print(f"largest free slot: {'unknown, no host tells its memory' if untold else 'none'}")


def _draw_failure(worst: Any, console: Console) -> None:
    title = "worst single host failure:"
    if worst is None:
        console.print(f"{title} unknown, for the time limit was past")
    if not isinstance(worst, dict):
        return
    if worst.get("host") is None:
        console.print(f"{title} no host holds a VM that could move")
        return
    lost, name = worst.get("vms_without_place"), visible(str(worst["host"]))
    looked, states = worst.get("states"), worst.get("states_in_all")
    tried = "alone was" if looked == 1 else f"{looked} were"
    seen = "" if looked == states else f" (of {states} kinds of host the fullest {tried} tried)"
    if lost == 0:
        console.print(f"{title} {name}; all its VMs find a NUMA-true place on the others{seen}")
        return
    proven = "" if worst.get("proven") else "; not proven, a solve might find one"
    console.print(
        f"{title} {name}; {counted(lost, 'VM')} with {counted(worst.get('vcpus_without_place'), 'vCPU')} "
        f"{'finds' if lost == 1 else 'find'} no NUMA-true place on the others{seen}{proven}"
    )


def _mib(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return "unknown"
    return amount(round(value * 1024)) if value >= 0 else f"-{amount(round(-value * 1024))}"


def _number(value: Any) -> str:
    return figure(value) if isinstance(value, (int, float)) else "unknown"
