"""``placer explain``: why a VM is where the plan has it, or what the plan as a whole pays for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import fleet_of_plan
from placer.cli.terminal import Terminal
from placer.errors import InputError
from placer.model.plan import Change
from placer.model.units import count
from placer.show.alternative_words import because, nodes_words
from placer.show.rows import MOST
from placer.show.words import CHANGE_WORDS, counted, figure, listed, percent, visible

if TYPE_CHECKING:
    from rich.console import Console

    from placer.explain.alternatives import Alternative
    from placer.explain.explain import FleetExplanation, Locality, VmExplanation
    from placer.explain.prices import RulePrice
    from placer.model.fleet import Fleet
    from placer.model.plan import Plan

_TOLERANCE = 1e-6


def explain(
    terminal: Terminal,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan; - reads standard input.")],
    vm: Annotated[
        str | None, typer.Argument(metavar="VM", help="One VM by name; without it the fleet is explained.")
    ] = None,
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plan says.")
    ] = None,
    time_limit: Annotated[
        str,
        typer.Option(
            "--time-limit",
            metavar="TIME",
            help="Time for the solve without each rule, such as 10s; six times as much in all.",
        ),
    ] = "10s",
    show_all: Annotated[bool, typer.Option("--all", help="Every other place of the VM, a row each.")] = False,
    topology: Annotated[
        bool, typer.Option("--topology", help="What sockets, cores and threads tell the guest of its host.")
    ] = False,
) -> Answer:
    """Say why a VM is where it is, or what each rule costs."""
    from placer.explain.explain import explain_fleet, explain_vm
    from placer.read.documents.plan_file import read_plan

    limit_s = parse_duration_s(time_limit, "--time-limit")
    model = read_plan(plan)
    source = fleet_of_plan(model, plan, fleet, terminal)
    if topology:
        return _topology(model, source, vm)
    if vm is not None:
        one = explain_vm(source, model, vm)
        return Answer(data=lambda: asdict(one), text=lambda console: _draw_vm(one, console, None if show_all else MOST))
    whole = explain_fleet(source, model, time_limit_s=limit_s)
    return Answer(data=lambda: _fleet_data(whole), text=lambda console: _draw_fleet(whole, console))


def _topology(plan: Plan, fleet: Fleet, name: str | None) -> Answer:
    from placer.emit.domain.cpu_topology import topology_shown
    from placer.emit.domain.elements import guest_distances
    from placer.emit.domain.files import source_xml
    from placer.explain.guest_topology import guest_topologies
    from placer.read.domains.distances import told_distances
    from placer.read.text.xml import parse_xml
    from placer.show.topology_words import draw_guest_topology

    planned = None if name is None else plan.vm_by_name.get(name)
    if planned is None:
        what = "--topology is of one VM" if name is None else f"the plan has no place for a VM {name!r}"
        raise InputError(what, field="VM", cure="name a VM that the plan places")
    known, host = fleet.vm_by_name[planned.name], fleet.host_by_name[planned.host]
    xml = source_xml(known, fleet)
    shown = topology_shown(planned, known.spec, host, xml)
    found = guest_topologies(planned, host.topology, shown)
    if planned.shown and len(planned.cells) > 1 and all(cell.nodes for cell in planned.cells):
        real = guest_distances(planned.cells, host.topology)
        told = real if xml is None or planned.new_cells else told_distances(parse_xml(xml, planned.name))
        if told is not None:
            found = replace(found, told=tuple(map(tuple, told)), real=tuple(map(tuple, real)))
    return Answer(data=lambda: asdict(found), text=lambda console: draw_guest_topology(found, console))


def _fleet_data(whole: FleetExplanation) -> dict[str, Any]:
    from placer.cli.plans.conflict import conflict_data

    data = asdict(replace(whole, conflict=None))
    data["conflict"] = None if whole.conflict is None else conflict_data(whole.conflict)
    for price in data["prices"]:
        price["proven"] = sorted(price["proven"])
        price["costs"] = dict(price["costs"])
    return data


def _draw_vm(one: VmExplanation, console: Console, most: int | None) -> None:
    from placer.show.rows import draw_rows

    if one.host is None:
        _say(console, f"{visible(one.name)} has no place: {one.reason or 'the plan does not say why'}")
    else:
        nodes = nodes_words(one.cpu_nodes, one.memory_nodes)
        share, extra = percent(one.remote_share), counted(one.remote_access, "vCPU")
        _say(console, f"{visible(one.name)} is on {visible(one.host)}, {nodes}")
        change = CHANGE_WORDS[Change(one.change)]
        if one.devices:
            _say(console, f"devices: {', '.join(map(visible, one.devices))}")
        _say(console, f"remote accesses {share}, remote access {extra}; change: {change}")
    if one.binding is not None:
        later, soon = one.binding
        said = f"expected to save {figure(round(later, 3))} once its memory is there, {figure(round(soon, 3))} at once"
        _say(console, f"it floats; bound to a node it is {said} (vCPU equivalents): pin: must, or solve --pin worth")
    if one.moved_by is not None:
        _say(console, f"why it moves: {one.moved_by}")
    places = [place for place in one.alternatives.places if not place.planned]
    if places:
        judged = Counter(place.verdict.value for place in places for _ in place.hosts)
        told = ", ".join(
            f"{judged[verdict]:,} {verdict}" for verdict in ("SAFE", "WORSE", "BLOCKED") if judged[verdict]
        )
        _say(console, f"other places: {told}; the best first, those that are alike together")
        rows = _rows(places) if most is not None else [_row((place,)) for place in places]
        draw_rows(("place", "nodes", "verdict", "because"), rows, console, most=most, rest="--all")
    else:
        _say(console, "there is no other place of its size on any host")
    if one.alternatives.hosts_left_out:
        _say(console, f"{count(one.alternatives.hosts_left_out, 'more host')} not looked at")


def _rows(places: Sequence[Alternative]) -> list[tuple[str, ...]]:
    """Return a row for all places of the same verdict for the same reason."""
    groups: dict[tuple[object, ...], list[Alternative]] = {}
    for place in places:
        groups.setdefault((place.verdict, place.constraint or because(place), place.now), []).append(place)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[Alternative]) -> tuple[str, ...]:
    first = group[0]
    hosts = list(dict.fromkeys(visible(host) for place in group for host in place.hosts))
    nodes = dict.fromkeys(
        nodes_words(place.cpu_nodes, place.memory_nodes) if place.cpu_nodes else "any" for place in group
    )
    where = listed(hosts, 2) + (" (now)" if first.now else "")
    why = because(first) if len(group) == 1 else first.constraint or because(first)
    return where, listed(list(nodes), 2), first.verdict.value, why


def _draw_fleet(whole: FleetExplanation, console: Console) -> None:
    from rich.table import Table

    at = whole.locality
    _say(console, _lead(at))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("", "VMs", "remote access", "locality score"):
        table.add_column(column, justify="left" if not column else "right")
    if at.vms_now:
        table.add_row("on known nodes now", figure(at.vms_now), figure(at.remote_access_now), figure(at.locality_now))
        table.add_row(
            "the same as planned", figure(at.vms_now), figure(at.remote_access_same), figure(at.locality_same)
        )
    table.add_row("all planned", figure(at.vms_planned), figure(at.remote_access_planned), figure(at.locality_planned))
    table.add_row("bound of all", "", figure(at.remote_access_bound), "")
    console.print(table)
    if whole.conflict is not None:
        from placer.cli.plans.conflict import conflict_lines

        for line in conflict_lines(whole.conflict):
            _say(console, line)
    if whole.prices:
        _say(console, "\nwhat each rule costs")
    for price in whole.prices:
        _say(console, f"  {visible(price.rule)}: {_cost(price)}")
    if whole.not_priced:
        left = listed([visible(rule) for rule in whole.not_priced], 5)
        _say(console, f"  not priced, for want of time (--time-limit): {left}")
    if whole.costly:
        _say(console, "\nVMs that cost most")
        costs = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for column in ("VM", "host", "remote access", "remote accesses"):
            costs.add_column(column, justify="right" if column.startswith("remote") else "left", overflow="fold")
        for vm in whole.costly:
            names = (_plain(visible(vm.name)), _plain(visible(vm.host)))
            costs.add_row(*names, figure(vm.remote_access), percent(vm.remote_share))
        console.print(costs)


def _lead(at: Locality) -> str:
    """Return what the plan pays in remote access, before and after, and how much less it could be."""
    paid, bound = at.remote_access_planned, at.remote_access_bound
    least = (
        "how little it could be is not known"
        if bound is None
        else "no plan within its goals and limits has less"
        if paid <= bound + _TOLERANCE
        else f"no plan within its goals and limits has less than {figure(bound)}"
    )
    before = f", {figure(at.remote_access_now)} now where it is known" if at.vms_now else ""
    return f"Remote access of the plan is {counted(paid, 'vCPU')}{before}; {least}."


def _cost(price: RulePrice) -> str:
    if price.failed is not None:
        return f"unknown: {price.failed}"
    most = ""
    if price.at_most is not None:
        goal, by = price.at_most
        most = f"; {goal} at most {figure(by)}, by the bound" if by else ""
    if not price.costs:
        return "nothing, proven" if price.at_most is None and price.proven else f"nothing was found{most}"
    parts = []
    for goal, by in price.costs:
        proof = "" if goal in price.proven else " (not proven)"
        parts.append(f"{goal} {'+' if by > 0 else ''}{figure(by)}{proof}")
    return ", ".join(parts) + most


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)
