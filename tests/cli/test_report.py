"""``placer report``: one file, with all hosts and VMs in it and no address to ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_report_is_one_file_with_every_host_and_vm(placer: Callable[..., Any], plan_file: Path, tmp_path: Path) -> None:
    """The file names every host and VM and loads nothing; a second run gives the same bytes and needs --force."""
    out = tmp_path / "report.html"
    assert placer("report", plan_file, "-o", out, "--flavor", "2x2GiB").code == 0
    text = out.read_text()
    for name in ("kvm-a", "db", "web-1", "web-2", "2x2GiB"):
        assert name in text
    addresses = re.findall(r"(?:src|href)=[\"']?([^\s\"'>]+)", text)
    assert addresses and all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.findall(r"url\(|@import", text)
    assert placer("report", plan_file, "-o", out).code == 2
    assert placer("report", plan_file, "-o", "-", "--flavor", "2x2GiB").out.rstrip("\n") == text.rstrip("\n")


def test_last_weeks_state_stands_beside_the_plan(
    placer: Callable[..., Any], plan_file: Path, fleet_file: Path, tmp_path: Path
) -> None:
    """The page says what differs from an earlier inventory or plan, as diff does; the map has it a host."""
    for earlier in (fleet_file, plan_file):
        out = tmp_path / f"{earlier.stem}.html"
        assert placer("report", plan_file, "-o", out, "--beside", earlier).code == 0
        text = out.read_text()
        assert f"Since {earlier}" in text and '"since":[' in text
        answer = placer("diff", earlier, plan_file).out.splitlines()[0].removesuffix(".")
        assert f"Since {earlier}: {answer}" in text
    run = placer("report", plan_file, "-o", tmp_path / "no.html", "--beside", "-")
    assert run.code == 2 and "--beside" in run.err
