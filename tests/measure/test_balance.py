"""Balance: equal shares are the optimum at any mix of sizes and any overcommit."""

from __future__ import annotations

from typing import Any

import placer

FLEET = """
schema: placer.inventory/v1
hosts:
{hosts}
vms:
{vms}
"""


def planned(tmp_path: Any, hosts: str, vms: str) -> dict[str, int]:
    """Return host -> vCPUs after a solve for balance."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(hosts=hosts, vms=vms))
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,rules,balance,moves", max_moves=20)
    assert plan.status == "optimal" and placer.check(fleet, plan).ok
    out = {host.name: 0 for host in fleet.hosts}
    for vm in plan.vms:
        out[vm.host] += fleet.vm_by_name[vm.name].spec.vcpus
    return out


def test_load_goes_by_capacity(tmp_path: Any) -> None:
    """Of hosts of 32, 16 and 16 CPUs the large one gets half of the load, and not all that fits."""
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 2, nodes: [{{id: 0, cpus: 0-{cpus - 1}, memory: 64GiB}}]}}"
        for name, cpus in (("a", 32), ("b", 16), ("c", 16))
    )
    vms = "\n".join(
        f"  - {{name: {host}, count: {count}, vcpus: 4, memory: 1GiB, cpu_policy: shared, host: {host}, nodes: [0]}}"
        for host, count in (("a", 4), ("b", 4), ("c", 4))
    )
    assert planned(tmp_path, hosts, vms) == {"a": 24, "b": 12, "c": 12}


def test_steps_fit_the_overcommit(tmp_path: Any) -> None:
    """Two VMs of 4 vCPUs beside one of 1 on another host part at a ratio of 16, where a share is next to nothing."""
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 16, nodes: [{{id: 0, cpus: 0-31, memory: 64GiB}}]}}" for name in "ab"
    )
    vms = "\n".join(
        f"  - {{name: {name}, vcpus: {vcpus}, memory: 1GiB, cpu_policy: shared, host: {host}, nodes: [0]}}"
        for name, vcpus, host in (("one", 1, "a"), ("two", 4, "b"), ("three", 4, "b"))
    )
    assert sorted(planned(tmp_path, hosts, vms).values()) == [4, 5]


def test_floating_vms_count_on_every_node(tmp_path: Any) -> None:
    """VMs of one vCPU that float over two nodes are seen by the engine as they are measured: half on each."""
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 4, nodes: [{{id: 0, cpus: 0-7, memory: 64GiB}}, {{id: 1, cpus: 8-15,"
        " memory: 64GiB}]}"
        for name in "ab"
    )
    vms = "  - {name: v, count: 6, vcpus: 1, memory: 1GiB, cpu_policy: shared, host: a}"
    assert sorted(planned(tmp_path, hosts, vms).values()) == [3, 3]
