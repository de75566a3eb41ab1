"""One host of a report as HTML, coloured by VM, with its legend; and as text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from placer.emit.report.boxes import Box, Core, colour_class, node_line
from placer.emit.report.hosts import NodeUse, Pattern
from placer.model.cpuset import format_cpuset
from placer.model.plan import Change
from placer.show.plan_map import MappedCell
from placer.show.words import CHANGE_WORDS, amount, visible


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


def host_map(inner: Sequence[Box | Core]) -> str:
    """Return boxes in boxes as HTML.

    The map is a picture to a screen reader: the legend beside it says the same in words.
    """
    pieces: list[str] = []
    _draw(inner, pieces)
    return "".join(pieces)


def _draw(inner: Sequence[Box | Core], out: list[str]) -> None:
    cores = False
    for one in inner:
        is_core = isinstance(one, Core)
        if is_core is not cores:
            out.append("<div class=cores>" if is_core else "</div>")
            cores = is_core
        if isinstance(one, Core):
            out.append(_core(one))
            continue
        words = f"<strong>{one.name}</strong> {html.escape(one.words)}" if one.words else one.name
        out.append(f"<div class={one.kind}><p>{words}</p>")
        if one.free_percent is not None:
            out.append(f'<u style="--f:{one.free_percent}%"></u>')
        _draw(one.inner, out)
        out.append("</div>")
    if cores:
        out.append("</div>")


def _core(core: Core) -> str:
    threads = "".join(f"<b class={one.colour}>{one.mark}<i>{one.cpu}</i></b>" for one in core.threads)
    return f'<span title="{html.escape(core.words)}">{threads}</span>'


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
                    node=format_cpuset(cell.across) or str(node.mapped.id),
                    vcpus=format_cpuset(cell.vcpus) or "none",
                    cpus=_cpus(cell),
                    # A cell with both kinds of vCPU holds its memory in its first line.
                    memory=amount(cell.memory_kib) if cell.memory_kib or not cell.floats else "",
                    change=_change(vm.change, vm.from_host, vm.host),
                )
            )
    return rows


def _cpus(cell: MappedCell) -> str:
    if cell.untold:
        return f"{len(cell.vcpus)} of {format_cpuset(cell.cpus)}, not known which"
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
