"""Domain XML of libvirt: one domain, read into the model; what is not understood is named, never dropped silently."""

from __future__ import annotations

import re
import uuid

from placer.errors import InputError
from placer.model.units import count
from placer.model.vm import Cell, CellMode, CpuPolicy, VmSpec
from placer.read.domains.hostdevs import host_addresses, note_addresses
from placer.read.domains.memory import Memory, Numatune, read_memory, read_numatune, read_pages
from placer.read.domains.movable import manager, read_movable
from placer.read.domains.pins import Pins, cpu_policy, read_iothreads, read_pins, read_vcpus, real_time_vcpus
from placer.read.domains.reading import DomainReading
from placer.read.domains.scan import DomainScan
from placer.read.text.xml import line_of, parse_xml

_POLICY = re.compile(r"0[xX][0-9a-fA-F]{1,8}|0|[1-9][0-9]{0,9}")
_ENVELOPES = ("domstatus", "domainsnapshot")
"""Libvirt's own files that hold a domain: the status of a running one, and a snapshot."""


def read_domain(data: bytes, source: str, *, unpinned: CpuPolicy = CpuPolicy.DEDICATED) -> DomainReading:
    """Read a domain as ``virsh dumpxml`` prints it or libvirt keeps it.

    A guest with ``<cpu><numa>`` keeps its cells as they are: they are its ABI. One without is flat (``cells: none``).
    Huge pages, page by guest cell included, IOThread ids, memory devices and numatune are read too.

    Parameters
    ----------
    data
        The bytes of the XML.
    source
        The name of the file in messages.
    unpinned
        What a vCPU counts as that is not pinned at all: ``dedicated`` (the default: a planner is asked in order to pin)
        or ``shared``, as it is where the domain runs. A vCPU pinned to one CPU of its own is dedicated, one that floats
        over several is shared, and a domain with both is mixed.

    Raises
    ------
    InputError
        Not a domain, or one that libvirt would not take: every fault with its line.
    """
    if unpinned is CpuPolicy.MIXED:
        raise InputError("vCPUs that are not pinned count as dedicated or as shared, not as mixed", field="unpinned")
    root = parse_xml(data, source)
    if root.tag in _ENVELOPES and (inner := root.find("domain")) is not None:
        root = inner
    if root.tag != "domain":
        raise InputError(f"this is XML of <{str(root.tag)[:60]}>, not of a <domain>", file=source, line=line_of(root))
    scan = DomainScan(root, source)
    name, identity = _name(scan), _uuid(scan)
    vcpus, offline = read_vcpus(scan)
    iothreads = read_iothreads(scan)
    scan.raise_faults()
    memory = read_memory(scan, vcpus)
    page_kib, cells = read_pages(scan, memory)
    numatune = read_numatune(scan, memory.cell_ids)
    if not memory.total_kib:
        scan.fault(scan.root, "the guest has no memory", field="<memory>")
    pins = read_pins(scan, vcpus, iothreads)
    movable, why = read_movable(scan)
    note_addresses(scan)
    _note_kind(scan)
    managed_by = manager(root)
    if managed_by is not None:
        scan.notes.append(f"{managed_by} manages this domain; pinning it behind its manager's back is not wise")
    scan.raise_faults()
    _note_unpinned(scan, pins, vcpus, offline)
    policy, dedicated = cpu_policy(pins.vcpus, vcpus, unpinned, offline)
    online = vcpus - len(offline)
    spec = VmSpec(
        vcpus=vcpus,
        memory_kib=memory.total_kib,
        cell_mode=CellMode.GIVEN if memory.cells else CellMode.NONE,
        cells=cells or (Cell(vcpus=frozenset(range(vcpus)), memory_kib=memory.total_kib),),
        interleave=_interleave(scan, memory, numatune, vcpus),
        page_kib=page_kib,
        cpu_policy=policy,
        dedicated_vcpus=dedicated,
        iothreads=iothreads,
        vcpus_current=online if offline else None,
        offline_vcpus=offline if offline != frozenset(range(online, vcpus)) else frozenset(),
        real_time=frozenset(vcpu for vcpu in real_time_vcpus(root) if vcpu < vcpus),
        kvm=root.get("type") == "kvm",
    )
    return DomainReading(
        name=name,
        uuid=identity,
        spec=spec,
        pins=pins.vcpus,
        emulator=pins.emulator,
        iothread_pins=pins.iothreads,
        numatune=numatune,
        host_devices=host_addresses(root),
        movable=movable,
        movable_why=why,
        manager=managed_by,
        running=root.get("id") is not None,
        security=_security(scan),
        notes=tuple(scan.notes),
    )


