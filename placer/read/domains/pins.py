"""Pins of a domain: ``<vcpu>``, ``<cputune>`` and ``<iothreads>``, and the CPU policy they amount to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from placer.model.vm import CpuPolicy, EmulatorPolicy
from placer.read.domains.scan import DomainScan


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Where the threads of a domain may run. `vcpus` holds each vCPU that is restricted, by vcpupin or by default."""

    vcpus: Mapping[int, frozenset[int]]
    emulator: frozenset[int] | None
    iothreads: Mapping[int, frozenset[int]]


def read_vcpus(scan: DomainScan) -> tuple[int, int | None]:
    """Return the maximum of vCPUs and how many of them are online where that is fewer; libvirt's default is one."""
    vcpu = scan.find("vcpu")
    if vcpu is None:
        return 1, None
    scan.name_unknown_attributes(vcpu, ("placement", "cpuset", "current"), "<vcpu>")
    most = scan.number(vcpu, vcpu.text or "", least=1) or 1
    current = scan.number(vcpu, vcpu.get("current"), field="<vcpu current>", least=1)
    if current is not None and current > most and not scan.faults:
        scan.fault(vcpu, f"{current} vCPUs are online of at most {most}", field="<vcpu current>")
    scan.name_unknown(scan.find("vcpus"), ("vcpu",), "<vcpus>")
    return most, current if current is not None and current < most else None


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
    scan.name_unknown(cputune, ("vcpupin", "emulatorpin", "iothreadpin"), "<cputune>")
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
        scan.note(vcpu, "<vcpu placement='auto'> leaves the CPUs to numad; a plan makes it static")
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


def cpu_policy(pins: Mapping[int, frozenset[int]], vcpus: int, unpinned: CpuPolicy) -> tuple[CpuPolicy, frozenset[int]]:
    """Return the policy that pins amount to, and the dedicated vCPUs of a mixed domain.

    A vCPU is dedicated if it is pinned to one CPU that no other vCPU of the domain is pinned to, and shared if its set
    holds several CPUs or one that others have too. A vCPU that is not pinned at all counts as `unpinned` says.
    """
    alone = Counter(next(iter(cpus)) for cpus in pins.values() if len(cpus) == 1)
    dedicated = set()
    for vcpu in range(vcpus):
        cpus = pins.get(vcpu)
        if cpus is None:
            if unpinned is CpuPolicy.DEDICATED:
                dedicated.add(vcpu)
        elif len(cpus) == 1 and alone[next(iter(cpus))] == 1:
            dedicated.add(vcpu)
    if len(dedicated) == vcpus:
        return CpuPolicy.DEDICATED, frozenset()
    if not dedicated:
        return CpuPolicy.SHARED, frozenset()
    return CpuPolicy.MIXED, frozenset(dedicated)


def emulator_policy(pins: Pins, vcpus: int) -> EmulatorPolicy | None:
    """Return ``share`` where the emulator threads run on the vCPUs' own CPUs, else None: the default of its host."""
    if pins.emulator is None or len(pins.vcpus) < vcpus:
        return None
    return EmulatorPolicy.SHARE if pins.emulator <= frozenset().union(*pins.vcpus.values()) else None
