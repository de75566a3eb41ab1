"""``placer usage``: a list of oversized VMs, and an inventory that knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_usage_lists_and_writes(placer: Callable[..., Any], fleet_file: Path) -> None:
    """Oversized VMs are listed, strangers warned of, and the inventory written lists the same VMs by itself."""
    table = fleet_file.with_name("usage.csv")
    table.write_text("vm,cpu_p95,memory_p95\ndb,0.1,0.9\nweb-1,0.9,0.9\nghost,0.1,0.1\n")
    new = fleet_file.with_name("used.yaml")
    run = placer("usage", fleet_file, "--from", table, "-o", new, "--json")
    assert run.code == 0, run.err
    assert "'ghost'" in run.err
    assert [vm["name"] for vm in run.envelope["result"]["oversized"]] == ["db"]
    again = placer("usage", new, "--json").envelope["result"]
    assert again == run.envelope["result"]
    assert placer("usage", new, "--cpu-below", "0").out.startswith("no VM")


def test_inventory_stays_in_its_folder(placer: Callable[..., Any], fleet_file: Path, tmp_path: Path) -> None:
    """Another folder is refused, since paths in the inventory count from its own."""
    (tmp_path / "elsewhere").mkdir()
    run = placer("usage", fleet_file, "-o", tmp_path / "elsewhere" / "new.yaml")
    assert run.code == 2
    assert "same folder" in run.err
