"""A QEMU command line as a VM: ``-smp``, ``-numa``, ``-m``, memory backends and their host nodes, name and UUID."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count, islice

from placer.errors import InputError
from placer.model.cpuset import parse_cpuset
from placer.model.units import KIB_PER_GIB, KIB_PER_MIB
from placer.model.vm import Cell, CellMode, CpuPolicy, Movable, VmSpec
from placer.read.domains.memory import MemoryPolicy, Numatune
from placer.read.domains.qemu_options import Option, command_words, fields, options, size_kib
from placer.read.domains.qemu_smp import Smp, read_smp
from placer.read.domains.reading import DomainReading

_DEFAULT_KIB = 128 * KIB_PER_MIB
_HUGE_KIB = 2 * KIB_PER_MIB
_POLICIES = {"bind": "strict", "interleave": "interleave", "preferred": "preferred"}
_DIMMS = frozenset({"pc-dimm", "virtio-mem-pci", "virtio-mem"})
_HOST_DEVICES = ("vfio-pci", "vfio-ap", "vfio-ccw", "usb-host", "scsi-block", "scsi-generic")
_ON = frozenset({"on", "yes", "true"})

_MOST_NODES = 1024
_IOTHREAD = re.compile(r"iothread([1-9]\d{0,4})")

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class _Node:
    """One ``-numa node``: its vCPUs, its memory (KiB; None where QEMU splits it) and the backend it is made of."""

    vcpus: set[int] = field(default_factory=set)
    memory_kib: int | None = None
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class _Backend:
    """One ``memory-backend-*`` object. `page_kib` None means ordinary pages."""

    size_kib: int
    policy: MemoryPolicy | None
    page_kib: int | None
    shared: bool


def read_qemu_cmdline(data: bytes, source: str) -> DomainReading:
    """Read a QEMU command line: from /proc/PID/cmdline, ``ps``, a script or libvirt's log.

    It tells no pins: those are set on the threads from outside. So every vCPU counts as dedicated, as it does in a
    domain that is not pinned.

    Raises
    ------
    InputError
        No QEMU option in it, or figures that QEMU would not take either.
    """
    given = list(options(command_words(data, source)))
    if not any(option.name in ("smp", "m", "numa", "name", "uuid", "object") for option in given):
        raise InputError(
            "there is no -smp, -m, -numa or -name here", file=source, cure="give a whole QEMU command line"
        )
    notes: list[str] = ["a command line tells no pins: planned as dedicated"]
    smp = read_smp(_pairs(given, "smp", "cpus", source), source)
    objects = [fields(option.value, "type", source) for option in given if option.name == "object"]
    devices = [fields(option.value, "type", source) for option in given if option.name == "device"]
    offline = frozenset(range(smp.online, smp.most)) - _plugged(devices, smp)
    backends = _backends(objects, source, notes)
    total_kib = _memory_kib(given, source)
    nodes = _nodes(given, smp, source, notes)
    name, identity = _identity(given, source)
    if nodes:
        _share_memory(nodes, backends, total_kib, source)
        cells, numatune = _cells(nodes, backends, devices, source)
        used = [backends[node.backend] for _, node in sorted(nodes.items()) if node.backend is not None]
    else:
        main = backends.get(dict(_pairs(given, "machine", "type", source)).get("memory-backend", ""))
        cells = (Cell(vcpus=frozenset(range(smp.most)), memory_kib=total_kib),)
        numatune = Numatune(memory=None if main is None else main.policy)
        used = [] if main is None else [main]
    policy = numatune.memory
    spread = policy is not None and policy.mode == "interleave" and policy.nodeset is not None
    bound = tuple(
        f"device {kind}" for pairs in devices if (kind := dict(pairs).get("type", "")).startswith(_HOST_DEVICES)
    )
    spec = VmSpec(
        vcpus=smp.most,
        memory_kib=sum(cell.memory_kib for cell in cells),
        cell_mode=CellMode.GIVEN if nodes else CellMode.NONE,
        cells=cells,
        interleave=len(policy.nodeset or ()) if spread and policy is not None and not nodes else 1,
        page_kib=_page_kib(given, used, source, notes),
        cpu_policy=CpuPolicy.DEDICATED,
        iothreads=_iothreads(objects),
        vcpus_current=smp.most - len(offline) if offline else None,
        offline_vcpus=offline if offline != frozenset(range(smp.most - len(offline), smp.most)) else frozenset(),
        kvm=_uses_kvm(given, source),
    )
    return DomainReading(
        name=name,
        uuid=identity,
        spec=spec,
        numatune=numatune,
        movable=Movable.NO if bound else Movable.LIVE,
        movable_why=bound,
        running=True,
        notes=tuple(notes),
    )


def _pairs(given: list[Option], name: str, implied: str, source: str) -> Pairs:
    """Return the keys and values of every option of this name; QEMU merges them, the last one wins."""
    return [pair for option in given if option.name == name for pair in fields(option.value, implied, source)]


def _identity(given: list[Option], source: str) -> tuple[str, str | None]:
    name = dict(_pairs(given, "name", "guest", source)).get("guest", "")
    texts = [option.value for option in given if option.name == "uuid"]
    if not texts:
        return name or source, None
    try:
        identity = str(uuid.UUID(texts[-1]))
    except ValueError:
        raise InputError(f"-uuid {texts[-1][:60]!r} is no UUID", file=source) from None
    return name or identity, identity


def _iothreads(objects: list[Pairs]) -> tuple[int, ...]:
    """Return libvirt's ids of the IOThreads, ``iothreadN``; others are numbered by what is free."""
    names = [one.get("id", "") for one in map(dict, objects) if one.get("type") == "iothread"]
    ids = {int(match[1]) for name in names if (match := _IOTHREAD.fullmatch(name))}
    free = (number for number in count(1) if number not in ids)
    return tuple(sorted({*ids, *islice(free, len(names) - len(ids))}))


