"""Scenarios side by side: a table with bars, what each changed, and the same as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from placer.model.units import count
from placer.show.reserve_words import reserve_in_short, reserve_sentences
from placer.show.words import amount, figure, lacking, listed, no_formula, percent, visible

if TYPE_CHECKING:
    from rich.console import Console

Row = dict[str, Any]
BAR = 24
MOST_FAILURES = 10
MOST_REASONS = 5
MOST_DRAINED = 5
"""Hosts that are emptied are named up to so many."""
MOST_LEFT = 5
"""VMs left on a host that are named in a line."""
_SHORTCUTS = {"slack": "harmless by slack alone", "alike": "just like another"}
_EIGHTHS = " ▏▎▍▌▋▊▉"


def draw_comparison(rows: Sequence[Row], flavors: Sequence[str], console: Console) -> None:
    """Draw what becomes of the VMs, the table, a chart of remote access and headroom, and what each changed."""
    from rich.table import Table

    for sentence in answers(rows):
        console.print(sentence, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("scenario", overflow="fold")
    said = [_with_policy(rows, flavor) for flavor in flavors]
    reserved = any(row.get("reserve") for row in rows)
    kept = ["reserve"] if reserved else []
    for heading in ("placed", "rules", *kept, "remote", "locality", "hosts", *said, "moves", "bound", "gap"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = _cells(row, flavors, reserved=reserved) if "placed" in row else [row["status"]]
        table.add_row(visible(row["name"]), *cells)
    console.print(table)
    _chart(rows, "remote access", [row.get("remote_access") for row in rows], console)
    for flavor, heading in zip(flavors, said, strict=True):
        _chart(rows, f"headroom of {heading}", [_headroom(row, flavor) for row in rows], console)
    for number, line in enumerate(_notes(rows)):
        console.print(f"\n{line}" if number == 0 else line, soft_wrap=True)


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what each scenario changed, why it has no plan or VMs have no place, and what became of its drains."""
    for row in rows[1:]:
        yield f"{visible(row['name'])}: {visible('; '.join(row['changes']))}"
    for row in rows:
        name = visible(row["name"])
        if "reason" in row:
            yield f"{name}: {row['status']}: {visible(row['reason'])}"
        for line in (*_drains(row.get("drains", ())), *reserve_sentences(row.get("reserve"))):
            yield f"{name}: {line}"
        soft = sum(goal["value"] or 0 for goal in row.get("goals", ()) if _is_soft(goal["name"]))
        if soft:
            yield f"{name}: soft rules are broken by {figure(soft)}, times their weights"
        reasons = sorted(row.get("unplaced", {}).items(), key=lambda one: -one[1])
        for reason, vms in reasons[:MOST_REASONS]:
            yield f"{name}: {vms} without a place: {visible(reason)}"
        if rest := sum(vms for _, vms in reasons[MOST_REASONS:]):
            yield f"{name}: {rest:,} more without a place, for other reasons"


def _is_soft(goal: str) -> bool:
    return goal.partition("~")[0].partition(":")[0] == "soft"


def answers(rows: Sequence[Row]) -> Iterator[str]:
    """Yield in which scenarios VMs have no place or rules stay broken; one sentence where all is well."""
    well = True
    for row in rows[1:] or rows:
        name = visible(row["name"])
        if "placed" not in row:
            well = False
            yield f"{name}: {row['status']}."
            continue
        if row["placed"] < row["vms"]:
            well = False
            yield f"{name}: {row['vms'] - row['placed']:,} of {count(row['vms'], 'VM')} without a place."
        if broken := _broken_rules(row):
            well = False
            yield f"{name}: {broken}."
        if over := row.get("over"):
            well = False
            yield f"{name}: VMs that run would take {lacking(over['parts'])} more than their hosts have" + (
                f": {visible(over['why'])}." if over["why"] else "; moves may mend it (--max-moves)."
            )
        short = [one for one in row.get("reserve", ()) if not one["proven"]]
        if short:
            well = False
            yield f"{name}: {len(short)} of {count(len(row['reserve']), 'reserve rule')} not proven to be kept."
    if well and len(rows) > 2:
        yield f"Every VM has a place in all {count(len(rows) - 1, 'scenario')}."
    elif well:
        yield f"Every VM has a place in {'scenario ' if len(rows) > 1 else ''}{visible(rows[-1]['name'])}."
    for row in rows:
        yield from _sweep_answers(row)


def _broken_rules(row: Row) -> str:
    """Return by how much rules stay broken, and whether less is possible; nothing where none is."""
    goal = next((goal for goal in row["goals"] if goal["name"].partition("~")[0] == "rules"), None)
    if goal is None or not goal["value"]:
        return ""
    said = f"rules{', drains among them,' if row.get('drains') else ''} stay broken by {figure(goal['value'])}"
    if any(one["name"].partition("~")[0] == "moves" for one in row["goals"]):
        return f"{said}; moves may mend it (--max-moves)"
    return f"{said}, the least that is possible" if goal["status"] == "optimal" else said


