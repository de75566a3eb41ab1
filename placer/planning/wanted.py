"""The VMs whose headroom is asked for: flavors as text, in so many cells and pages of a size, or like a VM."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from placer.errors import InputError, did_you_mean
from placer.model.fleet import Fleet
from placer.model.goals import HeadroomFlavor, parse_flavor
from placer.model.host import Host
from placer.model.memory_room import memory_room
from placer.model.sets import floats
from placer.model.units import format_kib
from placer.model.vm import Cell, CellMode, CpuPolicy, PinPolicy, Vm, VmSpec
from placer.planning.compile.needs import part_vcpus

_GIB_A_VCPU = 4
"""Memory of the usual flavors, as general-purpose VMs of clouds have it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A VM that is counted: what it is called in the answer, what it needs, and whether it floats (`pin`)."""

    text: str
    spec: VmSpec
    pin: PinPolicy = PinPolicy.ALLOWED

    @property
    def policy(self) -> str:
        """How its vCPUs have CPUs: ``dedicated``, ``shared`` or ``mixed``, or ``floating``."""
        return "floating" if self.pin is PinPolicy.NEVER else self.spec.cpu_policy.value

    def vm(self, name: str) -> Vm:
        """Return a VM of a name that needs it and is nowhere yet."""
        return Vm(name=name, spec=self.spec, pin=self.pin)


def wanted_flavor(flavor: HeadroomFlavor, cells: int | str | None = None, page_kib: int | None = None) -> Wanted:
    """Return the VM of a flavor.

    Parameters
    ----------
    cells : in place of the flavor's own number; ``auto`` for as many as fit best.
    page_kib : None takes ordinary pages.

    Raises
    ------
    InputError
        The cells do not divide vCPUs and memory.
    """
    text, many = flavor.text, flavor.cells
    if cells is not None and cells != many:
        size, colon, policy = text.partition(":")
        text = f"{size.partition('/')[0]}/{cells}{colon}{policy}"
    if page_kib is not None:
        text += f" in {format_kib(page_kib)} pages"
    pin = PinPolicy.NEVER if flavor.policy == "floating" else PinPolicy.ALLOWED
    if pin is PinPolicy.NEVER and cells not in (None, 1):
        raise InputError(f"flavor {flavor.text!r}: what floats over a host is in no cells", field="--cells")
    if cells == "auto":
        return Wanted(text, _spec(flavor, CellMode.AUTO, (), page_kib))
    many = int(cells or many)
    if flavor.vcpus % many or flavor.memory_kib % many:
        raise InputError(
            f"flavor {flavor.text!r}: {many} cells do not divide {flavor.vcpus} vCPUs and {flavor.memory_kib} KiB",
            field="--cells",
        )
    bare = VmSpec(vcpus=flavor.vcpus, memory_kib=flavor.memory_kib)
    made = tuple(Cell(vcpus=frozenset(ids), memory_kib=flavor.memory_kib // many) for ids in part_vcpus(bare, many))
    return Wanted(text, _spec(flavor, CellMode.GIVEN, made, page_kib), pin)


def wanted_like(fleet: Fleet, name: str) -> Wanted:
    """Return a VM with all the needs of one of the fleet: cells, policies, pages, devices, emulator threads, and the
    rules that hold it, by its labels or by its name. It floats where that one does.

    Raises
    ------
    InputError
        No VM has the name.
    """
    vm = fleet.vm_by_name.get(name)
    if vm is None:
        raise InputError(f"no VM is named {name[:60]!r}", field="--like", cure=did_you_mean(name, fleet.vm_by_name))
    labels = {"name": name, **vm.spec.labels}
    pin = PinPolicy.NEVER if floats(vm) else PinPolicy.ALLOWED
    return Wanted(f"like {name}", dataclasses.replace(vm.spec, labels=labels, priority=0), pin)


def wanted_flavors(
    flavors: Sequence[HeadroomFlavor], cells: Sequence[int | str], page_sizes_kib: Sequence[int | None]
) -> list[Wanted]:
    """Return every flavor in every number of cells and page size asked for; those that do not divide are left out.

    Raises
    ------
    InputError
        A flavor is left with none.
    """
    out: list[Wanted] = []
    for flavor in flavors:
        last: InputError | None = None
        before = len(out)
        for many in cells or [flavor.cells]:
            for page_kib in page_sizes_kib or [None]:
                try:
                    out.append(wanted_flavor(flavor, many, page_kib))
                except InputError as error:
                    last = error
        if last is not None and len(out) == before:
            raise last
    return out


def _spec(flavor: HeadroomFlavor, mode: CellMode, cells: tuple[Cell, ...], page_kib: int | None) -> VmSpec:
    """Return the spec; a slot without memory takes no overhead either."""
    return VmSpec(
        vcpus=flavor.vcpus,
        memory_kib=flavor.memory_kib,
        cell_mode=mode,
        cells=cells,
        page_kib=page_kib,
        cpu_policy=CpuPolicy.SHARED if flavor.policy in ("shared", "floating") else CpuPolicy.DEDICATED,
        overhead_kib=None if flavor.memory_kib else 0,
    )


def usual_flavors(fleet: Fleet) -> list[HeadroomFlavor]:
    """Return flavors to count where none is asked for: vCPUs doubled from 1 up to the largest node, 4 GiB each.

    The last one has as many vCPUs as the largest node has usable CPUs, and no more memory than it has.
    """
    nodes = [
        (len(node.cpus & host.usable_cpus), memory_room(host).get((node.id, None), 0))
        for host in _unlike(fleet)
        for node in host.topology.nodes
    ]
    cpus, kib = max(nodes, default=(0, 0))
    sizes = [1 << power for power in range(cpus.bit_length()) if 1 << power <= cpus]
    sizes += [cpus] if cpus not in sizes and cpus else []
    gib = [max(1, min(_GIB_A_VCPU * size, kib >> 20)) for size in sizes]
    return [parse_flavor(f"{size}x{memory}GiB") for size, memory in zip(sizes, gib, strict=True)]


def _unlike(fleet: Fleet) -> list[Host]:
    """Return a host of each topology and reserve."""
    return list({(id(host.topology), repr(host.reserve)): host for host in fleet.hosts}.values())
