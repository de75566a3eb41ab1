"""ShellCheck over every script that placer writes, whatever names are in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from placer.emit.export import export_plan
from placer.emit.moves.script import schedule_script
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.moves.schedule import schedule_moves
from tests.emit.drained import IDENTS, SCRIPTS, grown, planned

pytestmark = pytest.mark.platforms
NAMES = ("it's $(touch pwned) `touch pwned`", 'two\nlines" \\', "--config", "größe \x1b[31m")


def renamed(plan: Plan, fleet: Fleet) -> tuple[Plan, Fleet]:
    """Return the plan with names that no shell should meet."""
    names = dict(zip((vm.name for vm in fleet.vms), NAMES, strict=True))
    vms = tuple(replace(vm, name=names[vm.name]) for vm in fleet.vms)
    placed = tuple(replace(vm, name=names[vm.name]) for vm in plan.vms)
    return replace(plan, vms=placed), replace(fleet, vms=vms, rules=(), digest="")


def script_of(form: str, plan: Plan, fleet: Fleet) -> str:
    """Return the script of a plan in this form."""
    if form == "moves":
        return schedule_script(schedule_moves(fleet, plan), fleet)
    text = export_plan(plan, fleet, form, None)
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("form", [*SCRIPTS, "virsh", "taskset", "moves"])
def test_nothing_to_say(form: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """No error, warning or remark: 2015 and 2329 are ways of ours, 1003 and 2016 quotes that keep what is odd."""
    ident = IDENTS.get(form, "{}")
    (tmp_path / "plain.sh").write_text(script_of(form, *planned(ident)))
    (tmp_path / "grown.sh").write_text(script_of(form, *grown(ident)))
    (tmp_path / "odd.sh").write_text(script_of(form, *renamed(*planned(ident))))
    for name, allowed in (("plain", "2015,2329"), ("grown", "2015,2329"), ("odd", "1003,2015,2016,2329")):
        words = [tool("bin/shellcheck"), "--shell=bash", f"--exclude={allowed}", tmp_path / f"{name}.sh"]
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        assert said == "", said
