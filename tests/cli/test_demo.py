"""``placer demo`` and ``placer solvers``: what a newcomer runs first."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.cli.about.solvers import ENGINES

Placer = Callable[..., Any]


def test_demo_runs_the_main_job(placer: Placer, tmp_path: Path) -> None:
    """Show, solve, check and export run on the bundled data; plan and XML are there afterwards."""
    out = tmp_path / "demo"
    run = placer("demo", "-o", out)
    assert run.code == 0, run.err
    assert "every constraint holds" in run.out
    assert (out / "plan.json").is_file()
    assert len(list((out / "libvirt").rglob("*.xml"))) == 7


def test_commands_of_the_demo_work(placer: Placer, tmp_path: Path) -> None:
    """Each command that the demo prints, run as it stands, succeeds."""
    run = placer("demo", "-o", tmp_path / "demo")
    commands = [shlex.split(line) for line in re.findall(r"\$ placer (.*)", run.out)]
    assert [words[0] for words in commands] == ["show", "solve", "check", "show", "export", "solve"]
    for words in commands:
        force = ["--force"] if words[0] in ("solve", "export") else []
        given = [str(tmp_path / word) if word == "greedy.json" else word for word in words]
        assert placer(*given, *force).code == 0, words


def test_demo_as_data(placer: Placer, tmp_path: Path) -> None:
    """Under --json every step is there with its result, and the exact engine beats the greedy one at full load."""
    steps = placer("demo", "-o", tmp_path / "demo", "--json").envelope["result"]["steps"]
    assert [step["step"] for step in steps] == ["show", "solve", "check", "map", "export", "compare"]
    goals = steps[-1]["result"]["goals"]
    assert goals["exact"]["placed"] == 0
    assert (goals["exact"]["placed"], goals["exact"]["remote"]) < (goals["greedy"]["placed"], goals["greedy"]["remote"])


def test_engines_are_those_of_the_option(placer: Placer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of engines has what ``solve --engine`` takes, beside auto."""
    from placer.cli.plans.solve import EngineChoice

    names = [engine["name"] for engine in placer("solvers", "--json").envelope["result"]["engines"]]
    assert sorted([*names, "auto", "states"]) == sorted(EngineChoice)  # the older name of columns stays accepted
    assert [engine["name"] for engine in ENGINES] == names
    monkeypatch.setenv("COLUMNS", "80")
    run = placer("solvers")
    assert run.code == 0 and max(map(len, run.out.splitlines())) <= 80
