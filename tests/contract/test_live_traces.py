"""A live cluster of 279 hosts from its tables to an ordered schedule, checked by the trace's own checker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from placer.cli.app import main


def fr_check(folder: Path, plan: list[list[object]], moves: int, tmp_path: Path) -> str:
    """Return what fr_check.py says of moves in the order given; fail where it refuses them."""
    path = tmp_path / "moves.json"
    path.write_text(json.dumps(plan))
    command = [sys.executable, str(folder / "fr_check.py"), "medium", str(path), str(moves), "--ordered"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("moves", "rate"), [(25, "0.7245"), (50, "0.5753"), (100, "0.2884")])
def test_bytedance_from_tables_to_an_ordered_schedule(
    repository: Path,
    shared_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    moves: int,
    rate: str,
) -> None:
    """Imported, solved within a budget of moves and ordered: the proven fragment rate, and every step fits when
    made.
    """
    trace = shared_dir / "traces/bytedance"
    fleet, plan = tmp_path / "fleet.yaml", tmp_path / "plan.json"
    tables = ["--hosts", str(trace / "medium_hosts.csv"), "--vms", str(trace / "medium_vms.csv")]
    assert (
        main(["import", "csv", "--map", str(repository / "tests/read/maps/bytedance.yaml"), *tables, "-o", str(fleet)])
        == 0
    )
    goals = ["--goals", "placed,headroom:16x0", "--max-moves", str(moves), "--require", "gap=0%"]
    assert main(["solve", str(fleet), "-o", str(plan), *goals, "--time-limit", "120s"]) == 0
    capsys.readouterr()
    assert main(["moves", str(fleet), str(plan), "--json"]) == 0
    schedule = json.loads(capsys.readouterr().out)["result"]
    assert schedule["complete"] and not schedule["blocked"]
    steps = [step for wave in schedule["waves"] for step in wave["steps"] if step["do"] in ("migrate", "renode")]
    aside = schedule["parking_moves"]["value"]
    assert schedule["parking_moves"]["bound"] <= aside and len(steps) <= moves + aside
    vm_row = {f"vm_{n}": n for n in range(5000)}
    ordered: list[list[object]] = [
        [vm_row[step["vm"]], int(step["to"]["host"].removeprefix("pm_")), step["to"]["nodes"]] for step in steps
    ]
    said = fr_check(trace, ordered, moves + aside, tmp_path)
    assert f"FR {rate}" in said.splitlines()[-1], said
