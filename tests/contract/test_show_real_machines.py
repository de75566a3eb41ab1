"""Every real machine that the readers take can be drawn: 80 columns, complete data, well-formed SVG."""

from __future__ import annotations

import io
import json
from pathlib import Path

from lxml import etree
from rich.console import Console

from placer.errors import PlacerError
from placer.model.host import Topology
from placer.read.hosts.host import read_topology
from placer.show.hosts.data import host_data
from placer.show.hosts.picture import draw_host
from placer.show.hosts.svg import host_svg
from placer.topology.parts import Kind, part_tree

EVERY = 5
"""One machine in so many: the readers' own contract tests run them all."""


def machines(shared_dir: Path) -> list[tuple[str, Topology]]:
    """Return name and topology of the machines that can be read."""
    found = []
    lines = (shared_dir / "topologies" / "INDEX.tsv").read_text().splitlines()[1:]
    for line in lines[::EVERY]:
        name = line.partition("\t")[0]
        try:
            found.append((name, read_topology(shared_dir / "topologies" / name)))
        except PlacerError:
            continue
    return found


def test_real_machines_can_be_drawn(shared_dir: Path) -> None:
    """The picture fits into 80 columns, names every CPU once in the tree behind it, and data and SVG are sound."""
    drawn = machines(shared_dir)
    assert len(drawn) > 20
    for name, topology in drawn:
        stream = io.StringIO()
        draw_host(topology, name, Console(file=stream, width=80, no_color=True, markup=False, highlight=False))
        assert max(map(len, stream.getvalue().splitlines())) <= 80, name
        cpus = [part.number for part in part_tree(topology).walk() if part.kind is Kind.CPU]
        assert sorted(cpus) == sorted(topology.cpus), name
        assert json.loads(json.dumps(host_data(topology, name)))["assumptions"] == list(topology.assumptions), name
        etree.fromstring(host_svg(topology, name).encode(), etree.XMLParser(huge_tree=True))
