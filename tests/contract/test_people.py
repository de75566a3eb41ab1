"""Guests as people write them, our own ones and those of the shared folder: what stays keeps every byte."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from placer.check.check import check
from placer.emit.domain.domain_xml import patch_domain
from placer.emit.domain.files import source_xml
from placer.emit.qemu import qemu_document
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import current_of
from placer.read.inventory.inventory import read_fleet
from tests.contract.test_domains import without_owned

OWN = Path(__file__).parents[1] / "domains" / "people"
STRANGE_CPUS = "64-575,2048,4096,16383"
"""What some of libvirt's own tests pin to."""


def host_named(name: str, more: str = "80-95") -> dict[str, object]:
    """Return a host with the CPUs, nodes and page sizes that the domains name: two of 16 cores, and two others."""
    sets = [f"{first}-{first + 15},{first + 32}-{first + 47}" for first in (0, 16)]
    pages = {"2MiB": 100000, "1GiB": 128, "64KiB": 100000, "16MiB": 1000}
    nodes = [
        {"id": node, "cpus": cpus, "memory": "1TiB", "pages": pages}
        for node, cpus in enumerate([*sets, "576-591", more])
    ]
    return {"name": name, "nodes": nodes, "siblings": [f"{cpu},{cpu + 32}" for cpu in range(32)]}


def fleet_of(paths: list[Path], folder: Path, more: str = "80-95", *, move: bool = False) -> Fleet:
    """Return a fleet of a host a domain, each with names of its own; with `move` they must go to a host beside it."""
    hosts, vms = [], []
    for number, path in enumerate(paths):
        named = re.sub(rb"<name>[^<]*</name>", b"<name>g%d</name>" % number, path.read_bytes(), count=1)
        identity = b"<uuid>%08d-0000-4000-8000-000000000000</uuid>" % number
        (folder / f"g{number}.xml").write_bytes(re.sub(rb"<uuid>[^<]*</uuid>", identity, named, count=1))
        hosts.append(host_named(f"h{number}", more))
        vms.append({"domain": f"g{number}.xml", "host": f"h{number}"})
        if move:
            vms[-1]["movable"] = "cold"
    document: dict[str, object] = {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms}
    if move:
        hosts.append(host_named("next"))
        document["rules"] = [{"drain": [f"h{number}" for number in range(len(paths))]}]
    (folder / "fleet.json").write_text(json.dumps(document))
    return read_fleet(folder / "fleet.json")


def exported(fleet: Fleet, plan: Plan, number: int) -> tuple[bytes, bytes]:
    """Return the XML of a domain as it was, and as the plan wants it."""
    vm = plan.vm_by_name[f"g{number}"]
    known, old = fleet.vm_by_name[vm.name], source_xml(fleet.vm_by_name[vm.name], fleet)
    assert old is not None
    return old, patch_domain(old, vm, known.spec, fleet.host_by_name[vm.host], known=known)


def assert_all_stay(paths: list[Path], folder: Path, more: str = "80-95") -> None:
    """Import, solve, export and import again: every domain is the same, and is where it was."""
    fleet = fleet_of(paths, folder, more)
    plan = solve_fleet(fleet, time_limit_s=600, workers=1, max_moves=0)
    assert not plan.unplaced and [str(fault) for fault in check(fleet, plan).faults] == []
    for number, path in enumerate(paths):
        old, new = exported(fleet, plan, number)
        assert new == old, path.name
        host = fleet.host_by_name[f"h{number}"]
        assert current_of(read_domain(new, path.name), host.name, host.topology).pins == {
            vcpu: cpus
            for vcpu, cpus in plan.vm_by_name[f"g{number}"].pins.items()
            if vcpu in read_domain(old, path.name).pins
        }, path.name


def test_our_own_stay_as_they_are(tmp_path: Path) -> None:
    """SAP's pairs, real time, GPUs, holes, memory devices, mixed modes, other machines: nothing of them changes."""
    assert_all_stay(sorted(OWN.glob("*.xml")), tmp_path)


def test_those_of_the_shared_folder_stay_as_they_are(shared_dir: Path, tmp_path: Path) -> None:
    """The domains of libvirt's own tests, and the guests of the cases."""
    paths = sorted((shared_dir / "topologies" / "libvirt-domains").glob("*.xml"))
    if not paths:
        pytest.skip("the shared folder has no domains here")
    guests = sorted((shared_dir / "cases" / "guests").glob("*/domains/*/*.xml"))
    assert_all_stay([*paths, *(path for path in guests if path.name != "bad.xml")], tmp_path, STRANGE_CPUS)


BOUND = frozenset({"gaming", "vf-virtiofs", "pxb", "cat"})
"""Those that have devices or caches of their host: their export for another one is refused."""


@pytest.mark.parametrize("name", sorted(path.stem for path in OWN.glob("*.xml") if path.stem not in BOUND))
def test_on_another_host_only_pins_and_policies_change(tmp_path: Path, name: str) -> None:
    """What changes host keeps all that is not placer's, reads back as planned, and has a QEMU line."""
    fleet = fleet_of([OWN / f"{name}.xml"], tmp_path, move=True)
    plan = solve_fleet(fleet, time_limit_s=600, workers=1, max_moves=1)
    (vm,) = plan.vms
    assert vm.host == "next" and [str(fault) for fault in check(fleet, plan).faults] == []
    old, new = exported(fleet, plan, 0)
    assert without_owned(new) == without_owned(old)
    was, back = read_domain(old, name), read_domain(new, name)
    assert (back.spec.cells, back.spec.page_kib) == (was.spec.cells, was.spec.page_kib)
    assert dict(back.pins) in ({}, dict(vm.pins))
    assert b"-name guest=g0" in qemu_document(plan, fleet)
