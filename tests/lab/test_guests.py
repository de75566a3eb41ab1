"""Guests of several shapes boot with the QEMU line of their plan, and see what the plan says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from lxml import etree

from placer.emit.domain.cpu_topology import topology_shown
from placer.emit.domain.elements import guest_distances
from placer.emit.domain.files import domain_files
from placer.emit.qemu import qemu_arguments
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import PlanVm
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet
from tests.lab.machine import lab as machine
from tests.lab.machine.guest import Seen, boot

pytestmark = pytest.mark.lab
HOST = """
schema: placer.inventory/v1
hosts:
  - name: h
    nodes:
      - {id: 0, cpus: "0-3,16-19", memory: 8GiB}
      - {id: 1, cpus: "4-7,20-23", memory: 8GiB}
      - {id: 2, cpus: "8-11,24-27", memory: 8GiB}
      - {id: 3, cpus: "12-15,28-31", memory: 8GiB}
      - {id: 4, memory: 8GiB}
    threads_per_core: 2
    distances: [[10,12,21,21,28],[12,10,21,21,28],[21,21,10,12,28],[21,21,12,10,28],[28,28,28,28,10]]
    devices: [{address: "0000:41:00.0", kind: nic, node: 2}]
vms: [{name: g, memory: 512MiB, overhead: 0MiB, KEYS}]
"""
_RNG = "0x1af4:0x1044"
"""Vendor and device of a virtio random number generator."""


def fleet_of(folder: Path, keys: str) -> Fleet:
    """Return a host of four nodes with 8 CPUs each and one of memory alone, and a guest."""
    path = folder / "fleet.yaml"
    path.write_text(HOST.replace("KEYS", keys))
    return read_fleet(path)


def booted(image: machine.Image, folder: Path, keys: str) -> tuple[PlanVm, Seen]:
    """Return the planned VM and what it sees once it runs, which is what the plan says."""
    fleet = fleet_of(folder, keys)
    plan = solve_fleet(fleet, time_limit_s=60)
    (vm,) = plan.vms
    host, spec = fleet.host_by_name["h"], fleet.vms[0].spec
    (xml,) = domain_files(plan, fleet).values()
    seen = boot(image.folder / "vmlinuz", folder, qemu_arguments(vm, spec, host, None), list(_buses(xml)))
    cells = [format_cpuset(cell.vcpus) for cell in vm.cells] if vm.shown else [format_cpuset(range(spec.vcpus))]
    assert seen.cells() == cells
    if vm.shown:
        assert seen.distances() == guest_distances(vm.cells, host.topology)
        assert all(
            0 <= cell.memory_kib // 1024 - mib < 100 for cell, mib in zip(vm.cells, seen.memory_mib(), strict=True)
        )
    told = topology_shown(vm, spec, host, None)
    width, socket = told.threads, spec.vcpus // told.sockets
    assert seen.siblings() == {v: _run(v, width) for v in range(spec.vcpus)}
    packages = seen.packages()
    assert [v for v in range(1, spec.vcpus) if packages[v] != packages[v - 1]] == list(
        range(socket, spec.vcpus, socket)
    )
    return vm, seen


def _run(vcpu: int, width: int) -> str:
    first = vcpu // width * width
    return str(vcpu) if width == 1 else format_cpuset(range(first, first + width))


def _buses(xml: bytes) -> Iterable[str]:
    """Yield the expander buses of a domain with a virtio device, which stands for the real one, behind each."""
    for bus in etree.fromstring(xml).findall("devices/controller[@model='pcie-expander-bus']"):
        node = bus.findtext("target/node")
        yield from ("-device", f"pxb-pcie,id=pxb{node},bus_nr=200,numa_node={node}")
        yield from ("-device", f"pcie-root-port,id=port{node},bus=pxb{node},chassis=9")
        yield from ("-device", f"virtio-rng-pci,bus=port{node},disable-legacy=on")


@pytest.mark.parametrize(
    "keys",
    [
        "vcpus: 4, cells: 1, thread_policy: require",
        "vcpus: 4, cells: 1, thread_policy: isolate",
        "vcpus: 8, cells: 2, thread_policy: require",
        "vcpus: 8, cells: 4, thread_policy: require",
        "vcpus: 8, cells: 2, cpu_topology: {sockets: 1, dies: 2, cores: 4, threads: 1}",
    ],
)
def test_cells_siblings_sockets_and_distances_are_as_planned(
    lab_image: machine.Image, tmp_path: Path, keys: str
) -> None:
    """Nodes with their CPUs and memory, threads of cores, sockets and the distances between nodes."""
    booted(lab_image, tmp_path, keys)


def test_a_cell_without_cpus_is_a_node_without_cpus(lab_image: machine.Image, tmp_path: Path) -> None:
    """The guest sees memory there, no CPU, and the distance of the host's node."""
    cells = "[{vcpus: 4, memory: 256MiB}, {vcpus: 0, memory: 256MiB}]"
    _, seen = booted(lab_image, tmp_path, f"vcpus: 4, memory_tier: any, cells: {cells}")
    assert seen.cells()[1] == "" and seen.memory_mib()[1] > 100 and seen.distances()[0][1] > 10


def test_a_device_is_on_the_node_of_its_cell(lab_image: machine.Image, tmp_path: Path) -> None:
    """What hangs behind the expander bus of a cell has that cell's node in the guest."""
    device = "devices: [{kind: nic, policy: required}]"
    vm, seen = booted(lab_image, tmp_path, f"vcpus: 8, cells: 2, {device}")
    near = [cell.id for cell in vm.cells if 2 in cell.nodes]
    assert seen.node_of(_RNG) == near[0]
