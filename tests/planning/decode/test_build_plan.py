"""What a plan calls its change of a VM, and the cells that a guest keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from placer.check.check import check
from placer.model.host import Reserve
from placer.model.plan import Change
from placer.model.vm import EmulatorPolicy
from placer.moves.changes import plan_changes
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet


def test_new_cells_on_another_host_are_a_restart(build: Any) -> None:
    """A guest of two cells becomes one of one cell on a host with one node: it restarts, it does not migrate."""
    small = build.host("one", build.topology(nodes=1, cpus=8))
    spec = build.spec(4, 2, "auto", reshape=True)
    vm = build.vm("v", spec, current=build.now("two", (0, 1)))
    fleet = build.fleet([build.host("two", cost=5.0), small], [vm])
    plan = solve_fleet(fleet, goals="placed,hosts", max_moves=1, time_limit_s=20)
    (planned,) = plan.vms
    assert (planned.host, len(planned.cells), planned.change) == ("one", 1, Change.RESTART)
    assert check(fleet, plan).ok


def test_a_guest_whose_host_failed_keeps_its_cells(build: Any) -> None:
    """A guest of one cell is not cut in two where its host failed, though two would fit; with `reshape` it is."""
    failed = build.host("gone", failed=True)
    for reshape, left_out in ((False, ["v"]), (True, [])):
        vm = build.vm("v", build.spec(6, 2, "auto", reshape=reshape), current=build.now("gone", (1,)))
        fleet = build.fleet([build.host("here"), failed], [vm])
        plan = solve_fleet(fleet, goals="placed", time_limit_s=20)
        assert [unplaced.name for unplaced in plan.unplaced] == left_out
        assert check(fleet, plan).ok


def test_hosts_of_one_topology_keep_their_own_emulator_cpus(build: Any) -> None:
    """VMs of one spec at the same place of hosts that reserve other CPUs share no emulator threads' CPUs."""
    topology, spec = build.topology(nodes=1), build.spec(3)
    hosts = [build.host(name, topology, reserve=Reserve(cpus=frozenset({cpu}))) for name, cpu in (("a", 0), ("b", 3))]
    fleet = build.fleet(hosts, [build.vm("v", spec), build.vm("w", spec)])
    plan = solve_fleet(fleet, goals="placed", time_limit_s=20)
    kept = {vm.host: (vm.emulator, frozenset().union(*vm.pins.values())) for vm in plan.vms}
    assert kept == {"a": (frozenset({0}), frozenset({1, 2, 3})), "b": (frozenset({3}), frozenset({0, 1, 2}))}


def test_emulator_threads_that_shall_be_isolated_get_a_cpu_of_their_own(build: Any) -> None:
    """Those of a VM that stays are pinned elsewhere now: kept there they would be over for ever."""
    topology = build.topology(2, 8)
    reserve = Reserve(cpus=frozenset({0, 1}))
    host = build.host(topology=topology, reserve=reserve)
    pins = {vcpu: frozenset({2 + vcpu}) for vcpu in range(2)}
    now = build.now(nodes=(0,), pins=pins, emulator=frozenset({0, 1}))
    vm = build.vm("v", build.spec(2, 1, cells=1, emulator_threads=EmulatorPolicy.ISOLATE), current=now)
    fleet = build.fleet([host], [vm])
    plan = solve_fleet(fleet, time_limit_s=20, workers=1)
    (planned,) = plan.vms
    assert planned.emulator is not None and len(planned.emulator) == 1 and planned.emulator <= host.usable_cpus
    assert (planned.change, dict(planned.pins)) == (Change.REPIN, pins)
    assert not plan_changes(fleet, plan).vms[0].pins_unknown
    (goal,) = [goal for goal in plan.goals if goal.name == "excess"]
    assert (goal.value, goal.status) == (0, "optimal")


def test_vms_placed_alike_share_what_they_are_made_of(build: Any) -> None:
    """Of a thousand hosts alike what follows from pins and cells is worked out once: it is one object."""
    topology, spec, reserve = build.topology(nodes=1), build.spec(3), Reserve()
    hosts = [build.host(name, topology, reserve=reserve) for name in "ab"]
    fleet = build.fleet(hosts, [build.vm(name, spec) for name in "vw"])
    one, other = solve_fleet(fleet, goals="placed", time_limit_s=20).vms
    assert one.host != other.host and one.pins is other.pins and one.cells is other.cells


def test_pins_are_not_held_where_a_new_vm_would_take_what_others_share(tmp_path: Path) -> None:
    """A VM alone on a core of two threads leaves too few CPUs to those that share them once another one comes: it gets
    a core of one thread, though fewer re-pins are the only goal.
    """
    path = tmp_path / "fleet.yaml"
    path.write_text("""schema: placer.inventory/v1
hosts:
  - {name: h, nodes: [{id: 0, cpus: "0-4", memory: 8GiB}], siblings: ["0,1"], overcommit: 2}
vms:
  - {name: alone, vcpus: 1, memory: 256MiB, thread_policy: isolate, host: h, nodes: [0], pins: {0: "0"}}
  - {name: sharing, vcpus: 3, memory: 256MiB, cpu_policy: shared, host: h, nodes: [0]}
  - {name: new, vcpus: 2, memory: 256MiB}
""")
    fleet = read_fleet(path)
    plan = solve_fleet(fleet, goals="repins", max_moves=1, time_limit_s=60)
    assert check(fleet, plan).ok and not plan.unplaced
    assert plan.goal("repins").value == 1 and plan.vm_by_name["alone"].pins[0] <= {2, 3, 4}
