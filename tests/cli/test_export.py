"""``placer export``: every form from the command line, and the fleet found or asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.emit.export import formats

Placer = Callable[..., Any]


@pytest.mark.parametrize("form", ["libvirt", "virsh", "qemu", "taskset", "csv"])
def test_forms_into_a_folder(placer: Placer, plan_file: Path, tmp_path: Path, form: str) -> None:
    """Each form writes files below the folder, names them in the envelope, and overwrites nothing."""
    out = tmp_path / "out"
    run = placer("export", plan_file, "--to", form, "-o", out)
    assert run.code == 0 and run.out == "" and "wrote" in run.err
    written = [path for path in out.rglob("*") if path.is_file()]
    assert written
    again = placer("export", plan_file, "--to", form, "-o", out)
    assert again.code == 2 and "--force" in again.err
    envelope = placer("export", plan_file, "--to", form, "-o", out, "--force", "--json").envelope
    assert sorted(envelope["result"]["files"]) == sorted(map(str, written))


def test_standard_output(placer: Placer, plan_file: Path) -> None:
    """``-o -`` prints the text."""
    run = placer("export", plan_file, "--to", "csv", "-o", "-")
    assert run.code == 0 and run.out.count("\n") >= 4
    assert placer("export", plan_file, "--to", "csv", "-o", "-", "--json").envelope["result"]["text"] == run.out


def test_unknown_form_names_those_there_are(placer: Placer, plan_file: Path, tmp_path: Path) -> None:
    """A form that does not exist is refused, and the forms are listed, in help too."""
    run = placer("export", plan_file, "--to", "papyrus", "-o", tmp_path / "x")
    assert run.code == 2 and all(form in run.err for form in formats())
    text = " ".join(placer("export", "--help").out.split())
    assert all(form in text for form in formats())


def test_fleet_is_found_beside_the_plan_or_asked_for(
    placer: Placer, plan_file: Path, fleet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan's fleet is looked for from here and beside the plan, or named by --fleet; a changed one is refused."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    moved = folder / fleet_file.name
    fleet_file.rename(moved)
    assert placer("export", plan_file, "--to", "csv", "-o", "-").code == 2
    missing = placer("export", plan_file, "--to", "csv", "-o", "-")
    assert "--fleet" in missing.err
    assert placer("export", plan_file, "--to", "csv", "-o", "-", "--fleet", moved).code == 0
    beside = folder / plan_file.name
    plan_file.rename(beside)
    assert placer("export", beside, "--to", "csv", "-o", "-").code == 0
    moved.write_text(moved.read_text() + "# changed\n")
    changed = placer("export", beside, "--to", "csv", "-o", "-")
    assert changed.code == 2 and "changed since" in changed.err
