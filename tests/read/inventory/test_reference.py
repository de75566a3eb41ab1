"""The reference of the inventory names every key that the reader takes, and its example is read."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from placer.read.inventory import schema
from placer.read.inventory.inventory import parse_fleet


@pytest.mark.parametrize(
    "entry",
    [
        schema.HostEntry,
        schema.NodeEntry,
        schema.ReserveEntry,
        schema.OvercommitEntry,
        schema.DeviceEntry,
        schema.VmEntry,
        schema.CellEntry,
        schema.DeviceRequestEntry,
        schema.UsageEntry,
        schema.RuleEntry,
        schema.FailureEntry,
    ],
)
def test_every_key_is_documented(repository: Path, entry: type[schema.Entry]) -> None:
    """A key that the reader takes stands in docs/reference/inventory.md, in code."""
    text = re.sub(r"```.*?```", "", (repository / "docs/reference/inventory.md").read_text(), flags=re.DOTALL)
    words = {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[a-z0-9_]+", code)}
    assert not set(entry.model_fields) - words


def test_the_example_is_read(repository: Path, tmp_path: Path) -> None:
    """The inventory on top of the reference is sound."""
    text = (repository / "docs/reference/inventory.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "hosts").mkdir()
    shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", tmp_path / "hosts/kvm-a.xml")
    fleet = parse_fleet(example.encode(), "example", tmp_path)
    assert (len(fleet.hosts), len(fleet.vms), len(fleet.rules)) == (40, 12, 1)
