"""The reference says what the reference pages say, on fleets small enough to work out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.truth.reference import solve

Node = tuple[str, str]


def host(*nodes: Node, **rest: Any) -> dict[str, Any]:
    """Return a host of nodes given as (CPUs, memory)."""
    made = [{"id": number, "cpus": cpus, "memory": memory} for number, (cpus, memory) in enumerate(nodes)]
    return {"name": rest.pop("name", "h"), "nodes": made, **rest}


def vm(name: str, vcpus: int, **rest: Any) -> dict[str, Any]:
    """Return a small VM."""
    return {"name": name, "vcpus": vcpus, "memory": "256MiB", **rest}


def fleet(hosts: list[dict[str, Any]], vms: list[dict[str, Any]], *rules: dict[str, Any]) -> dict[str, Any]:
    """Return an inventory."""
    return {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms, "rules": list(rules)}


def value(data: dict[str, Any], goals: str, **limits: int) -> float:
    """Return the optimum of the last goal."""
    found = solve(data, goals, **limits)
    assert found.status == "optimal"
    return found.value(goals.split(",")[-1].partition("~")[0])


def test_remote_access_of_two_cells() -> None:
    """Two cells of a vCPU each on nodes at 21: each sends a fifth of its accesses 1.1 further."""
    two = host(("0", "4GiB"), ("1", "4GiB"), distances=[[10, 21], [21, 10]])
    assert value(fleet([two], [vm("v", 2)]), "placed,remote") == pytest.approx(2 * 0.2 * 1.1)


@pytest.mark.parametrize(
    ("policy", "fits"), [("isolate", 2), ("require", 2), ("prefer", 4)], ids=["isolate", "require", "prefer"]
)
def test_thread_policies(policy: str, fits: int) -> None:
    """On two cores of two threads two VMs of one vCPU fit alone on cores or whole cores, four side by side."""
    one = host(("0-3", "8GiB"), siblings=["0-1", "2-3"])
    vms = [vm(f"v{number}", 1, thread_policy=policy) for number in range(5)]
    assert value(fleet([one], vms), "placed") == 5 - fits


def test_no_core_has_vcpus_of_two_cells() -> None:
    """Two cells of a vCPU each that fill cores lie on two nodes, though one core of two threads could hold both."""
    two = host(("0-1", "4GiB"), ("2", "4GiB"), siblings=["0-1"])
    apart = vm("v", 2, cells=2, share_node=True, thread_policy="require")
    assert value(fleet([two], [apart]), "placed,remote") == pytest.approx(2 * 0.2 * 1)
    assert value(fleet([two], [{**apart, "thread_policy": "prefer"}]), "placed,remote") == 0


def test_require_is_for_hosts_with_smt() -> None:
    """Where no core has two threads a VM that requires siblings finds no place, one that pairs does."""
    plain = host(("0-1", "4GiB"))
    assert value(fleet([plain], [vm("v", 2, thread_policy="require")]), "placed") == 2
    assert value(fleet([plain], [vm("v", 2, thread_policy="pairs")]), "placed") == 0


def test_isolate_wastes_nothing_on_a_core_of_one_thread() -> None:
    """A core without siblings idles none: shared vCPUs have all other CPUs."""
    ragged = host(("0,1", "8GiB"), ("2-4", "8GiB"), siblings=["2-3"])
    vms = [vm("alone", 1, thread_policy="isolate"), vm("floats", 4, cpu_policy="shared")]
    assert value(fleet([ragged], vms), "placed") == 0


def test_isolated_cpus_take_dedicated_vcpus_only() -> None:
    """Nothing floats over an isolated CPU, and a dedicated vCPU may have it."""
    one = host(("0-1", "4GiB"), isolated_cpus="1")
    assert value(fleet([one], [vm("d", 1), vm("s", 1, cpu_policy="shared")]), "placed") == 0
    assert value(fleet([one], [vm("s", 2, cpu_policy="shared")]), "placed") == 2


def test_memory_that_cannot_be_reached_is_not_used() -> None:
    """A VM of two cells needs nodes that reach each other's memory; headroom of such VMs counts none."""
    cut = host(("0-1", "4GiB"), ("2", "4GiB"), distances=[[10, 255], [20, 10]])
    assert (
        value(
            fleet([cut], [vm("v", 3, cells=[{"vcpus": 2, "memory": "128MiB"}, {"vcpus": 1, "memory": "128MiB"}])]),
            "placed",
        )
        == 3
    )
    assert value(fleet([cut], [vm("v", 1)]), "placed,headroom:2x512MiB/2") == 0


def test_overhead_and_reserve_come_out_of_memory() -> None:
    """A VM of 512 MiB takes 128 + 1 + 8 MiB more: in 1.5 GiB fit two, with 256 MiB reserved one."""
    free = host(("0-7", "1536MiB"))
    kept = host(("0-7", "1536MiB"), reserve={"memory": "256MiB"})
    vms = [vm(f"v{number}", 1, memory="512MiB") for number in range(3)]
    assert value(fleet([free], vms), "placed") == 1
    assert value(fleet([kept], vms), "placed") == 2


