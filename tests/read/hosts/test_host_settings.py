"""Host settings: from gathered files, and through an inventory and back."""

from __future__ import annotations

from pathlib import Path

from placer.model.host import HostSettings
from placer.read.hosts.host_settings import settings_of_files
from placer.read.inventory.inventory import read_fleet
from placer.read.inventory.write import inventory_text

INVENTORY = """\
schema: placer.inventory/v1
hosts:
  - name: a
    nodes: [{id: 0, cpus: "0-3", memory: 8GiB}]
    settings: {numa_balancing: true, ksm: false, ksm_across_nodes: true, thp: madvise, numad: false, swap: 8GiB}
"""
FULL = HostSettings(
    numa_balancing=True, ksm=False, ksm_across_nodes=True, thp="madvise", numad=False, swap_kib=8 * 1024 * 1024
)


def test_inventory_and_back(tmp_path: Path) -> None:
    """What an inventory says of settings is read, written, and read again the same."""
    path = tmp_path / "fleet.yaml"
    path.write_text(INVENTORY)
    fleet = read_fleet(str(path))
    assert fleet.hosts[0].settings == FULL
    path.write_text(inventory_text(fleet))
    assert read_fleet(str(path)).hosts[0].settings == FULL


def test_gathered_files() -> None:
    """Files as kernels write them; KSM 2 means that merged pages are being split."""
    texts = {
        "proc/sys/kernel/numa_balancing": b"1\n",
        "sys/kernel/mm/ksm/run": b"2\n",
        "sys/kernel/mm/ksm/merge_across_nodes": b"1\n",
        "sys/kernel/mm/transparent_hugepage/enabled": b"always [madvise] never\n",
        "numad": b"no\n",
        "proc/swaps": b"Filename\tType\tSize\tUsed\tPriority\n"
        b"/dev/dm-1 partition 4194304 0 -2\n/a b file 4194304 0 -3\n",
    }
    assert settings_of_files(texts) == FULL


def test_missing_and_damaged_files_are_unknown() -> None:
    """Nothing is guessed."""
    assert settings_of_files({}) == HostSettings()
    damaged = dict.fromkeys(("proc/swaps", "numad", "proc/sys/kernel/numa_balancing"), b"\xff?")
    assert settings_of_files(damaged) == HostSettings()
    assert settings_of_files({"proc/swaps": b"Filename Type Size Used Priority\n"}).swap_kib == 0
