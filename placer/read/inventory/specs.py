"""From the keys of ``vms[]`` that say what a VM needs to its spec; over the spec that its domain XML tells, if any."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from placer.errors import InputError
from placer.model import units
from placer.model.cpu_topology import LEVELS, CpuTopology, TopologyPolicy
from placer.model.cpuset import format_cpuset
from placer.model.units import format_kib
from placer.model.vm import (
    Cell,
    CellMode,
    CoreKind,
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    MemoryMode,
    ThreadPolicy,
    VmSpec,
)
from placer.read.inventory.schema import CellEntry, TopologyEntry, VmEntry
from placer.read.inventory.validation import Problem

SPEC_KEYS = (
    "vcpus",
    "vcpus_current",
    "memory",
    "cells",
    "interleave",
    "share_node",
    "locality",
    "page_size",
    "cpu_policy",
    "dedicated_vcpus",
    "thread_policy",
    "core_kind",
    "emulator_threads",
    "iothreads",
    "overhead",
    "memory_tier",
    "memory_mode",
    "weight",
    "priority",
    "devices",
    "resources",
    "labels",
    "reshape",
    "kvm",
    "cpu_topology",
    "max_sockets",
)
"""The keys of a VM entry that make its spec: entries that agree in them share one object."""
_ORDINARY_PAGE_KIB = 4


def build_spec(entry: VmEntry, base: VmSpec | None, problems: list[Problem]) -> VmSpec | None:
    """Return the spec of an entry; `base` is what its domain XML tells, and the entry's own keys stand above it."""
    before = len(problems)
    fields: dict[str, Any] = {}
    _sizes(entry, base, fields, problems)
    _policies(entry, fields, problems)
    _plain(entry, fields)
    if len(problems) > before:
        return None
    try:
        if base is None:
            spec = VmSpec(**fields)
        else:
            told = all(getattr(base, name) == value for name, value in fields.items())
            spec = base if told else replace(base, **fields)
    except InputError as error:
        problems.extend(((fault.field or "cells",), fault.message, fault.cure) for fault in error.faults)
        return None
    if entry.cpu_topology is not None:
        spec = replace(spec, cpu_topology=_topology(spec, entry.cpu_topology, base is not None, problems))
    _check(spec, entry, problems)
    return spec if len(problems) == before else None


def _sizes(entry: VmEntry, base: VmSpec | None, fields: dict[str, Any], problems: list[Problem]) -> None:
    """Settle vCPUs, memory and cells, which have to agree."""
    if isinstance(entry.cells, list):
        _given_cells(entry, entry.cells, fields, problems)
        return
    vcpus = entry.vcpus if entry.vcpus is not None else base.vcpus if base is not None else None
    memory = entry.memory if entry.memory is not None else base.memory_kib if base is not None else None
    for name, value in (("vcpus", vcpus), ("memory", memory)):
        if value is None:
            problems.append(((name,), "is missing", None))
    if vcpus is None or memory is None:
        return
    fields.update(vcpus=vcpus, memory_kib=memory)
    if entry.cells is None and base is not None:
        if base.cell_mode is CellMode.GIVEN and (vcpus, memory) != (base.vcpus, base.memory_kib):
            problems.append(
                (
                    ("cells",),
                    f"the domain XML has cells of {base.vcpus} vCPUs and {format_kib(base.memory_kib)}, "
                    f"the inventory says {vcpus} and {format_kib(memory)}",
                    "say cells here too",
                )
            )
        elif base.cell_mode is CellMode.NONE:
            fields.update(cells=_equal(vcpus, memory, 1))
        return
    if entry.cells is None or entry.cells == "auto":
        fields.update(cell_mode=CellMode.AUTO, cells=())
    elif entry.cells == "none":
        fields.update(cell_mode=CellMode.NONE, cells=_equal(vcpus, memory, 1))
    else:
        count = int(entry.cells)
        if vcpus % count or memory % count:
            message = f"{vcpus} vCPUs and {format_kib(memory)} cannot be cut in {count} equal cells"
            problems.append((("cells",), message, "list the cells"))
        else:
            fields.update(cell_mode=CellMode.GIVEN, cells=_equal(vcpus, memory, count))


