"""VMs that float are drawn, exported and reported: their memory is on no node that is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.cli.app import main

FLEET = """
schema: placer.inventory/v1
hosts: [{name: kvm, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}, {id: 1, cpus: 4-7, memory: 8GiB}]}]
vms:
  - {name: web, vcpus: 2, memory: 2GiB, cpu_policy: shared, host: kvm}
  - {name: wide, vcpus: 6, memory: 1GiB, cpu_policy: shared, host: kvm, cells: 2}
"""


def test_a_plan_of_floating_vms_is_shown_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Picture, report and tables take a VM that floats over both nodes, with the fleet at hand and without it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    assert main(["solve", "fleet.yaml", "-o", "plan.json", "-q"]) == 0
    capsys.readouterr()
    assert main(["show", "plan.json"]) == 0
    assert "web" in capsys.readouterr().out
    assert main(["report", "plan.json", "-o", "report.html"]) == 0
    assert main(["export", "plan.json", "--to", "csv", "-o", "plan.csv"]) == 0
    (tmp_path / "fleet.yaml").unlink()
    assert main(["show", "plan.json"]) in (0, 2)
    assert "fault of placer's own" not in capsys.readouterr().err
