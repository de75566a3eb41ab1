"""Flavors that share CPUs: written, taken from the fleet where nothing is said, counted and grown as such."""

from __future__ import annotations

from pathlib import Path

import pytest

import placer
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor, parse_goals
from placer.model.vm import CpuPolicy
from placer.planning.wanted import as_most, wanted_flavor
from placer.whatif.edit_vms import flavor_spec
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


def test_goals_count_dedicated_vcpus(tmp_path: Path) -> None:
    """A goal of shared vCPUs is refused with what counts them, and another policy with how it is written."""
    fleet = fleet_of(tmp_path, 1, 1)
    with pytest.raises(InputError, match="counts VMs of dedicated vCPUs"):
        parse_goals("placed,headroom:1x2GiB:shared", fleet)
    with pytest.raises(InputError, match="is not a flavor"):
        parse_flavor("1x2GiB:float")