def _equal(vcpus: int, memory_kib: int, count: int) -> tuple[Cell, ...]:
    each = vcpus // count
    return tuple(
        Cell(vcpus=frozenset(range(n * each, (n + 1) * each)), memory_kib=memory_kib // count) for n in range(count)
    )


def _given_cells(entry: VmEntry, listed: list[CellEntry], fields: dict[str, Any], problems: list[Problem]) -> None:
    if not listed:
        problems.append((("cells",), "the list is empty", "write none for a flat guest"))
        return
    cells: list[Cell] = []
    next_vcpu = 0
    for number, cell in enumerate(listed):
        path = ("cells", number)
        if cell.cpus is None and cell.vcpus is None:
            problems.append(((*path, "vcpus"), "is missing", None))
            continue
        if cell.cpus is not None and cell.vcpus is not None and len(cell.cpus) != cell.vcpus:
            problems.append(
                (
                    (*path, "cpus"),
                    f"{format_cpuset(cell.cpus)} are {units.count(len(cell.cpus), 'vCPU')}, vcpus says {cell.vcpus}",
                    None,
                )
            )
        own = cell.cpus if cell.cpus is not None else frozenset(range(next_vcpu, next_vcpu + (cell.vcpus or 0)))
        next_vcpu = max(own, default=next_vcpu - 1) + 1
        cells.append(Cell(vcpus=own, memory_kib=cell.memory, mem_access=cell.mem_access, page_kib=cell.page_size))
    if any(path[:1] == ("cells",) for path, _, _ in problems):
        return
    vcpus = sum(len(cell.vcpus) for cell in cells)
    memory = sum(cell.memory_kib for cell in cells)
    if entry.vcpus is not None and vcpus != entry.vcpus:
        problems.append(
            (
                ("cells",),
                f"the cells hold {units.count(vcpus, 'vCPU')}, the VM has {entry.vcpus}",
                "make the cells add up",
            )
        )
    elif entry.memory is not None and memory != entry.memory:
        problems.append(
            (
                ("cells",),
                f"the cells hold {format_kib(memory)}, the VM has {format_kib(entry.memory)}",
                "make the cells add up",
            )
        )
    elif not vcpus:
        problems.append((("cells",), "the cells hold no vCPU", None))
    fields.update(vcpus=vcpus, memory_kib=memory, cell_mode=CellMode.GIVEN, cells=tuple(cells))


def _policies(entry: VmEntry, fields: dict[str, Any], problems: list[Problem]) -> None:
    if entry.cpu_policy is not None:
        fields["cpu_policy"] = CpuPolicy(entry.cpu_policy)
        fields["dedicated_vcpus"] = frozenset()
    if entry.dedicated_vcpus is not None:
        fields["dedicated_vcpus"] = entry.dedicated_vcpus
    if entry.thread_policy is not None:
        fields["thread_policy"] = ThreadPolicy(entry.thread_policy)
    if entry.memory_mode is not None:
        fields["memory_mode"] = MemoryMode(entry.memory_mode)
    if entry.core_kind is not None:
        fields["core_kind"] = CoreKind(entry.core_kind)
    if entry.emulator_threads is not None:
        fields["emulator_threads"] = EmulatorPolicy(entry.emulator_threads)
    if entry.iothreads is not None:
        ids = range(1, entry.iothreads + 1) if isinstance(entry.iothreads, int) else entry.iothreads
        if len(set(ids)) < len(ids):
            problems.append((("iothreads",), "an IOThread id is here twice", None))
        fields["iothreads"] = tuple(sorted(ids))


def _topology(
    spec: VmSpec, said: TopologyEntry | str, has_xml: bool, problems: list[Problem]
) -> CpuTopology | TopologyPolicy | None:
    """Return what the guest sees of its CPUs; cores that are left out are those that remain."""
    path = ("cpu_topology",)
    if has_xml and said != "keep" and not spec.reshape:
        problems.append((path, "a guest keeps the topology of its domain XML", "say keep, or reshape: true"))
        return None
    if isinstance(said, str):
        return TopologyPolicy(said)
    counts = {level: count for level in LEVELS if (count := getattr(said, level)) is not None}
    if "cores" not in counts:
        counts["cores"] = max(1, spec.vcpus // CpuTopology(**counts).vcpus)
    topology = CpuTopology(**counts)
    if topology.vcpus != spec.vcpus:
        message = f"makes {units.count(topology.vcpus, 'vCPU')}, the VM has {spec.vcpus}"
        problems.append((path, message, "sockets × dies × clusters × cores × threads are the vCPUs"))
        return None
    cut = next((cell for cell in spec.cells if _cuts_core(cell, topology.threads)), None)
    if spec.cell_mode is CellMode.GIVEN and cut is not None:
        problems.append((path, f"a cell cuts a core of {topology.threads} threads in two", "give whole cores to cells"))
        return None
    return topology


def _cuts_core(cell: Cell, threads: int) -> bool:
    """Tell whether a cell has some but not all threads of a guest core."""
    cores = Counter(vcpu // threads for vcpu in cell.vcpus)
    return any(count != threads for count in cores.values())


def _plain(entry: VmEntry, fields: dict[str, Any]) -> None:
    """Take over the keys that stand for themselves."""
    for name in (
        "interleave",
        "share_node",
        "memory_tier",
        "vcpus_current",
        "weight",
        "priority",
        "labels",
        "reshape",
        "kvm",
        "max_sockets",
    ):
        if getattr(entry, name) is not None:
            fields[name] = getattr(entry, name)
    if entry.interleave is None and entry.cells not in (None, "none"):
        fields["interleave"] = 1  # the XML may spread a flat guest, which this one no longer is
    if entry.locality is not None:
        fields["locality"] = None if entry.locality == "uniform" else float(entry.locality)
    if entry.page_size is not None:
        fields["page_kib"] = None if entry.page_size == _ORDINARY_PAGE_KIB else entry.page_size
    if entry.overhead is not None:
        fields["overhead_kib"] = entry.overhead
    if entry.devices is not None:
        fields["devices"] = tuple(
            DeviceRequest(kind=one.kind, policy=one.policy, count=one.count, per=one.per) for one in entry.devices
        )
    if entry.resources is not None:
        fields["resources"] = {name: amount for name, (amount, _) in entry.resources.items()}


def _check(spec: VmSpec, entry: VmEntry, problems: list[Problem]) -> None:
    """Refuse what contradicts itself although each key alone is fine."""
    every = frozenset(range(spec.vcpus))
    if spec.cpu_policy is CpuPolicy.MIXED:
        if not spec.dedicated_vcpus:
            problems.append(
                (("cpu_policy",), "mixed needs dedicated_vcpus", 'name the pinned vCPUs: dedicated_vcpus: "0-3"')
            )
        elif not spec.dedicated_vcpus < every:
            problems.append(
                (
                    ("dedicated_vcpus",),
                    f"{format_cpuset(spec.dedicated_vcpus)} is not a part of the vCPUs {format_cpuset(every)}",
                    None,
                )
            )
    elif spec.dedicated_vcpus:
        problems.append((("dedicated_vcpus",), f"goes with cpu_policy: mixed, not {spec.cpu_policy.value}", None))
    if spec.cpu_policy is CpuPolicy.SHARED and spec.thread_policy is not ThreadPolicy.PREFER:
        problems.append((("thread_policy",), f"{spec.thread_policy.value} needs dedicated vCPUs", None))
    if spec.cpu_policy is CpuPolicy.SHARED and spec.core_kind is not CoreKind.ANY:
        problems.append((("core_kind",), f"{spec.core_kind.value} needs dedicated vCPUs", None))
    if spec.vcpus_current is not None and spec.vcpus_current > spec.vcpus:
        problems.append((("vcpus_current",), f"{spec.vcpus_current} is above the maximum of {spec.vcpus}", None))
    if spec.interleave > 1 and spec.cell_mode is not CellMode.NONE:
        problems.append((("interleave",), "is for flat guests", "say cells: none"))
    elif spec.interleave > spec.vcpus:
        problems.append((("interleave",), f"{spec.vcpus} vCPUs cannot lie on {spec.interleave} nodes", None))
    if spec.memory_kib == 0:
        problems.append((("memory",), "a VM has memory", None))
    said = entry.page_size is not None or isinstance(entry.cells, list)
    for number, cell in enumerate(spec.cells if said and spec.cell_mode is CellMode.GIVEN else ()):
        page = spec.page_of(number)
        if page is not None and cell.memory_kib % page:
            message = f"cell {number} has {format_kib(cell.memory_kib)}, no whole number of pages of {format_kib(page)}"
            problems.append((("page_size",), f"{message}: QEMU would not start it", None))
            break
