"""Rules over nodes count VMs that float where they may run, no wider."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.measure.rule_excess import rule_index, start_excess
from placer.read.inventory.inventory import read_fleet

FLEET = """
schema: placer.inventory/v1
rules: [{{apart: [{{app: a}}, {{app: b}}], scope: node}}]
hosts: [{{name: h, nodes: [{{id: 0, cpus: "0-3", memory: 8GiB}}, {{id: 1, cpus: "4-7", memory: 8GiB}}]}}]
vms:
  - {{name: a, vcpus: 1, memory: 1GiB, cpu_policy: shared, host: h, labels: {{app: a}}, {bound}}}
  - {{name: b, vcpus: 1, memory: 1GiB, host: h, nodes: [1], labels: {{app: b}}}}
"""


@pytest.mark.parametrize(
    ("bound", "nodes"),
    [
        ("bound: {cpus: [0]}", []),
        ("bound: {cpus: [0, 1]}", [1]),
        ("bound: {cpus: host}", [1]),
        ('pins: {0: "2-3"}', []),
    ],
)
def test_a_vm_counts_on_the_nodes_that_it_may_run_on(tmp_path: Path, bound: str, nodes: list[int]) -> None:
    """One bound or pinned to node 0 is not beside another on node 1; one that floats over both may be."""
    (tmp_path / "fleet.yaml").write_text(FLEET.format(bound=bound))
    fleet = read_fleet(tmp_path / "fleet.yaml")
    assert start_excess(fleet, rule_index(fleet)) == {(0, ("h", node)): 1 for node in nodes}
