"""VMs that are confined to some CPUs, and float over all of the host that they come to, are named.

Where a goal counts nodes a VM floats over all: elsewhere it is confined to as many nodes of its new host.
"""

from __future__ import annotations

from pathlib import Path

from placer.explain.diff import compare_with_now
from placer.model.fleet import Fleet
from placer.moves.changes import plan_changes
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet
from placer.show.change_words import change_sentences
from placer.show.differences import difference_csv, difference_sentences


def fleet_of(folder: Path, cpuset: str) -> Fleet:
    """Return a drained host of two nodes with a VM on such a cpuset, and a host beside it."""
    (folder / "v.xml").write_text(
        "<domain type='kvm'><name>v</name><memory unit='GiB'>2</memory>"
        f"<vcpu placement='static' cpuset='{cpuset}'>2</vcpu></domain>"
    )
    nodes = '[{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "4-7", memory: 8GiB}]'
    hosts = ", ".join(f"{{name: {name}, overcommit: 2, nodes: {nodes}}}" for name in "ab")
    path = folder / "f.yaml"
    path.write_text(
        f"schema: placer.inventory/v1\nhosts: [{hosts}]\nvms: [{{domain: v.xml, host: a}}]\nrules: [{{drain: a}}]\n"
    )
    return read_fleet(path)


SAID = "1 VM is confined (v to 4-6), and floats over all where it comes."


def test_a_lost_cpuset_is_named(tmp_path: Path) -> None:
    """In the sentences of the plan and of diff, and in its table."""
    fleet = fleet_of(tmp_path, "4-6")
    plan = solve_fleet(fleet, goals="placed,rules,balance,moves", time_limit_s=20, workers=1)
    compared = compare_with_now(fleet, plan)
    assert plan.vms[0].host == "b"
    assert SAID in list(change_sentences(plan_changes(fleet, plan)))
    assert SAID in list(difference_sentences(compared))
    assert difference_csv(compared).splitlines()[1].endswith(",4-6")


def test_all_cpus_are_no_confinement(tmp_path: Path) -> None:
    """A cpuset of the whole host says nothing, and floats on."""
    fleet = fleet_of(tmp_path, "0-7")
    changes = plan_changes(fleet, solve_fleet(fleet, time_limit_s=20, workers=1))
    assert not changes.lost_cpusets
