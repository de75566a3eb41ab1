"""The summary that plain ``lscpu`` prints, as text or as JSON: nodes and counts, but not which CPUs share a core."""

from __future__ import annotations

import re
from collections.abc import Mapping

from placer.errors import InputError, PlacerError
from placer.model.cpuset import parse_cpu_mask, parse_cpuset
from placer.model.host import Topology
from placer.read.hosts.cpu_groups import siblings_by_rule
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import RawHost, RawNode
from placer.read.text.text import text_lines, without_quotes

_NODE = re.compile(r"NUMA node(\d{1,6}) CPU\(s\)")
_FIELD = re.compile(r"\s*(?P<name>[^:]{1,80}):\s*(?P<value>.*)")
_ADJACENT = ("ppc", "s390")
_COUNTS = ("Thread(s) per core", "Core(s) per socket", "Socket(s)")


def parse_lscpu_summary(data: bytes, source: str) -> Topology:
    """Read the text of ``lscpu`` without options.

    Raises
    ------
    InputError
        As `parse_summary`.
    """
    fields: dict[str, str] = {}
    for line in without_quotes(text_lines(data, source)):
        match = _FIELD.fullmatch(line)
        if match:
            fields.setdefault(match["name"].strip(), match["value"].strip())
    return parse_summary(fields, source)


def parse_summary(fields: Mapping[str, str], source: str) -> Topology:
    """Return the host of a summary.

    Nodes, memory-only ones included, and the CPUs online are told. Siblings are not, only their number: they are
    taken as the kernel numbers them, and the assumption is flagged.

    Raises
    ------
    InputError
        No CPUs, or a list that is none.
    """
    raw = RawHost(source=source, arch=fields.get("Architecture"), model=fields.get("Model name"), pages_told=False)
    raw.online = set(_cpus(fields, "On-line CPU(s) list", source) | _cpus(fields, "On-line CPU(s) mask", source))
    offline = _cpus(fields, "Off-line CPU(s) list", source) | _cpus(fields, "Off-line CPU(s) mask", source)
    raw.offline = set(offline - raw.online)
    for name in fields:
        match = _NODE.fullmatch(name)
        if match:
            raw.nodes[int(match[1])] = RawNode()
            raw.place(int(match[1]), _cpus(fields, name, source))
    if not raw.online:
        raw.online = set().union(*(node.cpus for node in raw.nodes.values()))
    if not raw.online and (count := _count(fields, "CPU(s)")):
        raw.online = set(range(count))
        raw.assumptions.append("CPU numbers are not told: taken as 0 and up")
    raw.kvm = _kvm(fields)
    threads, cores, sockets = (_count(fields, what) for what in _COUNTS)
    raw.threads = threads
    if threads and cores and sockets and threads * cores * sockets != len(raw.online) and "Book(s)" not in fields:
        # Cores of several kinds, or threads switched off: then the counts are those of the first core only.
        threads = None
    _take_cores(raw, threads)
    if sockets == 1:
        raw.packages = [frozenset(raw.online)]
    return build(raw)


def _take_cores(raw: RawHost, threads: int | None) -> None:
    """Guess which CPUs are siblings from how many threads a core has, node by node."""
    if threads is None:
        return
    if threads == 1:
        raw.cores = [frozenset({cpu}) for cpu in raw.online]
        return
    adjacent = (raw.arch or "").startswith(_ADJACENT)
    sets = [node.cpus & raw.online for node in raw.nodes.values() if node.cpus] or [raw.online]
    cores: list[frozenset[int]] = []
    for cpus in sets:
        found = siblings_by_rule(cpus, threads, adjacent=adjacent)
        if cpus and not found:
            # An uneven number of CPUs: some threads are off, or cores are of several kinds.
            return
        cores += found
    raw.cores = cores
    order = "one after the other" if adjacent else "in halves of each node's CPUs"
    raw.assumptions.append(f"{threads} threads per core are told, but not which: siblings are numbered {order}")


def _cpus(fields: Mapping[str, str], name: str, source: str) -> frozenset[int]:
    text = fields.get(name, "").strip()
    if text in ("", "-"):
        return frozenset()
    try:
        # lscpu -x prints masks, old versions with a leading 0x; only the lists' names tell them from numbers.
        masks = any(other.endswith("CPU(s) mask") for other in fields)
        return parse_cpu_mask(text) if masks else parse_cpuset(text)
    except PlacerError as error:
        raise InputError(error.faults[0].message, file=source, field=name) from None


def _count(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name, "")
    return int(text) if re.fullmatch(r"\d{1,5}", text) else None


def _kvm(fields: Mapping[str, str]) -> bool | None:
    """Return what the virtualization line or the flags say; neither says anything off x86 and s390."""
    if fields.get("Virtualization") in ("VT-x", "AMD-V"):
        return True
    flags = fields.get("Flags", "").split()
    if "vmx" in flags or "svm" in flags or "sie" in flags:
        return True
    return False if "fpu" in flags or "zarch" in flags else None
