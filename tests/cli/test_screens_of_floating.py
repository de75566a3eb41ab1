"""Fleets in which some VMs float: verbs that print one figure mean the same VMs by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLEET = """schema: placer.inventory/v1
hosts:
  - {name: h, count: 3, nodes: [{id: 0, cpus: 0-7, memory: 32GiB}, {id: 1, cpus: 8-15, memory: 32GiB}]}
vms:
  - {name: near, vcpus: 4, memory: 4GiB, cells: none, host: h-1, nodes: [0]}
  - {name: far, vcpus: 2, memory: 4GiB, cells: none, host: h-2, nodes: [1], memory_nodes: [0]}
  - {name: half, vcpus: 2, memory: 4GiB, cells: none, cpu_policy: shared, host: h-1, bound: {cpus: [0], wish: [0]}}
  - {name: loose, vcpus: 4, memory: 8GiB, cells: none, cpu_policy: shared, host: h-3}
"""


def test_figures_of_locality_count_the_vms_whose_place_is_known(placer: Callable[..., Any], tmp_path: Path) -> None:
    """Two of six vCPUs on known nodes are away: a third, whatever floats beside them, in each verb that prints it."""
    fleet, plan = tmp_path / "fleet.yaml", tmp_path / "plan.json"
    fleet.write_text(FLEET)

    def result(*words: object) -> Any:
        return placer(*words, "--json").envelope["result"]

    assert placer("solve", fleet, "-o", plan).code == 0
    now, checked = result("check", fleet, "--placement")["placement"], result("check", fleet, plan)["measured"]
    base = result("whatif", fleet, "--drain", "h-1", "--executor", "serial")["scenarios"][0]
    explained = result("explain", plan)["locality"]
    said = [now["locality_score"], checked["locality_score"], base["locality_score"], explained["locality_now"]]
    assert said == pytest.approx([100 * (1 - 2 / 6)] * 4)
    assert checked["remote_share"] == pytest.approx(2 / 6)
    assert [now["remote_access"], checked["remote_access"], base["remote_access"]] == [2, 2, 2]
    assert [now["floating"], checked["floating_vms"], now["pinned_nowhere"]] == [2, 2, 1]
    ticket = placer("export", plan, "--to", "markdown", "-o", "-").out
    assert "| locality score, 100 is all local | 66.67 | 66.67 |" in ticket
    assert "2 VMs lie on no known node, 1 of them pinned nowhere" in placer("check", fleet, "--placement").out