def _plugged(devices: list[Pairs], smp: Smp) -> frozenset[int]:
    """Return the vCPUs that ``-device …-cpu`` brings up beside those of ``-smp``."""
    places = [
        {key: text for key, text in pairs if key in smp.level_ids(0)}
        for pairs in devices
        if dict(pairs).get("type", "").endswith("-cpu")
    ]
    return frozenset(
        vcpu
        for vcpu in (range(smp.online, smp.most) if places else ())
        for place in places
        if place and all(str(smp.level_ids(vcpu)[key]) == text for key, text in place.items())
    )


def _memory_kib(given: list[Option], source: str) -> int:
    size = dict(_pairs(given, "m", "size", source)).get("size")
    return _DEFAULT_KIB if size is None else size_kib(size, "-m", source, bare_kib=KIB_PER_MIB)


def _uses_kvm(given: list[Option], source: str) -> bool:
    if any(option.name == "enable-kvm" for option in given):
        return True
    accelerators = [text for key, text in _pairs(given, "accel", "accel", source) if key == "accel"]
    accelerators += [text for key, text in _pairs(given, "machine", "type", source) if key == "accel"]
    return any("kvm" in text.split(":") for text in accelerators)


def _backends(objects: list[Pairs], source: str, notes: list[str]) -> dict[str, _Backend]:
    backends = {}
    for pairs in objects:
        one = dict(pairs)
        kind = one.get("type", "")
        if not kind.startswith("memory-backend-") or "id" not in one:
            continue
        nodes = frozenset[int]().union(
            *(_set(text, "host-nodes", source) for key, text in pairs if key == "host-nodes")
        )
        mode = one.get("policy", "default")
        backends[one["id"]] = _Backend(
            size_kib=size_kib(one.get("size", "0"), f"the size of {one['id'][:40]!r}", source),
            policy=MemoryPolicy(mode=_POLICIES[mode], nodeset=nodes) if mode in _POLICIES and nodes else None,
            page_kib=_backend_page_kib(kind, one, source, notes),
            shared=one.get("share") in _ON,
        )
    return backends


def _backend_page_kib(kind: str, one: Mapping[str, str], source: str, notes: list[str]) -> int | None:
    if one.get("hugetlb") in _ON:
        return size_kib(one["hugetlbsize"], "hugetlbsize", source) if "hugetlbsize" in one else _HUGE_KIB
    return _path_page_kib(one.get("mem-path", ""), notes) if kind == "memory-backend-file" else None


def _path_page_kib(path: str, notes: list[str]) -> int | None:
    if "huge" not in path:
        return None
    page = KIB_PER_GIB if "1G" in path or "1048576" in path else _HUGE_KIB
    notes.append(f"{path[:80]!r} does not tell its page size; {page} KiB is assumed")
    return page


def _page_kib(given: list[Option], used: list[_Backend], source: str, notes: list[str]) -> int | None:
    for option in given:
        if option.name == "mem-path":
            return _path_page_kib(option.value, notes)
    pages = [backend.page_kib for backend in used]
    if len(set(pages)) > 1:
        notes.append("page sizes that differ by guest cell are not understood; planned with that of the first one")
    return pages[0] if pages else None


