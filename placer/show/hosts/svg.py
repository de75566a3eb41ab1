"""A host as one self-contained SVG: boxes in boxes down to the CPUs, and the distances as a heat map below."""

from __future__ import annotations

import html
from dataclasses import dataclass

from placer.model.host import NodeKind, Topology
from placer.model.units import count
from placer.show.heat import shades
from placer.show.words import amount, figure, visible
from placer.topology.parts import Kind, Part, part_tree

_CPU_WIDTH, _CPU_HEIGHT = 30, 20
_GAP, _TITLE = 6, 18
_CORES_A_ROW = 8
_PACKAGES_WIDTH = 1400
_FILL = {
    Kind.HOST: "#ffffff",
    Kind.PACKAGE: "#eef1f5",
    Kind.DIE: "#e6ebf2",
    Kind.NODE: "#dce8f5",
    Kind.L3: "#f7f7f7",
    Kind.CLUSTER: "#f0f0f0",
    Kind.CORE: "#c9d7e6",
}
_CELL = 44


@dataclass(slots=True)
class _Box:
    """A drawn part whose corner is not settled yet: its size, its own elements, and boxes at offsets inside it."""

    width: int
    height: int
    elements: list[str]
    inner: list[tuple[int, int, _Box]]

    def lines(self, x: int, y: int) -> list[str]:
        """Return the elements moved to their place."""
        found = [f'<g transform="translate({x} {y})">', *self.elements]
        for left, top, box in self.inner:
            found += box.lines(left, top)
        return [*found, "</g>"]


def host_svg(topology: Topology, name: str) -> str:
    """Return an SVG picture of a host with a title, a description for screen readers, and what was assumed as text."""
    drawing = _part(part_tree(topology), topology, f"host {visible(name)}", _PACKAGES_WIDTH)
    lines = drawing.lines(_GAP, _GAP)
    y = drawing.height + 3 * _GAP
    width = drawing.width
    if len(topology.nodes) > 1:
        matrix, size = _matrix(topology, y)
        lines += matrix
        y += size + 2 * _GAP
        width = max(width, _CELL * (len(topology.nodes) + 1))
    for sentence in ["assumed:", *topology.assumptions] if topology.assumptions else []:
        y += _TITLE
        lines.append(_text(_GAP, y, visible(sentence)))
        width = max(width, 7 * len(sentence))
    width, height = width + 2 * _GAP, y + 2 * _GAP
    parts = ((topology.nodes, "NUMA node"), (topology.cores, "core"), (topology.cpus, "CPU"))
    about = ", ".join(count(len(part), one) for part, one in parts)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            'role="img" aria-labelledby="title about" font-family="sans-serif" font-size="11">',
            f'<title id="title">{_escaped(f"host {visible(name)}")}</title><desc id="about">{about}</desc>',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *lines,
            "</svg>\n",
        ]
    )


def _part(part: Part, topology: Topology, title: str, width: int) -> _Box:
    if part.kind is Kind.CORE:
        return _core(part)
    boxes = [_part(inner, topology, _title(inner, topology), width - 2 * _GAP) for inner in part.parts]
    if part.kind is Kind.NODE:
        boxes += [
            _device(f"{device.kind} {device.address}") for device in topology.devices if device.node == part.number
        ]
    places: list[tuple[int, int, _Box]] = []
    x, y, row, reach = _GAP, _TITLE + _GAP, 0, 7 * len(title) + _GAP
    for number, box in enumerate(boxes):
        cores = part.parts and part.parts[min(number, len(part.parts) - 1)].kind is Kind.CORE
        if x > _GAP and (x + box.width > width or (cores and number % _CORES_A_ROW == 0)):
            x, y, row = _GAP, y + row + _GAP, 0
        places.append((x, y, box))
        x += box.width + _GAP
        reach, row = max(reach, x), max(row, box.height)
    height = y + row + _GAP
    frame = f'<rect width="{reach}" height="{height}" rx="3" fill="{_FILL[part.kind]}" stroke="#5b6b7b"/>'
    return _Box(reach, height, [frame, _text(_GAP, _TITLE - 4, title)], places)


def _core(part: Part) -> _Box:
    cpus = sorted(part.cpus)
    width = _CPU_WIDTH * len(cpus)
    elements = [f'<rect width="{width}" height="{_CPU_HEIGHT}" fill="{_FILL[Kind.CORE]}" stroke="#5b6b7b"/>']
    for place, cpu in enumerate(cpus):
        elements.append(
            f'<text x="{place * _CPU_WIDTH + _CPU_WIDTH // 2}" y="14" text-anchor="middle">{cpu}'
            f"<title>core {part.number}, CPU {cpu}</title></text>"
        )
    return _Box(width, _CPU_HEIGHT, elements, [])


def _device(title: str) -> _Box:
    text = visible(title)
    width = 7 * len(text) + 2 * _GAP
    frame = f'<rect width="{width}" height="{_CPU_HEIGHT}" rx="9" fill="#fff3d6" stroke="#5b6b7b"/>'
    return _Box(width, _CPU_HEIGHT, [frame, _text(_GAP, 14, text)], [])


def _title(part: Part, topology: Topology) -> str:
    if part.kind is not Kind.NODE:
        return f"{part.kind} {part.number}"
    node = topology.node(part.number)
    kind = "" if node.kind is NodeKind.NORMAL else f" ({node.kind})"
    return f"node {node.id}: {amount(node.memory_kib)}{kind}"


def _matrix(topology: Topology, top: int) -> tuple[list[str], int]:
    """Return the heat map with its top edge at `top`, and its height."""
    lines = [_text(_GAP, top + 12, "distances: memory of the column seen from the CPUs of the row, 10 = local")]
    y = top + _TITLE
    for place, node in enumerate(topology.node_ids):
        lines.append(_text(_GAP + _CELL * (place + 1) + 8, y + 14, str(node)))
        lines.append(_text(_GAP + 8, y + _CPU_HEIGHT * (place + 1) + 14, str(node)))
    for row, (figures, colours) in enumerate(zip(topology.distances, shades(topology.distances), strict=True)):
        for column, (value, (back, ink)) in enumerate(zip(figures, colours, strict=True)):
            x, line = _GAP + _CELL * (column + 1), y + _CPU_HEIGHT * (row + 1)
            lines.append(f'<rect x="{x}" y="{line}" width="{_CELL}" height="{_CPU_HEIGHT}" fill="{back}"/>')
            lines.append(_text(x + 8, line + 14, figure(value, 1), ink))
    return lines, _TITLE + _CPU_HEIGHT * (len(topology.nodes) + 1)


def _text(x: int, y: int, text: str, ink: str = "#1d2733") -> str:
    return f'<text x="{x}" y="{y}" fill="{ink}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """Return text for XML, which cannot hold control characters or lone surrogates even as references."""
    return html.escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))
