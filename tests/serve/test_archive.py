"""What is taken away of an edited fleet: an archive that is read wherever it is unpacked."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.check.check import check
from placer.read.documents.plan_file import read_plan
from placer.read.inventory.inventory import read_fleet
from placer.serve.desk import Shown
from tests.serve.conftest import Explorer

NUMACTL = """\
available: 2 nodes (0-1)
node 0 cpus: 0 1 2 3
node 0 size: 16384 MB
node 0 free: 16000 MB
node 1 cpus: 4 5 6 7
node 1 size: 16384 MB
node 1 free: 16000 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
"""
DOMAIN = """\
<domain type='kvm'>
  <name>db</name>
  <memory unit='GiB'>2</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
</domain>
"""
HOSTS = ("h1", "h2")


@pytest.fixture
def explored(tmp_path: Path) -> Callable[..., Explorer]:
    """Return a maker of the explorer of a fleet in the folder ``fleet``, by the names of its two files."""

    def make(domain: str = "d/db.xml", topology: str = "t/host.txt") -> Explorer:
        folder = tmp_path / "fleet"
        for name, text in ((domain, DOMAIN), (topology, NUMACTL)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        vm: dict[str, Any] = {"domain": domain, "host": "h1", "nodes": [0], "memory_nodes": [0]}
        hosts = [{"name": name, "topology": topology} for name in HOSTS]
        inventory = {"schema": "placer.inventory/v1", "hosts": hosts, "vms": [vm]}
        (folder / "fleet.yaml").write_text(json.dumps(inventory))
        return Explorer(Shown(fleet=read_fleet(folder / "fleet.yaml"), plan=None))

    return make


def test_an_edited_fleet_is_read_where_its_archive_is_unpacked(
    explored: Callable[..., Explorer], tmp_path: Path
) -> None:
    """Domain XML and host files lie in it where the inventory says; the fleet read there is the one planned."""
    explorer = explored()
    assert explorer.solved(edits={"drain": ["h1"]})["state"] == "done"
    with zipfile.ZipFile(io.BytesIO(explorer.ask("/download/plan.zip").content)) as archive:
        assert {"plan.json", "fleet-edited.yaml", "d/db.xml", "t/host.txt"} <= set(archive.namelist())
        archive.extractall(tmp_path / "elsewhere")
    taken = read_fleet(tmp_path / "elsewhere/fleet-edited.yaml")
    plan = read_plan(tmp_path / "elsewhere/plan.json", certificate=True)
    assert taken.digest == plan.fleet_digest and check(taken, plan, bound=True).ok
    assert taken.vms[0].domain is not None and [vm.host for vm in plan.vms] == ["h2"]


@pytest.mark.parametrize("name", ["../db.xml", "{folder}/db.xml", "plan.json", "fleet-edited.yaml", "d/../db.xml"])
def test_a_file_without_a_place_in_the_archive_is_refused(
    explored: Callable[..., Explorer], tmp_path: Path, name: str
) -> None:
    """What lies above the folder, has a whole path, or has the name of another file of the archive; it is named."""
    explorer = explored(name := name.format(folder=tmp_path))
    assert explorer.solved(edits={"drain": ["h1"]})["state"] == "done"
    got = explorer.ask("/download/plan.zip")
    assert got.status_code == 400 and len(got.json()["faults"]) == 1
    assert repr(name) in got.json()["faults"][0] and "no place" in got.json()["faults"][0]


def test_files_that_are_not_what_they_were_are_told(explored: Callable[..., Explorer], tmp_path: Path) -> None:
    """An archive whose inventory would not be that of its plan is not made; nor one that lacks a file, in any form."""
    explorer = explored()
    assert explorer.solved(edits={"drain": ["h1"]})["state"] == "done"
    domain = tmp_path / "fleet/d/db.xml"
    domain.write_text(DOMAIN.replace("kvm", "qemu"))
    assert "have changed" in explorer.ask("/download/plan.zip").json()["faults"][0]
    domain.unlink()
    assert "cannot be read" in explorer.ask("/download/plan.zip").json()["faults"][0]
    exported = explorer.ask("/download/export.zip?to=libvirt")
    assert exported.status_code == 400 and "cannot be read" in exported.json()["faults"][0]
