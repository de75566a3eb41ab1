"""What the tests of the writers share: a host, and plans made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.plan import Plan, PlanCell, PlanVm
from placer.model.vm import CellMode, DomainSource, Vm, VmSpec
from placer.read.domains.domain_xml import read_domain

DOMAINS = Path(__file__).parent.parent / "domains"


def build_topology(count: int = 2, cpus: int = 8, **changes: Any) -> Topology:
    """Return nodes of `cpus` CPUs numbered in turn (node 0: 0, 2, 4 …), pairs of siblings, one L3 a node."""
    of_node = [frozenset(range(node, count * cpus, count)) for node in range(count)]
    half = count * cpus // 2
    return Topology(
        **{
            "nodes": tuple(
                Node(id=number, cpus=mine, memory_kib=64 << 20, pages={2048: 8192, 1 << 20: 16})
                for number, mine in enumerate(of_node)
            ),
            "distances": tuple(tuple(10.0 if i == j else 21.0 for j in range(count)) for i in range(count)),
            "cores": tuple(frozenset({cpu, cpu + half}) for cpu in range(half)),
            "l3": tuple(of_node),
            "arch": "x86_64",
            **changes,
        }
    )


@pytest.fixture
def topology() -> Callable[..., Topology]:
    """Return a maker of topologies."""
    return build_topology


@pytest.fixture
def host() -> Host:
    """Return a host of two nodes of eight CPUs."""
    return Host(name="kvm-a", topology=build_topology())


@pytest.fixture
def domains() -> Path:
    """Return the folder of domain XML made for the tests."""
    return DOMAINS


@pytest.fixture
def place() -> Callable[..., PlanVm]:
    """Return a maker of placed VMs."""

    def place(
        spec: VmSpec,
        cells: tuple[int | tuple[int, ...], ...] = (0,),
        pins: Mapping[int, frozenset[int]] | None = None,
        **fields: Any,
    ) -> PlanVm:
        """Place a VM: `cells` are the host nodes of each cell; without pins each vCPU gets the next CPU of its node."""
        shapes = spec.cells or (None,) * len(cells)
        made = []
        free = [list(range(node, 16, 2)) for node in range(2)]
        given = dict(pins or {})
        share = spec.vcpus // len(cells)
        for number, (shape, where) in enumerate(zip(shapes, cells, strict=True)):
            nodes = (where,) if isinstance(where, int) else where
            vcpus = frozenset(range(number * share, (number + 1) * share)) if shape is None else shape.vcpus
            size = spec.memory_kib // len(cells) if shape is None else shape.memory_kib
            made.append(
                PlanCell(
                    id=number,
                    vcpus=vcpus,
                    memory_kib=size,
                    mode="strict" if len(nodes) == 1 else "interleave",
                    nodes={node: size // len(nodes) for node in nodes},
                )
            )
            for vcpu in sorted(vcpus):
                if pins is None:
                    given[vcpu] = frozenset({free[nodes[0]].pop(0)})
        defaults = {"name": "vm", "host": "kvm-a", "shown": spec.cell_mode is not CellMode.NONE}
        return PlanVm(**{**defaults, **fields}, cells=tuple(made), pins=given)

    return place


@pytest.fixture
def planned() -> Callable[..., Plan]:
    """Return a maker of plans that hold these VMs."""

    def planned(*vms: PlanVm, **fields: Any) -> Plan:
        defaults = {"fleet_path": None, "fleet_digest": "", "seed": 0, "rounds": 1, "status": "optimal"}
        return Plan(**{**defaults, **fields}, goals=(), vms=vms, unplaced=())

    return planned


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., tuple[Vm, bytes]]:
    """Return a maker of VMs whose XML lies in the test's folder."""

    def imported(name: str, change: Callable[[bytes], bytes] = bytes) -> tuple[Vm, bytes]:
        xml = change((DOMAINS / name).read_bytes())
        (tmp_path / name).write_bytes(xml)
        reading = read_domain(xml, name)
        source = DomainSource(path=name, sha256=hashlib.sha256(xml).hexdigest())
        return Vm(name=reading.name, uuid=reading.uuid, spec=reading.spec, domain=source), xml

    return imported


@pytest.fixture
def fleet_of(tmp_path: Path, host: Host) -> Callable[..., Fleet]:
    """Return a maker of fleets: one host, or those given, and these VMs."""

    def fleet_of(*vms: Vm, hosts: tuple[Host, ...] | None = None, **fields: Any) -> Fleet:
        return Fleet(hosts=hosts or (host,), vms=vms, base_dir=str(tmp_path), **fields)

    return fleet_of
