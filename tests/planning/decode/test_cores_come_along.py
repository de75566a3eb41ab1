"""A VM that comes from cores of its own for each vCPU is not put on the siblings of half as many."""

from __future__ import annotations

from pathlib import Path

from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet

PIN = "<vcpupin vcpu='{}' cpuset='{}'/>"


def planned_cores(folder: Path, cpus: list[int], other: str = "") -> int:
    """Return on how many cores of another host the vCPUs of a VM come that are pinned to these CPUs now."""
    pins = "".join(PIN.format(vcpu, cpu) for vcpu, cpu in enumerate(cpus))
    (folder / "v.xml").write_text(
        f"<domain type='kvm'><name>v</name><memory unit='GiB'>2</memory><vcpu>{len(cpus)}</vcpu>"
        f"<cputune>{pins}</cputune></domain>"
    )
    hosts = ", ".join(
        f'{{name: {n}, threads_per_core: 2, nodes: [{{id: 0, cpus: "0-15", memory: 8GiB}}]}}' for n in "ab"
    )
    (folder / "f.yaml").write_text(
        f"schema: placer.inventory/v1\nhosts: [{hosts}]\nvms: [{{domain: v.xml, host: a}}{other}]\n"
        "rules: [{drain: a}]\n"
    )
    fleet = read_fleet(folder / "f.yaml")
    plan = solve_fleet(fleet, time_limit_s=20, workers=1)
    vm = plan.vm_by_name["v"]
    assert vm.host == "b"
    return len({fleet.host_by_name["b"].topology.core_of_cpu[min(pin)] for pin in vm.pins.values()})


def test_as_many_cores_as_it_has(tmp_path: Path) -> None:
    """On four cores it has four, on two cores two."""
    assert planned_cores(tmp_path, [1, 2, 3, 4]) == 4
    assert planned_cores(tmp_path, [1, 2, 9, 10]) == 2


def test_only_where_room_is_left(tmp_path: Path) -> None:
    """Beside VMs that leave it two cores it has two."""
    other = ", {name: w, vcpus: 6, memory: 1GiB, cells: none, thread_policy: isolate, host: b, nodes: [0]}"
    assert planned_cores(tmp_path, [1, 2, 3, 4], other) == 2