def _sweep_answers(row: Row) -> Iterator[str]:
    """Yield what the failures of a scenario, each by itself, would do, and what can be emptied."""
    name, sweep, drains = visible(row["name"]), row.get("failures"), row.get("drain_each")
    if sweep is not None:
        harmful, unknown = (sum(one["ways"] for one in sweep[which]) for which in ("harmful", "unknown"))
        many = sweep["combinations"]
        told = []
        if harmful:
            worst = sweep["harmful"][0]
            where = visible(" + ".join(worst["domains"]))
            lost = f"{worst['vms_lost']:,} of {count(worst['vms'], 'VM')}"
            told.append(f"{harmful:,} of {many:,} leave VMs without a place, at worst {where} {lost}")
        if unknown:
            told.append(f"of {unknown:,} of {many:,} it is not known")
        said = ", ".join(told) or f"after each of {many:,} every VM finds a NUMA-true place (proven)"
        yield f"{name}: failures by {visible(sweep['scope'])}: {said}."
    if drains is not None:
        can = sum(one["emptied"] for one in drains)
        yield f"{name}: {can:,} of {len(drains):,} can be emptied today."


def _drains(found: Sequence[Any]) -> Iterator[str]:
    """Yield what becomes of hosts that are to be emptied; where many are, all that are emptied in one line."""
    emptied = [one for one in found if not one["left"]]
    if len(emptied) > MOST_DRAINED:
        vms, mib = (sum(one[key] for one in emptied) for key in ("moved", "moved_mib"))
        memory = amount(round(mib * 1024))
        yield f"{count(len(emptied), 'host')} are emptied: {count(vms, 'VM')} with {memory} leave them"
    else:
        yield from map(_drained, emptied)
    held = [one for one in found if one["left"]]
    yield from map(_drained, held[:MOST_FAILURES])
    if len(held) > MOST_FAILURES:
        yield f"{count(len(held) - MOST_FAILURES, 'more host')} not emptied"


def _drained(one: Any) -> str:
    """Return whether a host is emptied: how many leave it, and who stays and why."""
    host = visible(one["host"])
    gone = f"{count(one['moved'], 'VM')} with {amount(round(one['moved_mib'] * 1024))} leave it"
    if not one["left"]:
        return f"{host} is emptied: {gone}"
    stay = listed([f"{visible(left['vm'])}: {visible(left['why'])}" for left in one["left"]], MOST_LEFT)
    proof = ", the fewest" if one["proven"] else ""
    return f"{host} is not emptied: {gone}, {count(len(one['left']), 'VM')} left{proof} ({stay})"


def draw_failures(rows: Sequence[Row], console: Console) -> None:
    """Draw what the failures of each scenario would do, the worst first."""
    for row in rows:
        sweep = row.get("failures")
        if sweep is None:
            continue
        together = {1: f"each {sweep['scope']}", 2: f"each pair by {sweep['scope']}"}
        what = together.get(sweep["at_once"], f"each {sweep['at_once']} by {sweep['scope']}")
        answered = [f"{sweep['solved']} solved"]
        answered += [f"{sweep[key]} {words}" for key, words in _SHORTCUTS.items() if sweep[key]]
        console.print(
            f"\n{visible(row['name'])}: {what} failing, {sweep['combinations']} in all ({', '.join(answered)})",
            soft_wrap=True,
        )
        if not sweep["harmful"] and not sweep["unknown"]:
            console.print("  every VM finds a NUMA-true place: proven")
        for one in sweep["harmful"][:MOST_FAILURES]:
            names = "" if one["lost"] is None else ": " + listed([visible(name) for name in one["lost"]], 5)
            proof = "proven" if one["proven"] else "not proven: a longer search may find one"
            domains = visible(" + ".join(one["domains"]))
            domains += f" and {count(one['ways'] - 1, 'failure')} like it" if one["ways"] > 1 else ""
            console.print(
                f"  {domains}: {count(one['vms_lost'], 'VM')} of {one['vms']} without a place ({proof}){names}",
                soft_wrap=True,
            )
        if len(sweep["harmful"]) > MOST_FAILURES:
            more = sum(one["ways"] for one in sweep["harmful"][MOST_FAILURES:])
            console.print(f"  and {more:,} more failures that leave VMs without a place")
        for one in sweep["unknown"][:MOST_FAILURES]:
            console.print(f"  {visible(' + '.join(one['domains']))}: not known: {visible(one['why'])}", soft_wrap=True)
        if len(sweep["unknown"]) > MOST_FAILURES:
            more = sum(one["ways"] for one in sweep["unknown"][MOST_FAILURES:])
            console.print(f"  and {more:,} more that are not known")
        if sweep["spares"] is not None:
            console.print(_spares(sweep), soft_wrap=True)


