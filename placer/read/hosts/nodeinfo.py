"""Reader of ``virsh nodeinfo`` text, alone or with /proc/cpuinfo behind it in the same file."""

from __future__ import annotations

import re

from placer.errors import InputError
from placer.model.cpuset import MAX_CPU
from placer.model.host import Topology
from placer.read.hosts.cpu_groups import group_by, siblings_by_rule
from placer.read.hosts.cpuinfo import read_cpuinfo
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import RawHost, RawNode
from placer.read.text.text import number, text_lines, without_quotes

_FIELD = re.compile(
    r"\s*(CPU model|CPU\(s\)|CPU frequency|CPU socket\(s\)|Core\(s\) per socket|Thread\(s\) per core"
    r"|NUMA cell\(s\)|Memory size):\s*(.*?)\s*"
)
# Old versions of virsh write kB and mean KiB.
_MEMORY = re.compile(r"(\d{1,15}) (?:KiB|kB)")


def parse_nodeinfo(data: bytes, source: str) -> Topology:
    """Read a host of one node: counts of CPUs, cores and threads, and the memory.

    The text tells how many NUMA cells there are, but not which CPU or how much memory is in which, so all is taken
    as one node. Sockets are counted per cell. With /proc/cpuinfo behind it (``virsh nodeinfo; cat /proc/cpuinfo``)
    CPU numbers and, on x86, siblings are exact, and it says whether KVM can run.

    Raises
    ------
    InputError
        Without the count of CPUs or the memory, or with something else in their place.
    """
    lines = without_quotes(text_lines(data, source))
    fields: dict[str, tuple[int, str]] = {}
    for line_number, line in enumerate(lines, start=1):
        match = _FIELD.fullmatch(line)
        if match:
            fields.setdefault(match[1], (line_number, match[2]))
    counts = {
        name: _count(fields, name, source)
        for name in ("CPU(s)", "CPU socket(s)", "Core(s) per socket", "Thread(s) per core", "NUMA cell(s)")
    }
    cpus, cells, threads = counts["CPU(s)"], counts["NUMA cell(s)"], counts["Thread(s) per core"]
    if "Memory size" not in fields or not (memory := _MEMORY.fullmatch(fields["Memory size"][1])):
        raise InputError("the memory size is not told in KiB", file=source)
    model = fields["CPU model"][1] if "CPU model" in fields else None
    raw = RawHost(source=source, online=set(range(cpus)), arch=model, pages_told=False)
    info = read_cpuinfo([line for line in lines if not _FIELD.fullmatch(line)])
    if info.processors:
        raw.online = set(info.processors)
        raw.cores, raw.packages = group_by(info.cores), group_by(info.packages)
        raw.model, raw.kvm = info.model, info.kvm
    else:
        raw.assumptions.append("CPU numbers are not told: taken as 0 and up")
    if cells > 1:
        raw.assumptions.append(
            f"{cells} NUMA cells are told, but not what is in which: one node with all of it is assumed"
        )
    raw.nodes[0] = RawNode(cpus=set(raw.online), memory_kib=int(memory[1]))
    raw.threads = threads
    whole = cells * counts["CPU socket(s)"] * counts["Core(s) per socket"] * threads == len(raw.online)
    if not raw.cores and threads == 1:
        raw.cores = [frozenset({cpu}) for cpu in raw.online]
    elif not raw.cores and whole:
        raw.cores = siblings_by_rule(raw.online, threads, adjacent=(raw.arch or "").startswith(("ppc", "s390")))
        raw.assumptions.append(
            f"{threads} threads per core are told, but not which: siblings are taken as the kernel numbers them"
        )
    if not raw.packages:
        raw.packages = [frozenset(raw.online)]
        if cells * counts["CPU socket(s)"] > 1:
            raw.assumptions.append(
                f"{cells * counts['CPU socket(s)']} sockets are told, but not which CPU is in which: one is assumed"
            )
    return build(raw)


def _count(fields: dict[str, tuple[int, str]], name: str, source: str) -> int:
    if name not in fields:
        raise InputError(f"the line {name} is missing: this is no whole output of virsh nodeinfo", file=source)
    line_number, text = fields[name]
    count = number(text, name, source, line_number)
    if not 1 <= count <= MAX_CPU + 1:
        raise InputError(f"{name} is {count}, not between 1 and {MAX_CPU + 1}", file=source, line=line_number)
    return count
