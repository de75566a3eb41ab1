"""One host as boxes in boxes, from the socket down to the thread: what every picture of a report is drawn from."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placer.emit.report.hosts import NodeUse, owners
from placer.model.host import Topology
from placer.model.units import count
from placer.show.plan_map import FREE, MANY, RESERVED, SHARED, UNTOLD
from placer.show.words import amount, page, visible
from placer.topology.parts import Kind, Part

COLOURS = 12
"""Colours in the style sheet; beyond so many VMs on a host they come again, and the letter tells them apart."""
_IDLE = "-"
_MARK_PLACE = {mark: place for place, mark in enumerate(string.ascii_letters + string.digits[1:] + MANY)}
_NAMES = {Kind.PACKAGE: "socket", Kind.DIE: "die", Kind.NODE: "node", Kind.L3: "L3", Kind.CLUSTER: "cluster"}
_STATE_CLASS = {FREE: "f", RESERVED: "r", SHARED: "s", _IDLE: "i", UNTOLD: "s"}
_STATE_WORD = {
    FREE: "free",
    RESERVED: "reserved",
    SHARED: "shared by floating vCPUs",
    _IDLE: "kept idle",
    UNTOLD: "free or a vCPU's own, not known which",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A CPU: its number, the mark of what has it and the class that colours that."""

    cpu: int
    mark: str
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The threads of a core, and in words what runs on them."""

    words: str
    threads: tuple[Thread, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of a host: its name, what is said beside it, how much of its memory for VMs is free (%), what is in it."""

    kind: str
    name: str
    words: str
    free_percent: int | None
    inner: tuple[Box | Core, ...]


def host_boxes(
    tree: Part, topology: Topology, nodes: Sequence[NodeUse], *, named: bool = True
) -> tuple[Box | Core, ...]:
    """Return what is in a host, `tree` being the parts of its topology.

    With `named` a core tells its VMs, else only their letters.
    """
    drawing = _Drawing(
        topology=topology,
        marks=_cpu_marks(nodes),
        says={cpu: what if named else f"VM {mark}" for cpu, mark, what in owners(nodes)},
        lines={node.mapped.id: node_line(node) for node in nodes},
        free={node.mapped.id: 100 * max(0, node.free_kib) // node.room_kib for node in nodes if node.room_kib > 0},
    )
    return drawing.inside(tree)


def colour_class(mark: str) -> str:
    """Return the class that colours the CPUs of a VM's letter."""
    return f"v{_MARK_PLACE[mark] % COLOURS}"


def node_line(node: NodeUse) -> str:
    """Return in words what is free on a node."""
    mapped = node.mapped
    cpus = len(node.cpus)
    words = []
    if cpus:
        words.append(f"{node.free} of {count(cpus, 'CPU')} free")
        words += [f"{node.untold} taken, not known which"] if node.untold else []
        words += [f"{len(mapped.floating)} shared"] if mapped.floating else []
        words += [f"{len(mapped.reserved)} reserved"] if mapped.reserved else []
        words += [f"{len(node.idle)} kept idle"] if node.idle else []
    if node.free_kib < 0:
        words.append(f"{amount(-node.free_kib)} of memory too much")
    elif node.room_kib:
        words.append(f"{amount(node.free_kib)} of {amount(node.room_kib)} free")
    words += [f"{count(pages, 'page')} of {page(size)} free" for size, pages in sorted(node.free_pages.items())]
    return " · ".join(words)


def _cpu_marks(nodes: Sequence[NodeUse]) -> dict[int, str]:
    marks: dict[int, str] = {}
    for node in nodes:
        marks |= dict.fromkeys(node.cpus, FREE)
        for cell in node.mapped.cells:
            if cell.untold:
                marks |= dict.fromkeys(cell.cpus & node.cpus, UNTOLD)
        marks |= dict.fromkeys(node.idle & node.cpus, _IDLE)
        marks |= dict.fromkeys(node.mapped.floating & node.cpus, SHARED)
        marks |= dict.fromkeys(node.mapped.reserved, RESERVED)
    marks |= {cpu: mark for cpu, mark, _ in owners(nodes)}
    return marks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """What is known of one host: the mark and the holder of each CPU, a line and the free share (%) of each node."""

    topology: Topology
    marks: Mapping[int, str]
    says: Mapping[int, str]
    lines: Mapping[int, str]
    free: Mapping[int, int]

    def inside(self, around: Part) -> tuple[Box | Core, ...]:
        """Return what is in a part; one that holds all of the part around it is no box of its own."""
        found: list[Box | Core] = []
        for part in around.parts:
            if part.kind is Kind.CORE:
                found.append(self._core(part))
            elif part.kind is Kind.CPU:
                continue
            elif part.kind in (Kind.NODE, Kind.PACKAGE) or part.cpus != around.cpus:
                found.append(self._box(part))
            else:
                found.extend(self.inside(part))
        return tuple(found)

    def _box(self, part: Part) -> Box:
        words = ""
        if part.kind is Kind.NODE:
            devices = [f"{one.kind} {one.address}" for one in self.topology.devices if one.node == part.number]
            words = visible(" · ".join([self.lines[part.number], *devices]))
        return Box(
            kind=part.kind.value.lower(),
            name=f"{_NAMES[part.kind]} {part.number}",
            words=words,
            free_percent=self.free.get(part.number) if part.kind is Kind.NODE else None,
            inner=self.inside(part),
        )

    def _core(self, part: Part) -> Core:
        cpus = sorted(part.cpus)
        marks, says = self.marks, self.says
        words = "; ".join(f"CPU {cpu}: {says[cpu] if cpu in says else _STATE_WORD[marks[cpu]]}" for cpu in cpus)
        return Core(
            words=visible(f"core {part.number}. {words}"),
            threads=tuple(
                Thread(cpu=cpu, mark=marks[cpu], colour=_STATE_CLASS.get(marks[cpu]) or colour_class(marks[cpu]))
                for cpu in cpus
            ),
        )
