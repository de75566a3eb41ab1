"""Distances and memory attributes in hwloc's XML: what one node's CPUs have to another node's memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from placer.errors import InputError
from placer.model.host import LOCAL
from placer.read.hosts.capabilities import MIB_S_PER_MB_S
from placer.read.hosts.raw_host import MAX_NODES, RawHost
from placer.read.text.xml import line_of

if TYPE_CHECKING:
    from lxml.etree import _Element

_MEANS_LATENCY = 4
_FROM_OS = 1
_NUMBER = re.compile(r"[0-9]{1,15}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12})?")


def take_distances(root: _Element, nodes: Sequence[int], gp_indexes: dict[str, int], raw: RawHost) -> None:
    """Take the NUMA latency matrix of dialect 2 and 3 (``<distances2>``) or 1 (``<distances>``), whichever is there.

    Of several, the operating system's own comes first. A matrix whose local figure is not 10 is scaled so that it is.

    Raises
    ------
    InputError
        The matrix has not as many values as its nodes need, or a value that is no number.
    """
    modern = [element for element in root.iter("distances2") if element.get("type") == "NUMANode"]
    ranked = sorted(((_rank(element), element) for element in modern), key=lambda item: item[0])
    if ranked and ranked[0][0] < 2:
        _take_modern(ranked[0][1], gp_indexes, raw)
        return
    for element in root.iter("distances"):
        if element.get("nbobjs") == str(len(nodes)) and len(nodes) > 1:
            _take_old(element, nodes, raw)
            return


def _rank(element: _Element) -> int:
    """Return 0 for the operating system's latencies, 1 for others, 2 for what is no latency."""
    text = element.get("kind") or ""
    kind = int(text) if _NUMBER.fullmatch(text) else 0
    if element.get("name") == "NUMALatency":
        return 0
    if not kind & _MEANS_LATENCY:
        return 2
    return 0 if kind & _FROM_OS else 1


def _take_modern(element: _Element, gp_indexes: dict[str, int], raw: RawHost) -> None:
    words = _words(element, "indexes")
    by_gp = element.get("indexing") == "gp"
    ids = [gp_indexes.get(word) if by_gp else int(word) for word in words if _NUMBER.fullmatch(word)]
    values = [float(word) for word in _words(element, "u64values") if _NUMBER.fullmatch(word)]
    if len(ids) != len(words) or len(ids) > MAX_NODES or len(values) != len(ids) ** 2:
        raise InputError(
            f"the matrix of distances has {len(values)} values for {len(ids)} nodes",
            file=raw.source,
            line=line_of(element),
        )
    _take(ids, values, raw)


def _take_old(element: _Element, nodes: Sequence[int], raw: RawHost) -> None:
    """Take dialect 1: values relative to `latency_base`, nodes in the order of the document."""
    base = element.get("latency_base") or "1"
    words = [latency.get("value") or "" for latency in element.findall("latency")]
    if (
        not _DECIMAL.fullmatch(base)
        or not all(_DECIMAL.fullmatch(word) for word in words)
        or len(words) != len(nodes) ** 2
    ):
        raise InputError(
            f"the matrix of distances has {len(words)} values for {len(nodes)} nodes, or one that is no number",
            file=raw.source,
            line=line_of(element),
        )
    _take(list(nodes), [round(float(word) * float(base), 6) for word in words], raw)


def _take(ids: Sequence[int | None], values: list[float], raw: RawHost) -> None:
    count = len(ids)
    local = min((values[k * count + k] for k in range(count)), default=LOCAL)
    scale = LOCAL / local if local > 0 else 1.0
    for a, i in enumerate(ids):
        for b, j in enumerate(ids):
            if i in raw.nodes and j in raw.nodes and i is not None and j is not None:
                raw.distances[i, j] = round(values[a * count + b] * scale, 6)


def take_latencies(
    root: _Element, gp_indexes: dict[str, int], raw: RawHost, bitmap: Callable[[_Element, str, str], frozenset[int]]
) -> None:
    """Take the memory attributes Latency and Bandwidth, or those of reading, between whole nodes.

    hwloc copies the kernel's HMAT figures: ns and MB/s.
    """
    owner = {cpu: node_id for node_id, node in raw.nodes.items() for cpu in node.cpus}
    for names, matrix, scale in (
        (("Latency", "ReadLatency"), raw.latencies, 1.0),
        (("Bandwidth", "ReadBandwidth"), raw.bandwidths_mib_s, MIB_S_PER_MB_S),
    ):
        for name in names:
            for memattr in root.iter("memattr"):
                if memattr.get("name") == name and not matrix:
                    _take_attribute(memattr, gp_indexes, raw, owner, matrix, scale, bitmap)


def _take_attribute(
    memattr: _Element,
    gp_indexes: dict[str, int],
    raw: RawHost,
    owner: dict[int, int],
    matrix: dict[tuple[int, int], float],
    scale: float,
    bitmap: Callable[[_Element, str, str], frozenset[int]],
) -> None:
    for value in memattr.findall("memattr_value"):
        target = gp_indexes.get(value.get("target_obj_gp_index") or "")
        figure = value.get("value") or ""
        cpus = bitmap(value, "initiator_cpuset", value.get("initiator_cpuset") or "") & raw.online
        initiators = {owner[cpu] for cpu in cpus if cpu in owner}
        if target is None or len(initiators) != 1 or not _NUMBER.fullmatch(figure) or not int(figure):
            continue
        initiator = initiators.pop()
        if cpus == raw.nodes[initiator].cpus & raw.online:
            matrix[initiator, target] = int(figure) * scale


def _words(element: _Element, tag: str) -> list[str]:
    return [word for part in element.findall(tag) for word in (part.text or "").split()]