def _security(scan: DomainScan) -> dict[str, int]:
    """Return the keys that a confidential guest takes, and the enclave memory (EPC, bytes) of an SGX guest.

    Guests of SEV-ES (bit 2 of the policy) and SEV-SNP take keys of one kind, those of plain SEV of the other.
    """
    found: dict[str, int] = {}
    launch = scan.find("launchSecurity")
    kind = "" if launch is None else launch.get("type", "")
    if launch is not None and kind == "sev":
        policy = (launch.findtext("policy") or "").strip()
        encrypted_state = bool(_POLICY.fullmatch(policy)) and int(policy, 0) & 4
        found["sev_es" if encrypted_state else "sev"] = 1
    elif kind in ("sev-snp", "tdx"):
        found["tdx" if kind == "tdx" else "sev_es"] = 1
    for device in scan.all("devices/memory"):
        size = device.find("target/size")
        if device.get("model") == "sgx-epc" and size is not None:
            found["sgx_epc"] = found.get("sgx_epc", 0) + 1024 * (scan.size_kib(size, size.text or "") or 0)
    return found


def _name(scan: DomainScan) -> str:
    element = scan.find("name")
    if element is None or not (element.text or ""):
        scan.fault(scan.root, "the domain has no name", field="<name>")
        return ""
    return element.text or ""


def _uuid(scan: DomainScan) -> str | None:
    element = scan.find("uuid")
    if element is None:
        return None
    text = (element.text or "").strip()
    try:
        return str(uuid.UUID(text))
    except ValueError:
        scan.fault(element, f"{text[:60]!r} is no UUID")
        return None


def _interleave(scan: DomainScan, memory: Memory, numatune: Numatune, vcpus: int) -> int:
    """Return over how many nodes a flat guest is spread; interleaved cells are noted: elsewhere they get one node."""
    for position, policy in numatune.memnodes.items():
        if policy.mode == "interleave" and policy.nodeset is not None and len(policy.nodeset) > 1:
            scan.notes.append(
                f"guest cell {memory.cell_ids[position]} is interleaved over several nodes; a plan that moves it names "
                "one"
            )
    policy_of_all = numatune.memory
    if policy_of_all is None or policy_of_all.mode != "interleave" or policy_of_all.nodeset is None:
        return 1
    spread = len(policy_of_all.nodeset)
    if memory.cells:
        if spread > 1 and len(numatune.memnodes) < len(memory.cells):
            scan.notes.append(
                "guest cells without a memnode are interleaved over several nodes; a plan that moves it names one each"
            )
        return 1
    if spread > vcpus:
        scan.notes.append(
            f"memory interleaved over {count(spread, 'node')}, more than its {count(vcpus, 'vCPU')}, is planned on one"
        )
        return 1
    return spread


def _note_kind(scan: DomainScan) -> None:
    kind = scan.root.get("type")
    if kind not in ("kvm", "qemu"):
        scan.note(scan.root, f"domain type {kind!r} is neither kvm nor qemu; it is planned as a VM that needs no KVM")


def _note_unpinned(scan: DomainScan, pins: Pins, vcpus: int, offline: frozenset[int]) -> None:
    """Note how many of the vCPUs that are online are not pinned: nothing runs of the others."""
    online = frozenset(range(vcpus)) - offline
    floating = len(online - pins.vcpus.keys())
    if floating:
        some = f"{floating} of {count(len(online), 'vCPU')} {'is' if floating == 1 else 'are'} not pinned"
        named = some if pins.vcpus else "no vCPU is pinned"
        scan.notes.append(named)
