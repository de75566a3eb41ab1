"""Pins of a domain: ``<vcpu>``, ``<cputune>`` and ``<iothreads>``, and the CPU policy they amount to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placer.errors import InputError
from placer.model.core_pairs import core_pairs
from placer.model.cpuset import parse_cpuset
from placer.model.vm import CpuPolicy
from placer.read.domains.scan import DomainScan

if TYPE_CHECKING:
    from lxml.etree import _Element


_PLANNED_TUNING = ("vcpupin", "emulatorpin", "iothreadpin", "vcpusched", "emulatorsched", "iothreadsched")
_REAL_TIME = frozenset({"fifo", "rr"})
"""How many threads a core has where it has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Where the threads of a domain may run. `vcpus` holds each vCPU that is restricted, by vcpupin or by default."""

    vcpus: Mapping[int, frozenset[int]]
    emulator: frozenset[int] | None
    iothreads: Mapping[int, frozenset[int]]


def real_time_vcpus(root: _Element) -> frozenset[int]:
    """Return the vCPUs that run under FIFO or RR: whatever else runs on their CPUs waits until they sleep."""
    found: set[int] = set()
    for element in root.findall("cputune/vcpusched"):
        if element.get("scheduler") in _REAL_TIME:
            try:
                found |= parse_cpuset(element.get("vcpus") or "")
            except InputError:
                continue
    return frozenset(found)


def read_vcpus(scan: DomainScan) -> tuple[int, frozenset[int]]:
    """Return the maximum of vCPUs and those of them that are not online; libvirt's default is one vCPU.

    Which ones are online ``<vcpus>`` says where it is there, holes and all; without it they are the first ``current``.
    """
    vcpu = scan.find("vcpu")
    if vcpu is None:
        return 1, frozenset()
    scan.name_unknown_attributes(vcpu, ("placement", "cpuset", "current"), "<vcpu>")
    most = scan.number(vcpu, vcpu.text or "", least=1) or 1
    current = scan.number(vcpu, vcpu.get("current"), field="<vcpu current>", least=1)
    if current is not None and current > most and not scan.faults:
        scan.fault(vcpu, f"{current} vCPUs are online of at most {most}", field="<vcpu current>")
    listed = _listed_offline(scan, most)
    if listed is not None:
        return most, listed
    return most, frozenset(range(current if current is not None else most, most))


def _listed_offline(scan: DomainScan, most: int) -> frozenset[int] | None:
    """Return the vCPUs that ``<vcpus>`` lists as not enabled; None where it does not tell of every vCPU."""
    scan.name_unknown(scan.find("vcpus"), ("vcpu",), "<vcpus>")
    enabled: dict[int, bool] = {}
    for element in scan.all("vcpus/vcpu"):
        number = scan.number(element, element.get("id"), field="<vcpu id>")
        if number is not None and number < most:
            enabled[number] = element.get("enabled") == "yes"
    offline = frozenset(number for number, on in enabled.items() if not on)
    return offline if len(enabled) == most and len(offline) < most else None


def read_iothreads(scan: DomainScan) -> tuple[int, ...]:
    """Return the ids of the IOThreads: those named, and the lowest free ones up to ``<iothreads>``, as libvirt does."""
    element = scan.find("iothreads")
    count = (scan.number(element, element.text or "") if element is not None else 0) or 0
    named: list[int] = []
    for child in scan.all("iothreadids/iothread"):
        thread = scan.number(child, child.get("id"), field="<iothread id>", least=1)
        if thread is not None and thread in named:
            scan.fault(child, f"IOThread {thread} is there twice", field="<iothread id>")
        elif thread is not None:
            named.append(thread)
        scan.name_unknown_attributes(child, ("id",), "<iothread>")
        scan.name_unknown(child, (), "<iothread>")
    default = scan.find("defaultiothread")
    if default is not None:
        scan.note(default, "<defaultiothread> is not understood; it is kept as it is and not planned with")
    taken, free = set(named), 1
    while len(taken) < count:
        taken.add(free)
        free += 1
    return tuple(sorted(taken))


def read_pins(scan: DomainScan, vcpus: int, iothreads: tuple[int, ...]) -> Pins:
    """Return the pins; ``<vcpu cpuset>`` holds for every vCPU without a vcpupin, as in libvirt."""
    cputune = scan.find("cputune")
    scan.name_unknown(cputune, _PLANNED_TUNING, "<cputune>")
    pinned: dict[int, frozenset[int]] = {}
    for element in scan.all("cputune/vcpupin"):
        vcpu = scan.number(element, element.get("vcpu"), field="<vcpupin vcpu>")
        cpus = scan.cpuset(element, "cpuset")
        if vcpu is None or cpus is None:
            continue
        if vcpu >= vcpus:
            scan.note(element, f"<vcpupin> names vCPU {vcpu}, the domain has {vcpus}; it is left out")
        elif vcpu in pinned:
            scan.fault(element, f"vCPU {vcpu} is pinned twice", field="<vcpupin vcpu>")
        else:
            pinned[vcpu] = cpus
    default = _default_pin(scan)
    if default is not None:
        pinned = {vcpu: pinned.get(vcpu, default) for vcpu in range(vcpus)}
    emulator = scan.find("cputune/emulatorpin")
    return Pins(
        vcpus=dict(sorted(pinned.items())),
        emulator=None if emulator is None else scan.cpuset(emulator, "cpuset"),
        iothreads=_iothread_pins(scan, iothreads),
    )


def _default_pin(scan: DomainScan) -> frozenset[int] | None:
    vcpu = scan.find("vcpu")
    if vcpu is None:
        return None
    if vcpu.get("placement") == "auto":
        scan.note(vcpu, "<vcpu placement='auto'> leaves the CPUs to numad: it floats")
        return None
    return scan.cpuset(vcpu, "cpuset")


def _iothread_pins(scan: DomainScan, iothreads: tuple[int, ...]) -> dict[int, frozenset[int]]:
    pins: dict[int, frozenset[int]] = {}
    for element in scan.all("cputune/iothreadpin"):
        thread = scan.number(element, element.get("iothread"), field="<iothreadpin iothread>")
        cpus = scan.cpuset(element, "cpuset")
        if thread is None or cpus is None:
            continue
        if thread not in iothreads:
            scan.note(element, f"<iothreadpin> names IOThread {thread}, which the domain lacks; it is left out")
        else:
            pins[thread] = cpus
    return dict(sorted(pins.items()))


def cpu_policy(
    pins: Mapping[int, frozenset[int]], vcpus: int, unpinned: CpuPolicy, offline: frozenset[int] = frozenset()
) -> tuple[CpuPolicy, frozenset[int]]:
    """Return the policy that pins amount to, and the dedicated vCPUs of a mixed domain.

    A vCPU is dedicated if it is pinned to one CPU that no other vCPU of the domain is pinned to, or with its sibling to
    the threads of a core (`core_pairs`), and shared if its set holds several CPUs or one that others have too. A vCPU
    that is not pinned at all counts as `unpinned` says, and as shared where it is `offline`: nothing runs of it.
    """
    alone = Counter(next(iter(cpus)) for cpus in pins.values() if len(cpus) == 1)
    dedicated = set(core_pairs(pins))
    for vcpu in range(vcpus):
        cpus = pins.get(vcpu)
        if cpus is None:
            if unpinned is CpuPolicy.DEDICATED and vcpu not in offline:
                dedicated.add(vcpu)
        elif len(cpus) == 1 and alone[next(iter(cpus))] == 1:
            dedicated.add(vcpu)
    if len(dedicated) == vcpus:
        return CpuPolicy.DEDICATED, frozenset()
    if not dedicated:
        return CpuPolicy.SHARED, frozenset()
    return CpuPolicy.MIXED, frozenset(dedicated)
