"""Reader of Intel Memory Latency Checker text, which refines a topology with what was measured on the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.host import Topology
from placer.read.hosts.capabilities import MIB_S_PER_MB_S
from placer.read.hosts.normal_form import relative_distance
from placer.read.text.text import text_lines, without_quotes

_LATENCY_TITLE = re.compile(r"\s*Measuring idle latencies\b.*\bin ns\b.*", re.IGNORECASE)
_BANDWIDTH_TITLE = re.compile(r"\s*Measuring Memory Bandwidths between nodes.*", re.IGNORECASE)
_OTHER_TITLE = re.compile(r"\s*(?:Measuring|ALL Reads)\b.*", re.IGNORECASE)
_HEADER = re.compile(r"\s*Numa node((?:\s+\d{1,6})+)\s*", re.IGNORECASE)
_ROW = re.compile(r"\s*(\d{1,6})((?:\s+(?:\d{1,9}(?:\.\d{1,9})?|-|N/A))+)\s*", re.IGNORECASE)
_MISSING = {"-", "n/a"}

Matrix = dict[tuple[int, int], float]


def read_matrices(data: bytes, source: str) -> tuple[Matrix, Matrix]:
    """Return the idle latencies (ns) and the read bandwidths (MB/s, 10^6 bytes) by pair of node ids.

    A node without CPUs has a column and no row. Loaded latencies and cache transfers are other tables and not taken.

    Raises
    ------
    InputError
        Neither matrix is there, or one has rows that do not fit its columns.
    """
    latencies: Matrix = {}
    bandwidths: Matrix = {}
    table: Matrix | None = None
    columns: list[int] = []
    for line_number, line in enumerate(without_quotes(text_lines(data, source)), start=1):
        if _LATENCY_TITLE.fullmatch(line) or _BANDWIDTH_TITLE.fullmatch(line) or _OTHER_TITLE.fullmatch(line):
            table = (
                latencies
                if _LATENCY_TITLE.fullmatch(line)
                else bandwidths
                if _BANDWIDTH_TITLE.fullmatch(line)
                else None
            )
            columns = []
        elif table is not None and (match := _HEADER.fullmatch(line)):
            columns = [int(word) for word in match[1].split()]
        elif table is not None and columns and (match := _ROW.fullmatch(line)):
            row, values = int(match[1]), match[2].lower().split()
            if len(values) != len(columns):
                raise InputError(
                    f"node {row} has {len(values)} values for {len(columns)} columns", file=source, line=line_number
                )
            table.update(
                {
                    (row, column): float(value)
                    for column, value in zip(columns, values, strict=True)
                    if value not in _MISSING
                }
            )
    if not latencies and not bandwidths:
        raise InputError(
            "the text holds neither a latency nor a bandwidth matrix",
            file=source,
            cure="run mlc --latency_matrix or mlc --bandwidth_matrix",
        )
    return latencies, bandwidths


def refine_distances(topology: Topology, text: bytes | str, source: str) -> Topology:
    """Return the topology with measured distances and bandwidths in place of the firmware's.

    The distance of a pair is 10 × latency / the local latency of its CPUs' node, where both were measured; a node
    with CPUs and no memory has no local latency, and the smallest of the host takes its place. Pairs that were not
    measured keep their figure, and the assumptions say so.

    Parameters
    ----------
    topology
        The host on which the figures were measured.
    text
        The output of mlc.
    source
        The name of the file in messages.

    Raises
    ------
    InputError
        No matrix in the text, or it names a node that the host does not have.
    """
    latencies, bandwidths = read_matrices(text.encode() if isinstance(text, str) else text, source)
    ids = topology.node_ids
    strange = sorted({node for pair in (*latencies, *bandwidths) for node in pair} - set(ids))
    if strange:
        raise InputError(
            f"the measurement names node {strange[0]}; the host has nodes {format_cpuset(ids)}", file=source
        )
    assumptions = list(topology.assumptions)
    distances = [list(row) for row in topology.distances]
    measured = {pair for pair, latency in latencies.items() if latency > 0}
    locals_ns = {i: latencies[i, i] for i in ids if (i, i) in measured}
    if measured and not locals_ns:
        raise InputError(
            "no node's own memory was measured, so no latency can be compared with a local one", file=source
        )
    for i, j in measured:
        if i != j:
            local = locals_ns.get(i, min(locals_ns.values()))
            distances[ids.index(i)][ids.index(j)] = relative_distance(latencies[i, j], local)
    if measured:
        assumptions.append(f"distances measured by MLC ({source}): 10 x latency / local latency")
        left = [(i, j) for i, j in _useful_pairs(topology) if (i, j) not in measured]
        if left:
            assumptions.append(
                f"{len(left)} pairs of nodes were not measured, such as CPUs of {left[0][0]} and memory of "
                f"{left[0][1]}: they keep the figure of the host's own file"
            )
    matrix = topology.bandwidth_mib_s
    if bandwidths:
        matrix = tuple(
            tuple(bandwidths[i, j] * MIB_S_PER_MB_S if (i, j) in bandwidths else None for j in ids) for i in ids
        )
    return replace(
        topology, distances=tuple(map(tuple, distances)), bandwidth_mib_s=matrix, assumptions=tuple(assumptions)
    )


def _useful_pairs(topology: Topology) -> Iterator[tuple[int, int]]:
    """Yield the pairs of a node with CPUs and another with memory."""
    for i in topology.nodes:
        for j in topology.nodes:
            if i.cpus and j.memory_kib and i.id != j.id:
                yield i.id, j.id
