"""What is exported for fleets of the shared folder is read back as planned, and lint has nothing new to say of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from placer.emit.domain.files import domain_files, source_xml
from placer.lint.lint import lint
from placer.model.cpu_topology import CpuTopology
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.planner import solve_fleet
from placer.read.domains.domain_xml import read_domain
from placer.read.inventory.inventory import read_fleet

FLEETS = (
    "planning/five.yaml", "planning/gpu.yaml", "planning/res.yaml", "planning/rw.yaml", "planning/zn.yaml",
    "reports/1-*/fleet3.yaml", "reports/11-*/fleet.yaml", "reports/12-*/*.yaml", "reports/21-*/*.yaml",
    "reports/3-*/*.yaml", "reports/5-*/frag/*.yaml", "reports/9-*/mixed-pages/*.yaml",
    "running/drain-immovable/fleet.yaml", "running/isolate-ht-broken/fleet.yaml", "running/no-memory-told/fleet.yaml",
)  # fmt: skip
"""Small ones with and without siblings, reserves, devices, cells without vCPUs and moves."""


@pytest.fixture(scope="module")
def plans(shared_dir: Path) -> list[tuple[Path, Fleet, Plan]]:
    """Return each fleet with its plan."""
    paths = [path for pattern in FLEETS for path in sorted((shared_dir / "cases").glob(pattern))]
    if not paths:
        pytest.skip("the shared folder has no cases here")
    return list(_solved(paths))


def _solved(paths: list[Path]) -> Iterator[tuple[Path, Fleet, Plan]]:
    for path in paths:
        document = yaml.safe_load(path.read_text())
        if isinstance(document, dict) and document.get("schema") == "placer.inventory/v1":
            fleet = read_fleet(path)
            yield path, fleet, solve_fleet(fleet, time_limit_s=20, workers=1)


def exported(path: Path, fleet: Fleet, plan: Plan, folder: Path) -> Fleet:
    """Return the fleet as an import of the exported XML finds it."""
    document = yaml.safe_load(path.read_text())
    for host in document["hosts"]:
        for key in ("topology", "distances_from", "links_from"):
            named = host.get(key)
            if named is not None:
                host[key] = (
                    [str(path.parent / one) for one in named] if isinstance(named, list) else str(path.parent / named)
                )
    vms = []
    hosts = {vm.uuid or vm.name.rpartition("/")[2]: vm for vm in plan.vms}
    for number, (where, xml) in enumerate(domain_files(plan, fleet).items()):
        (folder / f"{number}.xml").write_bytes(xml)
        reading = read_domain(xml, where)
        planned = hosts[reading.uuid if reading.uuid in hosts else reading.name]
        vms.append({"name": planned.name, "host": planned.host, "domain": str(folder / f"{number}.xml")})
    after = {"schema": document["schema"], "hosts": document["hosts"], "vms": vms}
    (folder / "after.yaml").write_text(yaml.safe_dump(after))
    return read_fleet(folder / "after.yaml")


def test_lint_says_no_more_of_an_export_than_of_its_fleet(
    plans: list[tuple[Path, Fleet, Plan]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a plan makes of pins, cells, topology and emulator threads raises no remark; what a person asked for may."""
    new = []
    for path, fleet, plan in plans:
        after = exported(path, fleet, plan, tmp_path_factory.mktemp("export"))
        asked = {vm.name for vm in fleet.vms if isinstance(vm.spec.cpu_topology, CpuTopology)}
        kept = {vm.name for vm in plan.vms if vm.change is Change.NONE}
        before = {(remark.rule, remark.subject) for remark in lint(fleet, source_xml)}
        for remark in lint(after, source_xml):
            name = remark.subject.removeprefix("VM ").strip("'")
            if (remark.rule, remark.subject) not in before and name not in asked and name not in kept:
                new.append(f"{path.parent.name}/{path.name}: {remark}")
    assert new == []


def test_plans_are_read_back(plans: list[tuple[Path, Fleet, Plan]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pins and the memory nodes of what is placed on nodes come back from the XML as they were planned."""
    for path, fleet, plan in plans:
        after = exported(path, fleet, plan, tmp_path_factory.mktemp("export"))
        for vm in plan.vms:
            now = after.vm_by_name[vm.name].current
            assert now is not None
            if not vm.bound and vm.change is not Change.NONE:
                assert dict(now.pins) == dict(vm.pins), (path, vm.name)
                nodes = tuple(node for cell in vm.cells for node in sorted(cell.nodes))
                assert (now.memory_nodes or now.nodes) == nodes, (path, vm.name)
