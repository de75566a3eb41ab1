"""Flavors that share CPUs: written, taken from the fleet where nothing is said, counted and grown as such."""

from __future__ import annotations

from pathlib import Path

import pytest

import placer
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.goals import as_most, parse_flavor
from placer.model.vm import CpuPolicy, PinPolicy
from placer.planning.wanted import wanted_flavor
from placer.whatif.edit_vms import flavor_spec, of_flavors
from placer.whatif.headroom import headroom

INVENTORY = """
schema: placer.inventory/v1
hosts:
  - {{name: a, overcommit: 4, nodes: [{{id: 0, cpus: 0-7, memory: 32GiB}}]}}
vms:
  - {{name: s, count: {shared}, vcpus: 1, memory: 1GiB, overhead: 0MiB, cpu_policy: shared, host: a, nodes: [0]}}
  - {{name: d, count: {dedicated}, vcpus: 1, memory: 1GiB, overhead: 0MiB, host: a, nodes: [0]}}
"""


def fleet_of(tmp_path: Path, shared: int, dedicated: int) -> Fleet:
    """Return a host of 8 CPUs at a ratio of 4 with so many VMs of one vCPU."""
    path = tmp_path / "fleet.yaml"
    path.write_text(INVENTORY.format(shared=shared, dedicated=dedicated))
    return placer.read_fleet(path)


def test_the_policy_of_most_vms_is_taken(tmp_path: Path) -> None:
    """Of 8 CPUs one is dedicated and three vCPUs share: 6 are left to dedicated vCPUs, 25 to shared ones."""
    fleet = fleet_of(tmp_path, 3, 1)
    flavor = as_most(fleet, parse_flavor("1x0"))
    assert flavor.text == "1x0:shared"
    (found,) = headroom(fleet, [flavor])
    assert (found.flavor, found.total) == ("1x0:shared", 25)
    (own,) = headroom(fleet, [as_most(fleet, parse_flavor("1x0:dedicated"))])
    assert (own.flavor, own.total) == ("1x0:dedicated", 6)
    assert as_most(fleet_of(tmp_path, 1, 3), parse_flavor("1x0")).text == "1x0"


def test_new_vms_have_it_too(tmp_path: Path) -> None:
    """Growth by a flavor is of the policy that is said, else of most VMs'; cells keep it."""
    fleet = fleet_of(tmp_path, 3, 1)
    assert flavor_spec("2x2GiB", fleet).cpu_policy is CpuPolicy.SHARED
    assert flavor_spec("2x2GiB/2:dedicated", fleet).cpu_policy is CpuPolicy.DEDICATED
    assert wanted_flavor(parse_flavor("4x4GiB:shared"), 2).text == "4x4GiB/2:shared"


def test_floating_vms_span_nodes(tmp_path: Path) -> None:
    """A VM wider and larger than a node floats over both; most of the fleet's VMs doing so, it is what is counted."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "schema: placer.inventory/v1\nhosts:\n  - {name: a, overcommit: 2, nodes: [{id: 0, cpus: 0-3, memory: 8GiB},"
        " {id: 1, cpus: 4-7, memory: 8GiB}]}\nvms:\n"
        "  - {name: s, count: 2, vcpus: 1, memory: 1GiB, overhead: 0MiB, cpu_policy: shared, host: a}\n"
    )
    fleet = placer.read_fleet(path)
    flavor = as_most(fleet, parse_flavor("7x6GiB"))
    assert (flavor.text, flavor.policy) == ("7x6GiB:floating", "floating")
    found, bound = headroom(fleet, [flavor, "3x0:shared"])
    assert (found.total, found.at_most, found.policy) == (2, 2, "floating")
    assert (bound.total, bound.policy) == (4, "shared")
    assert as_most(fleet, parse_flavor("2x2GiB/2")).policy == "shared"
    (new,) = of_flavors({"7x6GiB": 1}, set(), fleet)
    assert new.pin is PinPolicy.NEVER and new.spec.cpu_policy is CpuPolicy.SHARED
    with pytest.raises(InputError, match="is in no cells"):
        parse_flavor("2x2GiB/2:floating")


@pytest.mark.parametrize(("flavor", "fits"), [("1x0:shared", 25), ("1x0:dedicated", 6), ("1x0", 25), ("3x0", 8)])
def test_goals_count_by_policy(tmp_path: Path, flavor: str, fits: int) -> None:
    """A goal of headroom is of the policy that is said, else of most VMs': solved, measured and counted alike."""
    fleet = fleet_of(tmp_path, 3, 1)
    plan = placer.solve(fleet, goals=f"placed,headroom:{flavor}")
    assert (plan.goals[1].value, plan.goals[1].bound) == (fits, fits)
    assert placer.check(fleet, plan).ok
    (found,) = headroom(fleet, [flavor])
    assert found.total == fits


def test_goals_count_floating_vms(tmp_path: Path) -> None:
    """Beside VMs that are bound, what floats is counted over both nodes, and moving one makes no more room."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "schema: placer.inventory/v1\nhosts:\n  - {name: a, overcommit: 2, nodes: [{id: 0, cpus: 0-3, memory: 8GiB},"
        " {id: 1, cpus: 4-7, memory: 8GiB}]}\nvms:\n"
        "  - {name: s, count: 3, vcpus: 1, memory: 1GiB, overhead: 0MiB, host: a, nodes: [0]}\n"
    )
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,headroom:5x1GiB:floating", max_moves=1)
    assert (plan.goals[1].value, plan.goals[1].bound) == (2, 2) and placer.check(fleet, plan).ok


def test_another_policy_is_refused() -> None:
    """With how it is written."""
    with pytest.raises(InputError, match="is not a flavor"):
        parse_flavor("1x2GiB:float")
