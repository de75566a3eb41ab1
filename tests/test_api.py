"""The public API: what the README shows, imported only when it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import placer

HEAVY = {"ortools", "pandas", "networkx", "numpy", "pydantic", "lxml", "yaml", "rich", "typer"}


def test_import_is_cheap() -> None:
    """``import placer`` brings in nothing that takes time."""
    script = "import sys, placer; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=1800)
    assert {name.partition(".")[0] for name in run.stdout.split()}.isdisjoint(HEAVY)


def test_everything_offered_is_there() -> None:
    """Every name of ``__all__`` can be had, ``dir`` lists them, and others raise as on any module."""
    assert sorted(dir(placer)) == sorted(placer.__all__)
    for name in placer.__all__:
        assert getattr(placer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        placer.nope  # noqa: B018


def test_main_job_from_python(repository: Path, tmp_path: Path) -> None:
    """Read, solve, check, write and read again: the lines of the README."""
    fleet = placer.read_fleet(repository / "data" / "two-node.yaml")
    plan = placer.solve(fleet, time_limit_s=600)
    assert not plan.unplaced
    assert placer.check(fleet, plan).ok
    placer.write_plan(plan, tmp_path / "plan.json")
    assert placer.read_plan(tmp_path / "plan.json").vms == plan.vms
    frame = plan.to_frame()
    assert len(frame) == sum(vm.spec.vcpus for vm in fleet.vms)
    assert set(frame["affinity"]) == {"hard", "floating"}


def test_questions_from_python(tmp_path: Path) -> None:
    """Placement, the best moves, changes, order, headroom, scenarios and reasons are functions with typed results."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "schema: placer.inventory/v1\nhosts:\n"
        "  - name: <b>h\n    count: 2\n"
        "    nodes: [{id: 0, cpus: 0-3, memory: 8GiB}, {id: 1, cpus: 4-7, memory: 8GiB}]\nvms:\n"
        "  - {name: v, vcpus: 2, memory: 2GiB, cells: none, host: <b>h-1, nodes: [0], memory_nodes: [1]}\n"
    )
    fleet = placer.read_fleet(path)
    before = placer.placement(fleet)
    assert before.far == 1 and before.remote_access > 0
    (best,) = placer.best_moves(fleet, [1], time_limit_s=20)
    assert best.proven and best.after == 0 and best.before == before.remote_access
    changes = placer.changes(fleet, best.plan)
    assert changes.gain == pytest.approx(before.remote_access)
    assert len(placer.schedule(fleet, best.plan).steps) == 1
    now, beside = (placer.headroom(fleet, ["2x2GiB"], plan=plan)[0].total for plan in (None, best.plan))
    assert now == beside > 0
    assert placer.explain_vm(fleet, best.plan, "v").remote_access == 0
    assert placer.explain_plan(fleet, best.plan).locality.remote_access_same == 0
    assert [row["placed"] for row in placer.compare_scenarios(fleet, ())] == [1]
    compared = placer.compare_states(fleet, None, fleet, best.plan)
    assert [vm.difference.value for vm in compared.vms] == ["other node"]
    for shown in (fleet, best.plan, compared, changes):
        text = shown._repr_html_()  # what a notebook calls
        assert text.startswith("<table><caption>") and "<b>" not in text
    assert "&lt;b&gt;h-1" in fleet._repr_html_()
