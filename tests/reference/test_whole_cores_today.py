"""The reference reads fleets that run as facts, and kinds of core as docs/reference/inventory.md tells them."""

from __future__ import annotations

from typing import Any

from benchmarks.truth.reads.reading import read
from benchmarks.truth.reference import solve


def inventory(host: dict[str, Any], *vms: dict[str, Any]) -> dict[str, Any]:
    """Return the inventory of one host and of VMs of 256 MiB."""
    named = [{"name": f"v{number}", "memory": "256MiB", **vm} for number, vm in enumerate(vms)]
    return {"schema": "placer.inventory/v1", "hosts": [{"name": "h", **host}], "vms": named}


def test_two_that_want_a_whole_core_and_share_it_are_not_impossible() -> None:
    """Nobody knows the CPUs of two VMs on a node of one core: it is over, which the reference does not count."""
    host = {"nodes": [{"id": 0, "cpus": "0,1", "memory": "4096MiB"}], "siblings": ["0,1"]}
    vm = {"vcpus": 1, "thread_policy": "pairs", "host": "h", "nodes": [0]}
    assert solve(inventory(host, vm), "excess,moves", max_moves=0).status == "optimal"
    assert solve(inventory(host, vm, vm), "excess,moves", max_moves=0).status == "gave up"


def test_cores_of_one_thread_are_efficiency_cores_where_nothing_is_told() -> None:
    """Beside cores of two threads, and where the numbers of the CPUs have no gap."""

    def efficient(cpus: str, **told: str) -> frozenset[int]:
        host = {"nodes": [{"id": 0, "cpus": cpus, "memory": "4096MiB"}], "siblings": ["0,1"], **told}
        return read(inventory(host)).hosts[0].efficiency

    assert efficient("0,1,2,3") == {2, 3}
    assert efficient("0,1,2,4") == frozenset()
    assert efficient("0,1,2,3", efficiency="") == frozenset()
