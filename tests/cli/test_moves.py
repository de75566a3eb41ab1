"""``placer moves`` and ``placer diff`` on a small live fleet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.cli.plans.moves import parse_bandwidth_gib_s
from placer.errors import InputError

FLEET = """\
schema: placer.inventory/v1
hosts:
  - name: kvm-a
    count: 2
    nodes: [{id: 0, cpus: "0-3", memory: 16GiB}]
    reserve: {memory: 1GiB}
vms:
  - {name: db, vcpus: 2, memory: 4GiB, cells: none, host: kvm-a-1, nodes: [0]}
rules:
  - {drain: kvm-a-1}
"""


@pytest.fixture
def files(tmp_path: Path, placer: Callable[..., Any]) -> tuple[Path, Path]:
    """Return a fleet whose host is drained, and its plan."""
    fleet, plan = tmp_path / "fleet.yaml", tmp_path / "plan.json"
    fleet.write_text(FLEET)
    assert placer("solve", fleet, "-o", plan, "--max-moves", "1", "-q").code == 0
    return fleet, plan


def test_moves_in_every_form(files: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """Table, JSON, Markdown and script all name the one migration."""
    answer = placer("moves", *files, "--json", "--bandwidth", "4GiB/s").envelope["result"]
    (wave,) = answer["waves"]
    assert [(s["do"], s["vm"], s["from"]["host"], s["to"]["host"]) for s in wave["steps"]] == [
        ("migrate", "db", "kvm-a-1", "kvm-a-2")
    ]
    assert wave["minutes"] == pytest.approx(1 / 60)
    for form, words in (
        ("table", "live migration"),
        ("markdown", "| live migration | kvm-a-1"),
        ("csv", "1,db,,live migration,kvm-a-1,0,0,kvm-a-2"),
        ("script", "migrate db db"),
    ):
        run = placer("moves", *files, "--format", form)
        assert run.code == 0 and words in run.out


def test_a_plan_that_check_refuses_is_not_ordered(files: tuple[Path, Path], placer: Callable[..., Any]) -> None:
    """A plan edited so that it breaks a constraint is refused as input."""
    fleet, plan = files
    plan.write_text(plan.read_text().replace('"migrate"', '"none"'))
    run = placer("moves", fleet, plan)
    assert run.code == 2 and "refused" in run.err


def test_diff_tells_now_from_the_plan_and_a_plan_from_itself(
    files: tuple[Path, Path], placer: Callable[..., Any]
) -> None:
    """Exit code 6 where VMs differ, 0 where none does."""
    fleet, plan = files
    run = placer("diff", fleet, plan, "--json")
    assert run.code == 6 and run.envelope["result"]["totals"]["migrated"] == 1
    same = placer("diff", plan, plan)
    assert same.code == 0 and "1 as they are" in same.out


def test_bandwidths() -> None:
    """Bits are decimal, bytes as sizes are read; what is no rate is refused."""
    assert parse_bandwidth_gib_s("1GiB/s") == 1
    assert parse_bandwidth_gib_s("8.59Gbit/s") == pytest.approx(1, rel=1e-3)
    for text in ("10", "0Gbit/s", "fast"):
        with pytest.raises(InputError, match="rate"):
            parse_bandwidth_gib_s(text)
