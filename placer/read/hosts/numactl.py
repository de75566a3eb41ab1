"""Reader of ``numactl --hardware`` text, in all the forms its versions, terminals and mail programs give it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from placer.errors import InputError, PlacerError
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.host import Topology
from placer.model.units import KIB_PER_MIB
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import MAX_NODES, RawHost, RawNode
from placer.read.text.text import text_lines, without_quotes

_AVAILABLE = re.compile(r"\s*available:\s*\d+\s+nodes?\s*\((?P<ids>[^)]*)\)")
_NODE = re.compile(r"\s*node\s+(?P<id>\d{1,9})\s+(?P<what>cpus|size|free)\s*:(?P<rest>.*)")
_MIB = re.compile(r"\s*(?P<mib>\d{1,12})\s*MB\s*")
_UNKNOWN = re.compile(r"\s*<not available>\s*")
_TITLE = re.compile(r"\s*node distances:\s*")
_HEADER = re.compile(r"\s*node(?P<ids>(?:\s+\d{1,9})+)\s*")
_ROW = re.compile(r"\s*(?P<id>\d{1,9}):(?P<values>(?:\s+\d{1,9})*)\s*")
_BROKEN_ROW = re.compile(r"\s*\d{1,9}:\s.*")
_NUMBERS = re.compile(r"\s*\d{1,9}(?:[\s,-]+\d{1,9})*\s*(?:\(\d+\)\s*)?")
_COUNT = re.compile(r"\(\d+\)\s*$")


@dataclass(slots=True)
class _Text:
    """What has been read so far; `wrapped` says which list a bare line of numbers continues."""

    raw: RawHost
    announced: frozenset[int] | None = None
    cpu_text: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    sized: set[int] = field(default_factory=set)
    header: list[int] = field(default_factory=list)
    rows: dict[int, list[int]] = field(default_factory=dict)
    row_line: dict[int, int] = field(default_factory=dict)
    wrapped: str | None = None
    current: int = 0


def parse_numactl(data: bytes, source: str) -> Topology:
    """Read the text of ``numactl --hardware``: nodes, their CPUs and sizes, and distances.

    It does not tell cores, packages or L3 domains. Its sizes are whole MiB, though they read ``MB``. Its ``free``
    leaves out the page cache, so it says nothing of how full a node is, and is not taken.

    Raises
    ------
    InputError
        No node, a node announced and not described, a distance table that does not fit the nodes, or numbers that
        are none.
    """
    text = _Text(raw=RawHost(source=source, pages_told=False))
    for line_number, line in enumerate(without_quotes(text_lines(data, source)), start=1):
        try:
            _take_line(text, line, line_number)
        except PlacerError as error:
            raise InputError(error.faults[0].message, file=source, line=line_number) from None
    _finish(text)
    return build(text.raw)


def _take_line(text: _Text, line: str, line_number: int) -> None:
    if match := _AVAILABLE.match(line):
        text.announced = parse_cpuset(match["ids"].replace(" ", ""))
        text.wrapped = None
    elif match := _NODE.fullmatch(line):
        _take_node(text, int(match["id"]), match["what"], match["rest"], line_number)
    elif _TITLE.fullmatch(line):
        text.wrapped = "title"
        text.header, text.rows = [], {}
    elif match := _HEADER.fullmatch(line):
        text.header += [int(word) for word in match["ids"].split()]
        text.wrapped = "header"
    elif text.wrapped in ("header", "row") and (match := _ROW.fullmatch(line)):
        text.current = int(match["id"])
        if text.current in text.rows:
            raise InputError(f"the distances of node {text.current} stand there twice")
        text.rows[text.current] = [int(word) for word in match["values"].split()]
        text.row_line[text.current] = line_number
        text.wrapped = "row"
    elif text.wrapped in ("header", "row") and _BROKEN_ROW.fullmatch(line):
        raise InputError(f"the row {line.strip()[:60]!r} of the distance table holds something else than numbers")
    elif text.wrapped in ("cpus", "header", "row") and _NUMBERS.fullmatch(line):
        if text.wrapped == "cpus":
            text.cpu_text[text.current].append((line_number, line))
        else:
            target = text.header if text.wrapped == "header" else text.rows[text.current]
            target += [int(word) for word in re.findall(r"\d+", line)]
    elif line.strip():
        text.wrapped = None


def _take_node(text: _Text, node_id: int, what: str, rest: str, line_number: int) -> None:
    if node_id not in text.raw.nodes and len(text.raw.nodes) >= MAX_NODES:
        raise InputError(f"more than {MAX_NODES} nodes")
    node = text.raw.nodes.setdefault(node_id, RawNode())
    text.wrapped, text.current = None, node_id
    if what == "cpus":
        if node_id in text.cpu_text:
            raise InputError(f"the CPUs of node {node_id} stand there twice")
        text.cpu_text[node_id] = [(line_number, rest)]
        text.wrapped = "cpus"
        return
    if what == "size":
        text.sized.add(node_id)
    if match := _MIB.fullmatch(rest):
        if what == "size":
            node.memory_kib = int(match["mib"]) * KIB_PER_MIB
    elif not _UNKNOWN.fullmatch(rest):
        raise InputError(f"the {what} of node {node_id} is {rest.strip()[:40]!r}, not a number of MB")


def _finish(text: _Text) -> None:
    raw = text.raw
    if not raw.nodes:
        raise InputError(
            "the text tells no NUMA node",
            file=raw.source,
            cure="run numactl --hardware on the host itself, not in a container",
        )
    if not text.cpu_text:
        raise InputError(
            "the text does not tell the CPUs of any node, as numactl 1.0 did",
            file=raw.source,
            cure="take virsh capabilities, lstopo or a tar of /sys instead",
        )
    silent = sorted((text.announced or frozenset()) - raw.nodes.keys() | raw.nodes.keys() - text.cpu_text.keys())
    if silent:
        raise InputError(
            f"node {silent[0]} is named and its CPUs are not told",
            file=raw.source,
            cure="paste the whole output of numactl --hardware",
        )
    unsized = sorted(raw.nodes.keys() - text.sized)
    if text.sized and unsized:
        raise InputError(
            f"the size of node {unsized[0]} is not told, those of other nodes are: the text is cut off",
            file=raw.source,
            cure="paste the whole output of numactl --hardware",
        )
    for node_id, parts in text.cpu_text.items():
        for line_number, part in parts:
            raw.place(node_id, _cpus(part, raw.source, line_number))
        raw.online |= raw.nodes[node_id].cpus
    if text.rows:
        _take_distances(text)


def _cpus(part: str, source: str, line_number: int) -> frozenset[int]:
    """Read ``0 1 2``, or ``0-31, 64-95 (64)`` as newer versions print it; the count must be right."""
    items = re.split(r"[\s,]+", _COUNT.sub("", part).strip())
    try:
        cpus = parse_cpuset(",".join(item for item in items if item))
    except PlacerError as error:
        raise InputError(error.faults[0].message, file=source, line=line_number) from None
    count = re.search(r"\((\d{1,9})\)\s*$", part)
    if count and int(count[1]) != len(cpus):
        raise InputError(
            f"the line counts {count[1]} CPUs and names {format_cpuset(cpus)}", file=source, line=line_number
        )
    return cpus


def _take_distances(text: _Text) -> None:
    """Take the table: its columns are named by the header, its rows by their node."""
    raw = text.raw
    strange = sorted((set(text.header) | text.rows.keys()) - raw.nodes.keys())
    if strange:
        raise InputError(
            f"the distance table names node {strange[0]}, which the text does not describe", file=raw.source
        )
    if len(set(text.header)) != len(text.header):
        raise InputError("the distance table names a node twice in its header", file=raw.source)
    for node_id, row in text.rows.items():
        if len(row) != len(text.header):
            raise InputError(
                f"node {node_id} has {len(row)} distances and the table {len(text.header)} columns",
                file=raw.source,
                line=text.row_line[node_id],
            )
        raw.distances.update({(node_id, column): float(value) for column, value in zip(text.header, row, strict=True)})
