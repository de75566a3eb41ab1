"""Definitions that libvirt takes and that then do not start, by the versions of libvirt and QEMU on the host.

QEMU 7.2 and newer preallocates a guest's memory in threads that libvirt 9.0 and newer ties to the CPUs of the memory's
node. QEMU itself may only run on its emulator CPUs. Where the two have no CPU in common, QEMU ends with "Setting CPU
affinity failed". Libvirt 9.3 asks for such threads only where they can run (Red Hat bug 2185039).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from placer.errors import InputError
from placer.live.preconditions import Refusal
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.host import Topology
from placer.read.text.xml import parse_xml

_TIED = 9_000_000
_MENDED = 9_003_000
_QEMU_WITH_THREADS = 7_002_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions of the daemon and of QEMU as libvirt counts them: 9.0.1 is 9000001; None: not told."""

    libvirt: int | None = None
    qemu: int | None = None


def start_refusal(old: bytes, new: bytes, topology: Topology, versions: Versions) -> Refusal | None:
    """Return why a domain would not start as it is to be defined, unless it is already defined so.

    One that runs that way proves that the host's libvirt was mended by its distribution.
    """
    if (versions.libvirt or 0) < _TIED or (versions.qemu or 0) < _QEMU_WITH_THREADS:
        return None
    mended = (versions.libvirt or 0) >= _MENDED
    found = next(_hazards(new, topology, mended), None)
    return None if found is None or next(_hazards(old, topology, mended), None) is not None else found


def _hazards(xml: bytes, topology: Topology, mended: bool) -> Iterator[Refusal]:
    root = parse_xml(xml, "domain XML")
    allocation = root.find("memoryBacking/allocation")
    huge = root.find("memoryBacking/hugepages") is not None
    if not huge and (allocation is None or allocation.get("mode") != "immediate"):
        return
    emulator = root.find("cputune/emulatorpin")
    vcpu = root.find("vcpu")
    text = emulator.get("cpuset") if emulator is not None else None if vcpu is None else vcpu.get("cpuset")
    cpus = None if text is None else _set(text)
    if mended and cpus is not None:
        return
    kind = "huge pages" if huge else "memory allocated at once"
    for policy in (*root.findall("numatune/memnode"), *root.findall("numatune/memory")):
        if policy.get("mode") == "restrictive":
            continue  # the kernel's cpuset binds it, QEMU is told of no node
        nodes = _set(policy.get("nodeset", ""))
        near = frozenset().union(*(topology.node(node).cpus for node in nodes & set(topology.node_ids)))
        if nodes and not near:
            yield Refusal(
                reason=f"{kind} on node {format_cpuset(nodes)}, which has no CPUs: QEMU would not start",
                cure="take <allocation mode='immediate'/> out of the domain, or plan its memory elsewhere",
            )
        elif nodes and cpus is not None and not near & cpus:
            yield Refusal(
                reason=f"{kind} on node {format_cpuset(nodes)}, emulator threads on CPUs {format_cpuset(cpus)} of "
                "other nodes: this libvirt would not start it (Setting CPU affinity failed)",
                cure="say emulator_threads: share and solve again, or update libvirt to 9.3",
            )


def _set(text: str) -> frozenset[int]:
    try:
        return parse_cpuset(text)
    except InputError:
        return frozenset()
