"""Small hosts, VMs and domain states by hand."""

from __future__ import annotations

from collections.abc import Mapping

from placer.live.domain_state import DomainState
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, NodeKind, Topology
from placer.model.plan import Change, Plan, PlanCell, PlanVm
from placer.model.vm import Cell, CellMode, Current, EmulatorPolicy, Vm, VmSpec

MIB = 1024
GIB = 1024 * 1024
UUID = "11111111-1111-4111-8111-111111111111"


def topology(*, memory_only: bool = False, pages: Mapping[int, int] | None = None) -> Topology:
    """Return two nodes of CPUs 0-3 and 4-7, two threads a core, 4 GiB each; if asked a third one without CPUs."""
    nodes = [
        Node(id=0, cpus=frozenset(range(4)), memory_kib=4 * GIB, pages=pages or {}),
        Node(id=1, cpus=frozenset(range(4, 8)), memory_kib=4 * GIB, pages=pages or {}),
    ]
    distances = [[10.0, 20.0], [20.0, 10.0]]
    if memory_only:
        nodes.append(Node(id=2, memory_kib=4 * GIB, kind=NodeKind.MEMORY_ONLY))
        distances = [[10.0, 20.0, 30.0], [20.0, 10.0, 30.0], [30.0, 30.0, 10.0]]
    cores = tuple(frozenset({cpu, cpu + 1}) for cpu in range(0, 8, 2))
    return Topology(nodes=tuple(nodes), distances=tuple(map(tuple, distances)), cores=cores)


def host(name: str = "h", **said: object) -> Host:
    """Return a host."""
    return Host(name=name, topology=topology(), **said)  # type: ignore[arg-type]


def spec(*, cells: int = 0, memory_kib: int = 512 * MIB, page_kib: int | None = None, iothreads: int = 0) -> VmSpec:
    """Return what a VM of two vCPUs a cell needs, without overhead; no cells: a flat one of two vCPUs."""
    count = max(1, cells)
    made = tuple(
        Cell(vcpus=frozenset({2 * number, 2 * number + 1}), memory_kib=memory_kib // count) for number in range(count)
    )
    return VmSpec(
        vcpus=2 * count,
        memory_kib=memory_kib,
        cell_mode=CellMode.GIVEN if cells else CellMode.NONE,
        cells=made,
        page_kib=page_kib,
        overhead_kib=0,
        iothreads=tuple(range(1, iothreads + 1)),
        emulator_threads=EmulatorPolicy.SHARE,
        kvm=False,
    )


def placed(
    need: VmSpec, nodes: tuple[int, ...], pins: Mapping[int, frozenset[int]], *, name: str = "vm", **said: object
) -> PlanVm:
    """Return a VM placed on host ``h``, a node a cell."""
    cells = tuple(
        PlanCell(id=number, vcpus=cell.vcpus, memory_kib=cell.memory_kib, mode="strict", nodes={node: cell.memory_kib})
        for number, (cell, node) in enumerate(zip(need.cells, nodes, strict=True))
    )
    told: dict[str, object] = {"uuid": UUID, "host": "h", "shown": need.cell_mode is CellMode.GIVEN}
    told |= {"change": Change.REPIN, **said}
    return PlanVm(name=name, cells=cells, pins=pins, **told)  # type: ignore[arg-type]


def fleet_of(need: VmSpec, planned: PlanVm, *hosts: Host, current: str | None = "h") -> Fleet:
    """Return the fleet of one VM."""
    vm = Vm(
        name=planned.name,
        spec=need,
        uuid=planned.uuid,
        current=None if current is None else Current(host=current),
    )
    return Fleet(hosts=hosts or (host(),), vms=(vm,), digest="d")


def plan_of(*vms: PlanVm) -> Plan:
    """Return a plan of these VMs."""
    return Plan(
        fleet_path="fleet.yaml", fleet_digest="d", seed=0, rounds=0, status="feasible", goals=(), vms=vms, unplaced=()
    )


def domain_xml(
    *,
    name: str = "vm",
    uuid: str = UUID,
    vcpus: int = 2,
    memory_kib: int = 512 * MIB,
    cells: tuple[tuple[str, int], ...] = (),
    inside: str = "",
    backing: str = "",
    number: int | None = None,
) -> bytes:
    """Return a domain as libvirt prints it; `inside` goes behind ``<vcpu>``."""
    numa = "".join(
        f"<cell id='{place}' cpus='{cpus}' memory='{kib}' unit='KiB'/>" for place, (cpus, kib) in enumerate(cells)
    )
    cpu = f"<cpu><numa>{numa}</numa></cpu>" if cells else ""
    running = "" if number is None else f" id='{number}'"
    return (
        f"<domain type='qemu'{running}>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n"
        f"  <memory unit='KiB'>{memory_kib}</memory>\n{backing}"
        f"  <vcpu placement='static'>{vcpus}</vcpu>\n{inside}"
        f"  <os><type arch='x86_64'>hvm</type></os>\n  {cpu}\n</domain>\n"
    ).encode()


ALL_CPUS = frozenset(range(8))


def shut_off(xml: bytes, **said: object) -> DomainState:
    """Return the state of a domain that does not run."""
    return DomainState(name="vm", uuid=UUID, config=xml, **said)  # type: ignore[arg-type]


def running(config: bytes | None, live: bytes, *, vcpus: int = 2, iothreads: int = 0, **said: object) -> DomainState:
    """Return the state of a domain that runs, its threads on all CPUs."""
    state: dict[str, object] = {
        "vcpus": dict.fromkeys(range(vcpus), ALL_CPUS),
        "emulator": ALL_CPUS,
        "iothreads": dict.fromkeys(range(1, iothreads + 1), ALL_CPUS),
        **said,
    }
    return DomainState(name="vm", uuid=UUID, config=config, live=live, **state)  # type: ignore[arg-type]
