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
