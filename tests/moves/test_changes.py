"""What each change of a plan needs, copies and gains: the one answer that every form prints."""

from __future__ import annotations

from typing import Any

from placer.model.plan import Change
from placer.moves.changes import plan_changes
from placer.moves.need import Need
from placer.show.change_words import change_row, change_sentences


def test_memory_that_moves_is_told_apart_from_cpus_that_go_to_it(build: Any) -> None:
    """Memory on node 1, CPUs on node 0: bringing the CPUs there copies nothing; bringing the memory needs a restart."""
    apart = build.now("a", nodes=(0,), memory_nodes=(1,))
    vms = [build.vm(name, current=apart) for name in ("cpus", "memory", "off", "stays")]
    vms[2] = build.vm("off", current=apart, running=False)
    fleet = build.fleet([build.host("a"), build.host("b")], vms)
    plan = build.plan(
        build.placed(vms[0], [4, 5], [1], change=Change.RENODE),
        build.placed(vms[1], [0, 1], [0], change=Change.RENODE),
        build.placed(vms[2], [2, 3], [0], change=Change.RENODE),
        build.placed(vms[3], [0, 1], [1]),
    )
    changes = plan_changes(fleet, plan)
    found = {vm.vm: vm for vm in changes.vms}
    assert {name: vm.need for name, vm in found.items()} == {
        "cpus": Need.PIN,
        "memory": Need.REBIND,
        "off": Need.DEFINE,
    }
    gib = fleet.vms[0].spec.memory_kib / 2**20
    assert {name: vm.memory_gib for name, vm in found.items()} == {"cpus": 0.0, "memory": gib, "off": 0.0}
    assert changes.stay == 1 and {vm.gain for vm in changes.vms} == {found["cpus"].gain}
    assert found["cpus"].gain is not None and found["cpus"].gain > 0
    assert [vm.vm for vm in changes.shut_off] == ["memory"]
    assert change_row(found["memory"])[1:4] == ("a", "0", "1 → 0")
    told = " ".join(change_sentences(changes))
    assert "1 VM moves memory" in told and "1 VM comes to another host or node shut off." in told
    assert "1 VM only gets other CPUs" in told and "1 VM (memory) by a restart" in told


def test_another_host_is_live_but_for_what_moves_cold(build: Any) -> None:
    """A migration needs no downtime; a restart is named as one, and a VM that is nowhere yet starts."""
    here = build.now("a", nodes=(0,), memory_nodes=(0,))
    vms = [build.vm("live", current=here), build.vm("cold", current=here), build.vm("new")]
    fleet = build.fleet([build.host("a"), build.host("b")], vms)
    plan = build.plan(
        build.placed(vms[0], [0, 1], [0], "b", change=Change.MIGRATE, from_host="a"),
        build.placed(vms[1], [2, 3], [0], "b", change=Change.RESTART, from_host="a"),
        build.placed(vms[2], [4, 5], [1], "b"),
    )
    changes = plan_changes(fleet, plan)
    assert {vm.vm: vm.need for vm in changes.vms} == {"live": Need.LIVE, "cold": Need.RESTART, "new": Need.START}
    assert [vm.vm for vm in changes.shut_off] == ["cold"] and len(changes.moving) == 2
    told = list(change_sentences(changes))
    assert "Downtime: 1 restart (cold)." in told and "1 VM starts anew." in told
    assert told[0].startswith("1 VM moves memory") and told[1] == "1 VM comes to another host or node by a restart."
