"""One host of a report as HTML: boxes in boxes from the socket down to the thread, coloured by VM; and as text."""

from __future__ import annotations

import html
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placer.emit.report.hosts import NodeUse, Pattern, owners
from placer.model.cpuset import format_cpuset
from placer.model.host import Topology
from placer.model.plan import Change
from placer.show.plan_map import FREE, MANY, RESERVED, SHARED, MappedCell
from placer.show.words import CHANGE_WORDS, amount, count, page, visible
from placer.topology.parts import Kind, Part

COLOURS = 12
"""Colours in the style sheet; beyond so many VMs on a host they come again, and the letter tells them apart."""
_IDLE = "-"
_MARK_PLACE = {mark: place for place, mark in enumerate(string.ascii_letters + string.digits[1:] + MANY)}
_TITLES = {Kind.PACKAGE: "socket", Kind.DIE: "die", Kind.NODE: "node", Kind.L3: "L3", Kind.CLUSTER: "cluster"}
_STATE_CLASS = {FREE: "f", RESERVED: "r", SHARED: "s", _IDLE: "i"}
_STATE_WORD = {FREE: "free", RESERVED: "reserved", SHARED: "shared by floating vCPUs", _IDLE: "kept idle"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendRow:
    """A cell on a node in words: whose it is, and where."""

    mark: str
    colour: str
    vm: str
    size: str
    cell: str
    node: str
    vcpus: str
    cpus: str
    memory: str
    change: str


def colour_class(mark: str) -> str:
    """Return the class that colours the CPUs of a VM's letter."""
    return f"v{_MARK_PLACE[mark] % COLOURS}"


def host_map(tree: Part, topology: Topology, nodes: Sequence[NodeUse], *, named: bool) -> str:
    """Return the nested boxes of a host, `tree` being the parts of its topology.

    With `named` a tooltip tells the VM, else only its letter.
    The map is a picture to a screen reader: the legend beside it says the same in words.
    """
    marks = _cpu_marks(nodes)
    says = {cpu: what if named else f"VM {mark}" for cpu, mark, what in owners(nodes)}
    lines = {node.mapped.id: node_line(node) for node in nodes}
    free = {node.mapped.id: 100 * max(0, node.free_kib) // node.room_kib for node in nodes if node.room_kib > 0}
    pieces: list[str] = []
    for part in tree.parts:
        _draw(part, tree, topology, marks, says, lines, free, pieces)
    return "".join(pieces)


def _cpu_marks(nodes: Sequence[NodeUse]) -> dict[int, str]:
    marks: dict[int, str] = {}
    for node in nodes:
        marks |= dict.fromkeys(node.cpus, FREE)
        marks |= dict.fromkeys(node.idle & node.cpus, _IDLE)
        marks |= dict.fromkeys(node.mapped.floating & node.cpus, SHARED)
        marks |= dict.fromkeys(node.mapped.reserved, RESERVED)
    marks |= {cpu: mark for cpu, mark, _ in owners(nodes)}
    return marks


def _draw(
    part: Part,
    around: Part,
    topology: Topology,
    marks: Mapping[int, str],
    says: Mapping[int, str],
    lines: Mapping[int, str],
    free: Mapping[int, int],
    out: list[str],
) -> None:
    if part.kind is Kind.CORE:
        out.append(_core(part, marks, says))
        return
    if part.kind is Kind.CPU:
        return
    boxed = part.kind is Kind.NODE or part.cpus != around.cpus or part.kind is Kind.PACKAGE
    if boxed:
        out.append(f"<div class={part.kind.value.lower()}><p>{_title(part, topology, lines)}</p>")
        if part.kind is Kind.NODE and part.number in free:
            out.append(f'<u style="--f:{free[part.number]}%"></u>')
    cores = False
    for inner in part.parts:
        is_core = inner.kind is Kind.CORE
        if is_core is not cores:
            out.append("<div class=cores>" if is_core else "</div>")
            cores = is_core
        _draw(inner, part, topology, marks, says, lines, free, out)
    out.append("</div>" * (cores + boxed))


def _title(part: Part, topology: Topology, lines: Mapping[int, str]) -> str:
    name = f"{_TITLES[part.kind]} {part.number}"
    if part.kind is not Kind.NODE:
        return name
    devices = [f"{device.kind} {device.address}" for device in topology.devices if device.node == part.number]
    told = [lines[part.number], *devices]
    return f"<strong>{name}</strong> {html.escape(visible(' · '.join(told)))}"


def _core(part: Part, marks: Mapping[int, str], says: Mapping[int, str]) -> str:
    cpus = sorted(part.cpus)
    threads = "".join(f"<b class={_class(marks[cpu])}>{marks[cpu]}<i>{cpu}</i></b>" for cpu in cpus)
    words = "; ".join(f"CPU {cpu}: {says[cpu] if cpu in says else _STATE_WORD[marks[cpu]]}" for cpu in cpus)
    return f'<span title="{html.escape(visible(f"core {part.number}. {words}"))}">{threads}</span>'


def _class(mark: str) -> str:
    return _STATE_CLASS.get(mark) or colour_class(mark)


def node_line(node: NodeUse) -> str:
    """Return in words what is free on a node."""
    mapped = node.mapped
    cpus = len(node.cpus)
    words = []
    if cpus:
        words.append(f"{len(node.free)} of {count(cpus, 'CPU')} free")
        words += [f"{len(mapped.floating)} shared"] if mapped.floating else []
        words += [f"{len(mapped.reserved)} reserved"] if mapped.reserved else []
        words += [f"{len(node.idle)} kept idle"] if node.idle else []
    if node.free_kib < 0:
        words.append(f"{amount(-node.free_kib)} of memory too much")
    elif node.room_kib:
        words.append(f"{amount(node.free_kib)} of {amount(node.room_kib)} free")
    words += [f"{pages:,} pages of {page(size)} free" for size, pages in sorted(node.free_pages.items())]
    return " · ".join(words)


def legend(pattern: Pattern, nodes: Sequence[NodeUse]) -> list[LegendRow]:
    """Return a row a cell and node; VMs are named where the pattern is one host, else told by their size."""
    alone = len(pattern.hosts) == 1
    rows = []
    for node in nodes:
        for cell in node.mapped.cells:
            vm = cell.vm
            rows.append(
                LegendRow(
                    mark=cell.mark,
                    colour="s" if cell.floats else colour_class(cell.mark),
                    vm=visible(vm.name) if alone else f"VM {cell.mark}",
                    size=f"{len(vm.pins)} × {amount(sum(each.memory_kib for each in vm.cells))}",
                    cell=str(cell.cell.id) if len(vm.cells) > 1 else "",
                    node=str(node.mapped.id),
                    vcpus=format_cpuset(cell.vcpus) or "none",
                    cpus=_cpus(cell),
                    # A cell with both kinds of vCPU holds its memory in its first line.
                    memory=amount(cell.memory_kib) if cell.memory_kib or not cell.floats else "",
                    change=_change(vm.change, vm.from_host, vm.host),
                )
            )
    return rows


def _cpus(cell: MappedCell) -> str:
    return f"floats over {format_cpuset(cell.cpus)}" if cell.floats else format_cpuset(cell.cpus) or "none"


def _change(change: Change, source: str | None, host: str) -> str:
    if change is Change.NONE:
        return ""
    words = CHANGE_WORDS[change]
    return f"{words}, from {visible(source)}" if source and source != host else words


def text_map(pattern: Pattern) -> str:
    """Return the host in a few lines of text: what is drawn where a report holds too many maps to draw them all."""
    alone = len(pattern.hosts) == 1
    lines = []
    for node in pattern.nodes:
        lines.append(f"node {node.mapped.id}: {node_line(node)}")
        if node.mapped.cores:
            lines.append(f"  {node.mapped.row()}")
        for cell in node.mapped.cells:
            name = visible(cell.vm.name) if alone else "VM"
            many = f" cell {cell.cell.id}" if len(cell.vm.cells) > 1 else ""
            lines.append(f"  {cell.mark} {name}{many}: {_cpus(cell)}, {amount(cell.memory_kib)}")
    return "\n".join(lines)