def test_pages_come_from_the_pool_of_their_size() -> None:
    """Of 300 pages of 2 MiB a VM of 512 MiB takes 256; the next one finds no room, whatever memory is free."""
    pooled = host(("0-7", "8GiB"))
    pooled["nodes"][0]["pages"] = {"2MiB": 300}
    vms = [vm(f"v{number}", 1, memory="512MiB", page_size="2MiB") for number in range(2)]
    assert value(fleet([pooled], vms), "placed") == 1


def test_devices_are_counted_a_node() -> None:
    """A required device is on a node of the VM; there is one, so the second VM stays out."""
    near = host(("0-3", "8GiB"), ("4-7", "8GiB"), devices=[{"address": "0000:01:00.0", "kind": "nic", "node": 1}])
    wants = [vm(f"v{number}", 1, devices=[{"kind": "nic", "policy": "required"}]) for number in range(2)]
    found = solve(fleet([near], wants), "placed")
    assert found.value("placed") == 1
    assert [where.cpu_nodes for where in found.plan.values()] == [(1,)]


def test_priorities_come_first() -> None:
    """One small VM of a higher priority keeps a larger one out."""
    one = host(("0-1", "8GiB"))
    found = solve(fleet([one], [vm("large", 2), vm("small", 1, priority=5)]), "placed")
    assert set(found.plan) == {"small"} and found.values["placed"] == (0, 0, 2, 1)


def test_what_is_not_broken_is_a_hard_limit() -> None:
    """Two VMs that must be apart on the only host: one stays out; where both run already, both may stay."""
    labelled = [vm(f"v{number}", 1, labels={"app": "a"}) for number in range(2)]
    apart = {"anti_affinity": {"app": "a"}, "scope": "host"}
    one = host(("0-3", "8GiB"))
    assert value(fleet([one], labelled, apart), "placed") == 1
    running = [{**each, "host": "h", "nodes": [0]} for each in labelled]
    assert value(fleet([one], running, apart), "rules") == 1


def test_drained_host_gives_up_its_vms_as_far_as_moves_allow() -> None:
    """What stays on a host to be drained is counted; it takes nothing new."""
    hosts = [host(("0-1", "4GiB"), name="old", state="drain"), host(("0-1", "4GiB"), name="new")]
    vms = [vm(f"v{number}", 1, host="old", nodes=[0]) for number in range(2)]
    assert value(fleet(hosts, [*vms, vm("next", 2)]), "placed,rules", max_moves=1) == 2
    assert value(fleet(hosts, vms), "rules", max_moves=1) == 1
    assert value(fleet(hosts, vms), "rules,moves", max_moves=2) == 2


def test_l3_rule_and_goal() -> None:
    """Four vCPUs over domains of three CPUs use two, the fewest; kept in one domain by a rule they find no place."""
    split = host(("0-5", "8GiB"), l3=["0-2", "3-5"])
    wide = vm("v", 4, cells="none", labels={"app": "a"})
    assert value(fleet([split], [wide]), "placed,l3") == 0
    assert value(fleet([split], [wide], {"affinity": {"app": "a"}, "scope": "l3"}), "placed") == 4


def test_balance_of_two_nodes() -> None:
    """Two vCPUs on two nodes of two CPUs: a share of 0.5 each, in steps of 0.1: 1 + 0.8 + 0.6 + 0.4 + 0.2, twice."""
    two = host(("0-1", "4GiB"), ("2-3", "4GiB"))
    assert value(fleet([two], [vm("a", 1), vm("b", 1)]), "placed,balance:cpus") == pytest.approx(6.0)


def test_fixed_pins_hold_an_isolated_emulator_cpu() -> None:
    """A running VM's vCPU and emulator CPU are its own, so a second VM has no CPU on the host."""
    pinned = vm("a", 1, emulator_threads="isolate", host="h", nodes=[0], pins={"0": "1"}, emulator="0", pins_fixed=True)
    assert value(fleet([host(("0-1", "4GiB"))], [pinned, vm("b", 1)]), "placed") == 1


def test_live_move_stays_in_its_migration_domain() -> None:
    """A live VM does not leave its domain, a cold one does."""
    hosts = [
        host(("0", "4GiB"), name="old", state="drain", migration_domain="m1"),
        host(("0", "4GiB"), name="new", migration_domain="m2"),
    ]
    running = vm("v", 1, host="old", nodes=[0])
    assert value(fleet(hosts, [running]), "rules", max_moves=1) == 1
    assert value(fleet(hosts, [{**running, "movable": "cold"}]), "rules", max_moves=1) == 0


def test_floating_vms_take_of_unions_of_their_sets() -> None:
    """Two VMs over two nodes each, with one node in common, fit where all three have what they take, and a third on the
    node in common is what has no place.
    """
    nodes = host(("0-1", "1GiB"), ("2-3", "1GiB"), ("4-5", "1GiB"))
    size = {"memory": "1024MiB", "overhead": "0MiB", "cpu_policy": "shared", "host": "h"}
    wide = [vm(f"v{n}", 1, **size, bound={"cpus": "host", "memory": [n, n + 1]}) for n in range(2)]
    middle = vm("m", 1, **size, bound={"cpus": "host", "memory": [1]})
    again = vm("n", 1, **{**size, "memory": "512MiB"}, bound={"cpus": "host", "memory": [1]})
    assert value(fleet([nodes], [*wide, middle]), "excess") == 0
    assert solve(fleet([nodes], [*wide, middle, again]), "excess").values["excess"] == (512 * 1024, 0, 0, 0)


