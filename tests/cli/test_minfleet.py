"""``placer minfleet``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.read.inventory.inventory import parse_fleet

Placer = Callable[..., Any]
FLEET = """\
schema: placer.inventory/v1
hosts:
  - {name: small, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}], cost: 1}
  - {name: large, count: 2, nodes: [{id: 0, cpus: "0-15", memory: 64GiB}], cost: 1.5}
vms:
  - {name: v, count: 8, vcpus: 4, memory: 1GiB, cells: none}
"""


def test_hosts_to_buy_their_cost_and_a_plan(placer: Placer, tmp_path: Path) -> None:
    """Eight VMs of 4 vCPUs fill two large hosts, cost 3, where four small ones cost 4; the plan on them is written."""
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET)
    run = placer("minfleet", file, "--shapes", "small,large", "-o", tmp_path / "plan.json", "--json")
    assert run.code == 0
    assert run.envelope["result"] == {
        "hosts": {"small": 0, "large": 2},
        "cost": 3.0,
        "bound": 3.0,
        "status": "optimal",
    }
    assert (tmp_path / "plan.json").exists()
    assert "2 of large" in placer("minfleet", file, "--shapes", "large").out
    run = placer("minfleet", file, "--shapes", "huge")
    assert run.code == 2 and "no host is named 'huge'" in run.err and len(run.err.splitlines()) == 1


FULL = """\
schema: placer.inventory/v1
hosts: [{name: h, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]}]
vms: [{name: v, count: 4, vcpus: 8, memory: 1GiB, cells: none}]
"""


def test_what_is_bought_is_an_inventory_beside_its_plan(placer: Placer, tmp_path: Path) -> None:
    """The plan is of a fleet that no file held: written beside, with the hosts bought alone, every verb takes both."""
    file = tmp_path / "fleet.yaml"
    file.write_text(FULL)
    assert placer("minfleet", file, "--shapes", "h", "-o", tmp_path / "bought.json", "-q").code == 0
    bought = parse_fleet((tmp_path / "bought.yaml").read_bytes(), "bought.yaml", tmp_path)
    assert [host.name for host in bought.hosts] == ["h-1", "h-2", "h-3", "h-4"]
    assert placer("check", tmp_path / "bought.yaml", tmp_path / "bought.json", "-q").code == 0
    again = placer("minfleet", file, "--shapes", "h", "-o", tmp_path / "bought.json")
    assert again.code == 2 and "--force" in again.err


@pytest.mark.parametrize(("reserve", "lost"), [("", 8), ("rules: [{reserve: {fail: 1, scope: host}}]\n", 0)])
def test_what_is_bought_is_asked_for_each_failure(placer: Placer, tmp_path: Path, reserve: str, lost: int) -> None:
    """Four VMs that fill a host each: of the four hosts bought each loses one, of the five for a failure none."""
    file = tmp_path / "fleet.yaml"
    file.write_text(FULL + reserve)
    assert placer("minfleet", file, "--shapes", "h", "-o", tmp_path / "bought.json", "-q").code == 0
    run = placer("whatif", tmp_path / "bought.json", "--fail-each", "host", "--json")
    failures = run.envelope["result"]["scenarios"][0]["failures"]
    assert max([one["vcpus_lost"] for one in failures["harmful"]], default=0) == lost and not failures["unknown"]