def _nodes(given: list[Option], smp: Smp, source: str, notes: list[str]) -> dict[int, _Node]:
    nodes: dict[int, _Node] = {}
    assigned: list[dict[str, str]] = []
    for option in given:
        if option.name != "numa":
            continue
        pairs = fields(option.value, "type", source)
        one = dict(pairs)
        if one.get("type") == "node":
            number = int(_count(one.get("nodeid", str(len(nodes))), "-numa node,nodeid", source))
            if len(nodes) > _MOST_NODES:
                raise InputError(
                    f"there are more than {_MOST_NODES} -numa nodes, and QEMU has at most 128", file=source
                )
            if number in nodes:
                raise InputError(f"-numa node {number} is there twice", file=source)
            memory = size_kib(one["mem"], "-numa node,mem", source, bare_kib=KIB_PER_MIB) if "mem" in one else None
            nodes[number] = _Node(memory_kib=memory, backend=one.get("memdev"))
            for key, text in pairs:
                if key == "cpus":
                    nodes[number].vcpus |= _set(text, "-numa node,cpus", source)
        elif one.get("type") == "cpu":
            assigned.append(one)
        else:
            notes.append(f"-numa {one.get('type', '')[:20]} is not understood and not planned with")
    _assign(nodes, assigned, smp, source)
    return nodes


def _assign(nodes: dict[int, _Node], assigned: list[dict[str, str]], smp: Smp, source: str) -> None:
    """Give every vCPU its node: as ``-numa cpu`` says; if nothing is said, sockets in turn; the rest to the first."""
    if not nodes:
        return
    ids = [smp.level_ids(vcpu) for vcpu in range(smp.most)] if assigned else []
    for one in assigned:
        number = int(_count(one.get("node-id", ""), "-numa cpu,node-id", source))
        if number not in nodes:
            raise InputError(f"-numa cpu names node {number}, which there is not", file=source)
        wanted = {key: int(_count(one[key], f"-numa cpu,{key}", source)) for key in one if key in smp.level_ids(0)}
        nodes[number].vcpus |= {vcpu for vcpu, own in enumerate(ids) if wanted.items() <= own.items()}
    order = sorted(nodes)
    if not any(node.vcpus for node in nodes.values()):
        for vcpu in range(smp.most):
            nodes[order[smp.level_ids(vcpu)["socket-id"] % len(order)]].vcpus.add(vcpu)
    owners: dict[int, int] = {}
    for number in order:
        for vcpu in sorted(nodes[number].vcpus):
            if vcpu >= smp.most:
                raise InputError(f"-numa node {number} names vCPU {vcpu}, the VM has {smp.most}", file=source)
            if vcpu in owners:
                raise InputError(f"vCPU {vcpu} is in the NUMA nodes {owners[vcpu]} and {number}", file=source)
            owners[vcpu] = number
    nodes[order[0]].vcpus |= set(range(smp.most)) - set(owners)


def _set(text: str, what: str, source: str) -> frozenset[int]:
    try:
        return parse_cpuset(text)
    except InputError as error:
        raise InputError(error.faults[0].message, file=source, field=what) from None


def _count(text: str, what: str, source: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise InputError(f"{what} is {text[:40]!r}, which is no whole number", file=source)
    return text


def _share_memory(nodes: dict[int, _Node], backends: Mapping[str, _Backend], total_kib: int, source: str) -> None:
    """Settle what each node holds: its backend's size, else its own figure, else an equal part of ``-m``."""
    for number, node in nodes.items():
        if node.backend is not None:
            if node.backend not in backends:
                raise InputError(
                    f"-numa node {number} names the backend {node.backend[:40]!r}, which there is not", file=source
                )
            node.memory_kib = backends[node.backend].size_kib
    if all(node.memory_kib is None for node in nodes.values()):
        low, more = divmod(total_kib, len(nodes))
        for place, number in enumerate(sorted(nodes)):
            nodes[number].memory_kib = low + (place < more)


def _cells(
    nodes: Mapping[int, _Node], backends: Mapping[str, _Backend], devices: list[Pairs], source: str
) -> tuple[tuple[Cell, ...], Numatune]:
    plugged: dict[int, int] = {}
    for pairs in devices:
        one = dict(pairs)
        if one.get("type") in _DIMMS and one.get("memdev") in backends:
            number = int(_count(one.get("node", "0"), "the node of a memory device", source))
            plugged[number] = plugged.get(number, 0) + backends[one["memdev"]].size_kib
    cells, policies = [], {}
    for place, (number, node) in enumerate(sorted(nodes.items())):
        backend = backends.get(node.backend or "")
        cells.append(
            Cell(
                vcpus=frozenset(node.vcpus),
                memory_kib=(node.memory_kib or 0) + plugged.get(number, 0),
                mem_access="shared" if backend is not None and backend.shared else None,
            )
        )
        if backend is not None and backend.policy is not None:
            policies[place] = backend.policy
    return tuple(cells), Numatune(memnodes=policies)
