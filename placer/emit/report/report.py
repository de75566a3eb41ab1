"""A plan as one HTML file that asks nothing of any network: for a browser, a printer, a screen reader."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from placer.emit.report.boxes import host_boxes
from placer.emit.report.columns import columns_text
from placer.emit.report.hosts import NodeUse, Pattern, find_patterns
from placer.emit.report.map import LegendRow, host_map, legend, text_map
from placer.emit.report.page import Since, plan_page, source, template
from placer.emit.report.sections import Sheet, columns
from placer.model.fleet import Fleet
from placer.model.goals import HeadroomFlavor
from placer.model.host import Topology
from placer.model.plan import Plan
from placer.model.units import count
from placer.read.documents.comparison_file import Scenario
from placer.show.heat import shades
from placer.show.words import amount, figure, listed, visible
from placer.topology.parts import Part, part_tree

SCRIPTS = ("tables.js", "map.js", "report.js")
"""The scripts of a report, one after the other."""
MAP_BYTES = 4_000_000
"""Drawn maps in one report; patterns beyond are told in lines of text, so that the file stays small."""
REPORT_BYTES = 13_500_000
"""What maps and lines may come to in all; the last of the patterns beyond are only listed."""
_HOST_BYTES = 450
"""About what a host takes beside its map or lines: its row, and its part with title and frame."""
OPENED = 6
"""Patterns that are open when the report is opened."""
_NAMES_LISTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """A pattern of hosts as the template draws it: a map with its legend, or `text` in place of both."""

    number: int
    title: str
    about: str
    opened: bool
    map: str
    legend: Sequence[LegendRow]
    map_now: str
    text: str
    hosts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heat:
    """The distances of one shape of host: node ids and rows of (figure, background, ink)."""

    title: str
    node_ids: Sequence[int]
    rows: Sequence[Sequence[tuple[str, str, str]]]


def report_html(
    plan: Plan,
    fleet: Fleet,
    *,
    flavors: Sequence[HeadroomFlavor] = (),
    scenarios: Sequence[Scenario] = (),
    since: Since | None = None,
) -> str:
    """Return the report of a plan.

    Parameters
    ----------
    plan, fleet
        A plan that `check` accepts and the fleet it was made for.
    flavors
        Sizes to count the headroom of; the fleet's commonest where there are none.
    scenarios
        A comparison of ``placer whatif``, to be charted beside the plan.
    since
        An earlier state of the fleet, to be told beside the plan.

    Returns
    -------
    str
        HTML with its styles and script inside, and a policy that forbids it any request. Hosts of equal shape and
        content are drawn once and listed by name, so that 10,000 of them stay below 15 MB.
    """
    patterns = find_patterns(fleet, plan)
    number_of = {host.name: pattern.number for pattern in patterns for host in pattern.hosts}
    page = plan_page(
        fleet,
        plan,
        flavors=flavors,
        scenarios=scenarios,
        patterns=[number_of[host.name] for host in fleet.hosts],
        since=since,
    )
    script = "\n".join(source(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = columns_text(page.map)
    return template("report.html.j2").render(
        **page.context,
        plan=plan,
        skip_to="hosts",
        script=script,
        script_digest=digest,
        style=source("report.css"),
        columns=data,
        hosts=_host_sheet(patterns),
        links=[pattern.number for pattern in patterns for _ in pattern.hosts],
        heats=_heats(patterns),
        sections=list(_sections(patterns, REPORT_BYTES - len(data))),
    )


def _host_sheet(patterns: Sequence[Pattern]) -> Sheet:
    rows = []
    for pattern in patterns:
        nodes = pattern.nodes
        figures = (
            f"{len(pattern.vms[0]):,}",
            f"{sum(len(node.cpus) for node in nodes):,}",
            f"{sum(node.free for node in nodes):,}",
            f"{max((node.free for node in nodes), default=0):,}",
            amount(sum(max(0, node.free_kib) for node in nodes)),
        )
        rows += [(visible(host.name), *figures) for host in pattern.hosts]
    return Sheet(
        caption="All hosts",
        columns=columns("host", "VMs#", "CPUs#", "free CPUs#", "most free on a node#", "free memory#"),
        rows=rows,
    )


def _heats(patterns: Sequence[Pattern]) -> list[_Heat]:
    """Return the distances of every shape with several nodes, each different matrix once."""
    found: dict[tuple[object, ...], tuple[Topology, list[str]]] = {}
    for pattern in patterns:
        topology = pattern.topology
        if len(topology.nodes) > 1:
            key = (topology.node_ids, topology.distances)
            found.setdefault(key, (topology, []))[1].extend(visible(host.name) for host in pattern.hosts)
    return [
        _Heat(
            title=f"{count(len(names), 'host')}: {listed(names, _NAMES_LISTED)}",
            node_ids=topology.node_ids,
            rows=[
                [(figure(value, 1), back, ink) for value, (back, ink) in zip(row, colours, strict=True)]
                for row, colours in zip(topology.distances, shades(topology.distances), strict=True)
            ],
        )
        for topology, names in found.values()
    ]


def _sections(patterns: Sequence[Pattern], most_bytes: int) -> Iterator[_Section]:
    """Yield the patterns; maps go to those that the plan changes and that most hosts share, while there is room."""
    texts = {pattern.number: text_map(pattern) for pattern in patterns}
    room = most_bytes - sum(_HOST_BYTES * len(pattern.hosts) for pattern in patterns)
    maps_room = min(MAP_BYTES, room - sum(len(text.encode()) for text in texts.values()))
    drawn: dict[int, _Drawn] = {}
    trees: dict[int, Part] = {}
    for pattern in sorted(patterns, key=_importance):
        if pattern.shape not in trees:
            trees[pattern.shape] = part_tree(pattern.topology)
        maps = _draw(pattern, trees[pattern.shape])
        if maps.size > maps_room:
            break
        drawn[pattern.number] = maps
        maps_room -= maps.size
        room -= maps.size
    for pattern in patterns:
        text = "" if pattern.number in drawn else texts[pattern.number]
        room -= len(text.encode())
        yield _section(pattern, drawn.get(pattern.number, _NOT_DRAWN), text if room > 0 else "")


def _importance(pattern: Pattern) -> tuple[bool, bool, int, int]:
    return not pattern.changed, not pattern.vms[0], -len(pattern.hosts), pattern.number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """The maps of a pattern as planned and as it is now, and the rows of the legend."""

    planned: str = ""
    now: str = ""
    legend: Sequence[LegendRow] = ()

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.planned.encode()) + len(self.now.encode()) + _LEGEND_ROW_BYTES * len(self.legend)


_NOT_DRAWN = _Drawn()
_LEGEND_ROW_BYTES = 160


def _draw(pattern: Pattern, tree: Part) -> _Drawn:
    return _Drawn(
        planned=_map(pattern, tree, pattern.nodes),
        now=_map(pattern, tree, pattern.nodes_now),
        legend=legend(pattern, pattern.nodes),
    )


def _section(pattern: Pattern, drawn: _Drawn, text: str) -> _Section:
    names = [visible(host.name) for host in pattern.hosts]
    members = [(name, ", ".join(visible(vm.name) for vm in vms)) for name, vms in zip(names, pattern.vms, strict=True)]
    return _Section(
        number=pattern.number,
        title=listed(names, _NAMES_LISTED),
        about=_about(pattern),
        opened=pattern.number <= OPENED,
        map=drawn.planned,
        map_now=drawn.now,
        legend=drawn.legend,
        text=text,
        hosts=members if len(names) > 1 else (),
    )


def _map(pattern: Pattern, tree: Part, nodes: Sequence[NodeUse]) -> str:
    return host_map(host_boxes(tree, pattern.topology, nodes, named=len(pattern.hosts) == 1)) if nodes else ""


def _about(pattern: Pattern) -> str:
    vms, topology = pattern.vms[0], pattern.topology
    words = [count(len(pattern.hosts), "host")] if len(pattern.hosts) > 1 else []
    words += [
        count(len(vms), "VM"),
        f"{sum(node.free for node in pattern.nodes):,} of {len(topology.cpus):,} CPUs free",
    ]
    words += ["changed by the plan"] if pattern.changed else []
    words += ["failed"] if pattern.hosts[0].failed else []
    return ", ".join(words)