def draw_drains(rows: Sequence[Row], console: Console) -> None:
    """Draw which hosts of each scenario can be emptied, with how many moves, and who stays where one cannot.

    Those that cannot come first, then those that most VMs leave.
    """
    from placer.show.rows import draw_rows

    for row in rows:
        found = row.get("drain_each")
        if found is None:
            continue
        console.print(f"\n{visible(row['name'])}: what emptying each by itself takes", soft_wrap=True)
        table = []
        for one in sorted(found, key=lambda one: (one["emptied"], -one["vms"])):
            stay = listed([f"{visible(left['vm'])}: {visible(left['why'])}" for left in one["left"]], MOST_LEFT)
            proof = "" if one["proven"] or not one["left"] else " (not proven)"
            moved = one["moved_mib"]
            table.append(
                (
                    visible(one["domain"]),
                    figure(one["vms"]),
                    figure(one["live_moves"]),
                    figure(one["restarts"]),
                    "unknown" if moved is None else amount(round(moved * 1024)),
                    one["status"] if moved is None else f"{stay}{proof}" or "none",
                )
            )
        titles = ("emptied", "VMs#", "live moves#", "restarts#", "memory#", "left")
        draw_rows(titles, table, console, rest="--output FILE.json")


def _spares(sweep: Any) -> str:
    spares, scope = sweep["spares"], visible(sweep["scope"])
    like = listed([f"{visible(name)}" for name in spares["like"]], 4)
    each = " for each that fails" if sweep["at_once"] > 1 else ""
    like += "" if scope == "host" else f" in a new {scope}{each}"
    if spares["hosts"] is None:
        return f"  no number of spare hosts like {like} was found to survive the worst of them"
    proof = "proven: fewer do not" if spares["proven"] else "not proven to be the fewest"
    return f"  to survive the worst: {count(spares['hosts'], 'spare host')} like {like} ({proof})"


def _cells(row: Row, flavors: Sequence[str], *, reserved: bool) -> list[str]:
    moves = row["migrations"] + row["node_changes"]
    open_goal = first_open(row)
    gap = open_goal["gap"] if open_goal is not None else 0.0
    bound = "proven" if open_goal is None else f"{open_goal['name']} {figure(open_goal['bound'])}"
    return [
        f"{row['placed']}/{row['vms']}",
        figure(next((goal["value"] for goal in row["goals"] if goal["name"] == "rules"), None)),
        *([reserve_in_short(row.get("reserve", ()))] if reserved else []),
        figure(row["remote_access"]),
        figure(row["locality_score"], 1),
        f"{row['hosts_used']}/{row['hosts']}",
        *(figure(_headroom(row, flavor)) for flavor in flavors),
        figure(moves),
        bound,
        percent(gap),
    ]


def first_open(row: Row) -> Any:
    """Return the first goal of a row that is not proven, None where all are."""
    return next((goal for goal in row["goals"] if goal["status"] != "optimal"), None)


def _with_policy(rows: Sequence[Row], flavor: str) -> str:
    """Return a flavor with the policy that it was counted with."""
    policies = (row["headroom"][flavor].get("policy") for row in rows if flavor in row.get("headroom", {}))
    policy = next(policies, None)
    return flavor if policy is None or ":" in flavor else f"{flavor}:{policy}"


def _headroom(row: Row, flavor: str) -> int | None:
    found = row.get("headroom", {}).get(flavor)
    return None if found is None else int(found["fit"])


def _chart(rows: Sequence[Row], what: str, values: Sequence[float | None], console: Console) -> None:
    most = max((value for value in values if value is not None), default=0)
    if not most or len(rows) < 2:
        return
    console.print(f"\n{what}")
    width = max(len(visible(row["name"])) for row in rows)
    for row, value in zip(rows, values, strict=True):
        bar = "" if value is None else _bar(value / most)
        console.print(f"  {visible(row['name']):<{width}}  {bar} {figure(value)}", soft_wrap=True)


def _bar(share: float) -> str:
    eighths = round(share * BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def comparison_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV, one a scenario; what is not known is empty."""
    flavors = list(dict.fromkeys(flavor for row in rows for flavor in row.get("headroom", {})))
    goals = list(dict.fromkeys(goal["name"] for row in rows for goal in row.get("goals", ())))
    rules = list(dict.fromkeys(rule["rule"] for row in rows for rule in row.get("reserve", ())))
    plain = (
        "name",
        "status",
        "vms",
        "placed",
        "vcpus_placed",
        "remote_access",
        "locality_score",
        "hosts_used",
        "hosts",
        "migrations",
        "node_changes",
        "restarts",
    )
    heading = [*plain, *(f"headroom {_with_policy(rows, flavor)}" for flavor in flavors)]
    heading += [f"{goal} {part}" for goal in goals for part in ("value", "bound", "gap")]
    heading += [f"{rule} {part}" for rule in rules for part in ("value", "bound")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([no_formula(title) for title in [*heading, "changes", "reason"]])
    for row in rows:
        found = {goal["name"]: goal for goal in row.get("goals", ())}
        cells = [row.get(key) for key in plain] + [_headroom(row, flavor) for flavor in flavors]
        cells += [found.get(goal, {}).get(part) for goal in goals for part in ("value", "bound", "gap")]
        room = {rule["rule"]: rule for rule in row.get("reserve", ())}
        cells += [room.get(rule, {}).get(part) for rule in rules for part in ("value", "bound")]
        writer.writerow([no_formula(cell) for cell in [*cells, "; ".join(row["changes"]), row.get("reason")]])
    return out.getvalue()
