"""Real domains on hosts where nothing is over: by default each is left as it is, and exported byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from placer.check.check import check
from placer.emit.domain.files import domain_files
from placer.model.plan import Change
from placer.planner import solve_fleet
from placer.read.imports.libvirt import import_libvirt

THREADS = 40
"""CPUs of a node, two to a core."""


def name_of(file: Path) -> str:
    """Return the name of the domain in a file."""
    return file.read_text().partition("<name>")[2].partition("</name>")[0]


def capabilities(nodes: int) -> str:
    """Return the capabilities of a host of so many nodes of 40 threads and 192 GiB."""
    cells = []
    for node in range(nodes):
        first, half = node * THREADS // 2, nodes * THREADS // 2
        cpus = "".join(
            f"<cpu id='{cpu}' socket_id='{node}' die_id='0' core_id='{core}' siblings='{core},{half + core}'/>"
            for core in range(first, first + THREADS // 2)
            for cpu in (core, half + core)
        )
        far = "".join(f"<sibling id='{other}' value='{10 if other == node else 21}'/>" for other in range(nodes))
        cells.append(
            f"<cell id='{node}'><memory unit='GiB'>192</memory><distances>{far}</distances>"
            f"<cpus num='{THREADS}'>{cpus}</cpus></cell>"
        )
    return (
        "<capabilities><host><uuid>6d0b4f0a-5f3e-4c8c-9a51-0e2f6f0a1c01</uuid><cpu><arch>x86_64</arch></cpu>"
        f"<topology><cells num='{nodes}'>{''.join(cells)}</cells></topology></host></capabilities>"
    )


@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
@pytest.mark.parametrize("together", [1, 10])
def test_domains_are_left_as_they_are(shared_dir: Path, tmp_path: Path, nodes: int, together: int) -> None:
    """Each real domain, alone and ten at a time: none is changed, nothing is over, and its XML is what it was."""
    files = sorted((shared_dir / "topologies" / "libvirt-domains").glob("*.xml"))
    # One is pinned to CPU 16383, which no host has: it is left alone too, and not exported.
    files = [file for file in files if "16383" not in file.read_text()]
    assert len(files) >= 100
    (tmp_path / "caps").mkdir()
    (tmp_path / "caps" / "h.xml").write_text(capabilities(nodes))
    folder = tmp_path / "domains" / "h"
    for first in range(0, len(files), together):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # Domains of one host have different names.
        for file in {name_of(file): file for file in files[first : first + together]}.values():
            shutil.copy(file, folder)
        fleet = import_libvirt(capabilities=tmp_path / "caps", domains=tmp_path / "domains", folder=tmp_path).fleet
        plan = solve_fleet(fleet, time_limit_s=10)
        assert len(plan.vms) == len(fleet.vms) and not plan.unplaced, files[first].name
        assert {vm.change for vm in plan.vms} == {Change.NONE} and plan.goal("excess").value == 0, files[first].name
        assert check(fleet, plan).ok, files[first].name
        left = {vm.domain.path: (tmp_path / vm.domain.path).read_bytes() for vm in fleet.vms if vm.domain is not None}
        assert sorted(domain_files(plan, fleet).values()) == sorted(left.values()), files[first].name
