"""``placer minfleet``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
