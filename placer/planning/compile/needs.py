"""What a VM needs, reduced to numbers: its parts, each of which goes to one node, and all that makes VMs
interchangeable.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from placer.model.vm import MAX_AUTO_CELLS, CellMode, DeviceRequest, EmulatorPolicy, VmSpec
from solvers.pins.cpu_rows import CoreKind, CpuPolicy

DEFAULT_PAGE_KIB = 4

Shares = tuple[tuple[float, ...], ...]
"""Of the accesses of each part (rows) what share goes to the memory of each part."""


@dataclass(frozen=True, slots=True)
class Part:
    """What goes to one node together: dedicated and shared vCPUs, RAM as the guest sees it and as it is taken in
    whole pages, its share of the overhead (KiB). `offline` are shared vCPUs that are not there yet and take nothing;
    `page_kib` None are ordinary pages.
    """

    dedicated: int
    shared: int
    ram_kib: int
    memory_kib: int
    overhead_kib: int
    offline: int = 0
    page_kib: int | None = None

    @property
    def vcpus(self) -> int:
        """All vCPUs of the part."""
        return self.dedicated + self.shared + self.offline

    @property
    def is_empty(self) -> bool:
        """Tell whether it is a guest cell of nothing, such as one for a device: it lies wherever the VM does."""
        return not self.vcpus and not self.memory_kib


@dataclass(frozen=True, slots=True)
class Needs:
    """One flavor's needs. `options` are the alternatives (``cells: auto`` has several), each a tuple of parts.

    Two VMs of equal needs take the same rows and cost the same wherever they are put.
    """

    options: tuple[tuple[Part, ...], ...]
    vcpus: int
    shown: bool
    locality: float | None
    thread_policy: CpuPolicy
    core_kind: CoreKind
    extra_cpu: bool
    share_node: bool
    any_tier: bool
    weight: float
    priority: int
    kvm: bool
    devices: tuple[tuple[str, str, str, int], ...]
    resources: tuple[tuple[str, int], ...]

    @property
    def takes_memory(self) -> bool:
        """Tell whether it takes any: CPU slots of a headroom goal, whatever the memory, do not."""
        return any(part.memory_kib or part.overhead_kib for part in self.options[0])

    @property
    def pins(self) -> bool:
        """Tell whether it has dedicated vCPUs."""
        return any(part.dedicated for part in self.options[0])

    def device_units(self, option: int) -> tuple[tuple[str, str, int | None], ...]:
        """Return kind, policy, and the part that it belongs to (None: any) of every device, in the order of a plan."""
        parts = [number for number, part in enumerate(self.options[option]) if part.vcpus]
        units: list[tuple[str, str, int | None]] = []
        for kind, policy, per, count in self.devices:
            own: list[int | None] = [*parts] if per == "cell" and self.shown else [None]
            units += [(kind, policy, part) for part in own for _ in range(count)]
        return tuple(units)

    def lead(self, option: int) -> int:
        """Return the first part that has vCPUs: emulator threads with a CPU of their own are beside it."""
        return next(number for number, part in enumerate(self.options[option]) if part.vcpus)

    def transfer(self, option: int) -> Shares:
        """Return T[c][e] of the measure: the share of part c's accesses that goes to part e's memory (rows sum to
        1).
        """
        parts = self.options[option]
        return transfer(tuple(part.ram_kib for part in parts), self.locality if self.shown else None)


def joint_slots(needs: Needs, nodes: Sequence[int], slot: int) -> tuple[int, ...]:
    """Return the parts whose vCPUs fill cores together with those of a part, itself among them, none where an earlier
    one stands for it: a flat guest is one cell, so its parts on one node share their cores. `nodes` are those of its
    parts.
    """
    if needs.shown or needs.thread_policy not in ("require", "pairs"):
        return (slot,)
    here = tuple(other for other, node in enumerate(nodes) if node == nodes[slot])
    return here if here[0] == slot else ()


@functools.lru_cache(maxsize=4096)
def transfer(memory: tuple[int, ...], locality: float | None) -> Shares:
    """Return T of the measure for cells of these sizes; `locality` None is uniform. Empty memory counts as equal."""
    count = len(memory)
    if count == 1:
        return ((1.0,),)
    sizes = memory if sum(memory) else (1,) * count
    total = sum(sizes)
    if locality is None:
        return (tuple(size / total for size in sizes),) * count
    rows = []
    for own in range(count):
        others = total - sizes[own]
        if others:
            rows.append(
                tuple(locality if other == own else (1 - locality) * sizes[other] / others for other in range(count))
            )
        else:
            rows.append(tuple(1.0 if other == own else 0.0 for other in range(count)))
    return tuple(rows)


def spec_needs(spec: VmSpec, *, locked_cells: int | None = None) -> Needs:
    """Return the needs of a spec; `locked_cells` fixes how many cells an ``auto`` VM that is already placed has."""
    return Needs(
        options=tuple(_options(spec, locked_cells)),
        vcpus=spec.vcpus,
        shown=spec.cell_mode is not CellMode.NONE,
        locality=spec.locality,
        thread_policy=spec.thread_policy.value,
        core_kind=spec.core_kind.value,
        extra_cpu=spec.emulator_threads is EmulatorPolicy.ISOLATE,
        # Memory interleaved over k nodes is on k nodes: only cells that the guest sees may share one.
        share_node=spec.share_node and spec.cell_mode is not CellMode.NONE,
        any_tier=spec.memory_tier == "any",
        weight=spec.weight,
        priority=spec.priority,
        kvm=spec.kvm,
        devices=tuple(sorted(_device_key(request) for request in spec.devices)),
        resources=tuple(sorted(spec.resources.items())),
    )


def spec_key(spec: VmSpec, locked_cells: int | None) -> tuple[Any, ...]:
    """Return a hashable key: specs of equal keys have equal needs. Labels, names and vCPU ids do not enter."""
    cells = tuple(
        (
            sum(map(spec.is_dedicated, cell.vcpus)),
            sum(spec.is_online(vcpu) for vcpu in cell.vcpus if not spec.is_dedicated(vcpu)),
            len(cell.vcpus),
            cell.memory_kib,
            cell.page_kib,
        )
        for cell in spec.cells
    )
    return (
        spec.vcpus,
        spec.vcpus_current,
        spec.memory_kib,
        spec.cell_mode,
        cells,
        spec.interleave,
        spec.share_node,
        spec.locality,
        spec.page_kib,
        spec.cpu_policy,
        len(spec.dedicated_vcpus),
        spec.thread_policy,
        spec.core_kind,
        spec.emulator_threads,
        len(spec.iothreads),
        spec.overhead_kib,
        spec.memory_tier,
        spec.weight,
        spec.priority,
        spec.devices,
        tuple(sorted(spec.resources.items())),
        spec.kvm,
        locked_cells,
    )


def part_vcpus(spec: VmSpec, parts: int) -> tuple[tuple[int, ...], ...]:
    """Return which vCPU ids make each part: the cells' own, or consecutive runs, earlier ones one longer where it
    does not divide.
    """
    if spec.cell_mode is CellMode.GIVEN and len(spec.cells) == parts:
        return tuple(tuple(sorted(cell.vcpus)) for cell in spec.cells)
    runs, first = [], 0
    for size in split_evenly(spec.vcpus, parts):
        runs.append(tuple(range(first, first + size)))
        first += size
    return tuple(runs)


def part_memory(spec: VmSpec, parts: int) -> tuple[int, ...]:
    """Return the memory of each part in KiB, before rounding up to whole pages."""
    if spec.cell_mode is CellMode.GIVEN and len(spec.cells) == parts:
        return tuple(cell.memory_kib for cell in spec.cells)
    return split_evenly(spec.memory_kib, parts)


def split_evenly(total: int, parts: int) -> tuple[int, ...]:
    """Split a whole number in `parts`, as even as possible, earlier ones taking the remainder."""
    low, more = divmod(total, parts)
    return tuple(low + (number < more) for number in range(parts))


def auto_cells(spec: VmSpec) -> Iterable[int]:
    """Return how many equal cells an ``auto`` VM may have: k <= 8 that divides the vCPUs and, in pages, the memory."""
    page = spec.page_kib or DEFAULT_PAGE_KIB
    pages = -(-spec.memory_kib // page)
    return [k for k in range(1, MAX_AUTO_CELLS + 1) if spec.vcpus % k == 0 and (k == 1 or pages % k == 0)]


def _options(spec: VmSpec, locked_cells: int | None) -> Iterable[tuple[Part, ...]]:
    if spec.cell_mode is CellMode.GIVEN:
        yield _parts(spec, len(spec.cells))
    elif spec.cell_mode is CellMode.NONE:
        yield _parts(spec, spec.interleave)
    elif locked_cells is not None:
        yield _parts(spec, locked_cells)
    else:
        for count in auto_cells(spec):
            yield _parts(spec, count)


def _parts(spec: VmSpec, count: int) -> tuple[Part, ...]:
    overhead = -(-spec.overhead_taken_kib // count)
    parts = []
    given = spec.cell_mode is CellMode.GIVEN and len(spec.cells) == count
    for number, (vcpus, memory) in enumerate(zip(part_vcpus(spec, count), part_memory(spec, count), strict=True)):
        page = (spec.page_of(number) if given else spec.page_kib) or DEFAULT_PAGE_KIB
        dedicated = sum(map(spec.is_dedicated, vcpus))
        offline = sum(not spec.is_online(vcpu) for vcpu in vcpus if not spec.is_dedicated(vcpu))
        parts.append(
            Part(
                dedicated=dedicated,
                shared=len(vcpus) - dedicated - offline,
                ram_kib=memory,
                memory_kib=-(-memory // page) * page,
                overhead_kib=overhead,
                offline=offline,
                page_kib=page if page != DEFAULT_PAGE_KIB else None,
            )
        )
    return tuple(parts)


def _device_key(request: DeviceRequest) -> tuple[str, str, str, int]:
    return (request.kind, request.policy, request.per, request.count)