def test_nobody_comes_to_a_place_that_is_over() -> None:
    """On a node that holds more memory than it has a VM to come finds no place, on the one beside it does."""
    nodes = host(("0-3", "512MiB"), ("4-7", "1GiB"))
    full = vm("full", 1, memory="512MiB", host="h", nodes=[0])
    assert solve(fleet([nodes], [full, vm("new", 1)]), "placed").plan["new"].cpu_nodes == (1,)
    assert value(fleet([host(("0-3", "512MiB"))], [full, vm("new", 1)]), "placed") == 1


def test_a_node_that_is_over_closes_no_other() -> None:
    """Beside a node that is over a VM comes to the one that has room, though both together lack some."""
    nodes = host(("0", "4GiB"), ("1-2", "4GiB"))
    crowd = [
        vm(f"s{n}", 2, memory="256MiB", cpu_policy="shared", host="h", bound={"cpus": [0], "memory": "host"})
        for n in range(2)
    ]
    loose = vm("l", 1, memory="256MiB", cpu_policy="shared", host="h", nodes=[])
    assert solve(fleet([nodes], [*crowd, loose, vm("new", 1)]), "placed,excess").plan["new"].cpu_nodes == (1,)
    assert value(fleet([nodes], [*crowd, loose, vm("new", 2)]), "placed") == 2


def test_nothing_floats_over_a_node_whose_cpus_are_all_reserved() -> None:
    """Two VMs that float over a host of which one node alone has CPUs left are on that node: both may be bound to it,
    though it is over.
    """
    nodes = host(("0", "4GiB"), ("1-4", "4GiB"), reserve={"cpus": "0"})
    loose = [vm(f"v{n}", 3, cpu_policy="shared", host="h", nodes=[]) for n in range(2)]
    found = solve(fleet([nodes], loose), "remote", pin="all")
    assert found.values["remote"] == (0, 0)
    assert [where.cpu_nodes for where in found.plan.values()] == [(1,), (1,)]


def test_excess_has_four_parts() -> None:
    """Memory, dedicated vCPUs that share a CPU, CPUs that shared vCPUs lack, and free resources, as they stand."""
    one = host(("0-1", "512MiB"), resources={"disk": 1})
    here = {"host": "h", "nodes": [0], "overhead": "0MiB"}
    twins = [vm(f"d{n}", 1, **here, pins={"0": "0"}, movable="false", resources={"disk": 1}) for n in range(2)]
    floats = vm("s", 3, **here, cpu_policy="shared")
    found = solve(fleet([one], [*twins, floats]), "excess", max_repins=0)
    assert found.values["excess"] == (256 * 1024, 1, 3, 1)
    assert solve(fleet([one], [*twins, floats]), "excess").values["excess"] == (256 * 1024, 0, 3, 1)


def test_balance_by_usage() -> None:
    """A VM of two vCPUs that uses half of them counts for one: 0.5 of the node, in steps of a fifth of that mean."""
    busy = vm("v", 2, usage={"cpu_p95": 0.5})
    assert value(fleet([host(("0-1", "4GiB"))], [busy]), "placed,balance:usage") == pytest.approx(2 * 1.5)


def test_reserves_in_shares_take_the_lowest_cpus_core_by_core() -> None:
    """Half of eight CPUs on two nodes are the first core of each; half of a node's memory is gone from both."""
    two = host(("0-3", "2GiB"), ("4-7", "2GiB"), siblings=["0,2", "1,3", "4,6", "5,7"])
    kept = {**two, "reserve": {"cpus": "50%", "memory": "50%"}}
    found = solve(fleet([kept], [vm("a", 2), vm("b", 2), vm("c", 1)]), "placed")
    assert found.value("placed") == 1
    assert {cpu for where in found.plan.values() for cpus in where.cpus for cpu in cpus} == {1, 3, 5, 7}
    assert value(fleet([kept], [vm("v", 1, memory="1GiB")]), "placed") == 1
    assert value(fleet([two], [vm("v", 1, memory="1GiB")]), "placed") == 0


def test_repins_are_other_cpus_and_bindings() -> None:
    """Two VMs with one CPU: one of them gets another; one that floats and shall be bound is re-pinned where it is."""
    twins = [vm(f"d{n}", 1, host="h", nodes=[0], pins={"0": "0"}) for n in range(2)]
    loose = vm("f", 1, host="h", nodes=[], pin="must", cpu_policy="shared")
    goals = "excess,remote,moves,repins"
    assert value(fleet([host(("0-3", "4GiB"))], twins), goals) == 1
    assert value(fleet([host(("0-3", "4GiB"))], [*twins, loose]), goals) == 2
