"""The main job on every bundled inventory: solve, check, export, validate, and read the plan back out of the XML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from placer.check.check import check
from placer.emit.domain.files import source_xml
from placer.emit.domain.start_rules import start_faults
from placer.emit.export import export_plan
from placer.lint.lint import lint
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import CellMode, CpuPolicy
from placer.planner import solve_fleet
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import locate
from placer.read.inventory.inventory import read_fleet

DATA = Path(__file__).parents[2] / "data"
INVENTORIES = sorted(path.name for path in DATA.glob("*.yaml"))
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


@pytest.fixture(scope="module", params=INVENTORIES)
def job(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Fleet, Plan, dict[str, Path]]:
    """Solve one inventory and export its domains; VM name -> file."""
    fleet = read_fleet(DATA / request.param)
    plan = solve_fleet(fleet, time_limit_s=600)
    written = export_plan(plan, fleet, "libvirt", tmp_path_factory.mktemp("out"))
    files = {read_domain(path.read_bytes(), str(path)).name: path for path in written}
    return fleet, plan, files


def test_there_are_at_least_six_inventories() -> None:
    """Six inventories are bundled, small to twelve hosts."""
    assert len(INVENTORIES) >= 6
    assert max(len(read_fleet(DATA / name).hosts) for name in INVENTORIES) == 12


def test_the_plan_is_proven_and_checked(job: tuple[Fleet, Plan, dict[str, Path]]) -> None:
    """Every goal of the default list is proven optimal, and the checker finds no fault."""
    fleet, plan, _ = job
    assert {goal.name: goal.status for goal in plan.goals} == {goal.name: "optimal" for goal in plan.goals}
    assert [str(fault) for fault in check(fleet, plan).faults] == []


def test_the_bounds_are_confirmed(job: tuple[Fleet, Plan, dict[str, Path]]) -> None:
    """A second solver proves the bounds of the plan again."""
    fleet, plan, _ = job
    report = check(fleet, plan, bound=True)
    assert [str(fault) for fault in report.faults] == []


def test_each_domain_has_its_file_and_would_start(job: tuple[Fleet, Plan, dict[str, Path]]) -> None:
    """A file for every placed VM, none of which breaks a start-time rule on its host."""
    fleet, plan, files = job
    assert set(files) == {vm.name for vm in plan.vms}
    for vm in plan.vms:
        path = files[vm.name]
        assert path.parent.name == vm.host
        assert [
            str(fault)
            for fault in start_faults(path.read_bytes(), path.name, host=fleet.host_by_name[vm.host].topology)
        ] == []


def test_the_plan_reads_back(job: tuple[Fleet, Plan, dict[str, Path]]) -> None:
    """Pins, cells, memory nodes and emulator threads read from the emitted XML are the plan's."""
    fleet, plan, files = job
    for vm in plan.vms:
        reading = read_domain(files[vm.name].read_bytes(), vm.name)
        spec = fleet.vm_by_name[vm.name].spec
        assert {vcpu: reading.pins.get(vcpu) for vcpu in vm.pins} == dict(vm.pins), vm.name
        assert reading.emulator == vm.emulator, vm.name
        assert dict(reading.iothread_pins) == dict(vm.iothreads), vm.name
        assert (reading.spec.vcpus, reading.spec.memory_kib) == (spec.vcpus, spec.memory_kib), vm.name
        located = locate(reading, fleet.host_by_name[vm.host].topology)
        assert located.memory_nodes == memory_nodes(vm), vm.name
        if spec.cpu_policy is not CpuPolicy.SHARED:
            assert located.nodes == cpu_nodes(fleet, vm), vm.name


def memory_nodes(vm: PlanVm) -> tuple[int, ...]:
    """Return the memory node of each cell, or of each part of an interleaved flat guest."""
    return tuple(node for cell in vm.cells for node in sorted(cell.nodes))


def cpu_nodes(fleet: Fleet, vm: PlanVm) -> tuple[int, ...]:
    """Return the node of each part's vCPUs."""
    node_of = fleet.host_by_name[vm.host].topology.node_of_cpu
    spec = fleet.vm_by_name[vm.name].spec
    if spec.interleave > 1:
        return tuple(sorted({node_of[min(pin)] for pin in vm.pins.values()}))
    return tuple(node_of[min(vm.pins[min(cell.vcpus)])] for cell in vm.cells)


@pytest.mark.libvirt
def test_libvirt_takes_every_domain(job: tuple[Fleet, Plan, dict[str, Path]]) -> None:
    """Each domain validates against libvirt's schema and is defined by its test driver with validation on."""
    import libvirt
    from lxml import etree

    if not SCHEMA.exists():
        pytest.skip("libvirt's schemas are not installed here")
    schema = etree.RelaxNG(etree.parse(str(SCHEMA)))
    connection = libvirt.open("test:///default")
    for path in job[2].values():
        tree = etree.fromstring(path.read_bytes())
        assert schema.validate(tree), f"{path}: {schema.error_log.last_error}"
        # The test driver knows only its own domain type.
        domain = connection.defineXMLFlags(
            path.read_text().replace("type='kvm'", "type='test'").replace('type="kvm"', 'type="test"'),
            libvirt.VIR_DOMAIN_DEFINE_VALIDATE,
        )
        domain.undefine()
    connection.close()


MADE_BY_OTHERS = {"memory-far-from-pins": {"legacy"}}
"""What lint says of VMs whose place is their fleet's own choice: legacy runs far from its memory and cannot move."""


def test_lint_says_nothing_of_what_placer_makes(
    job: tuple[Fleet, Plan, dict[str, Path]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Read from the XML that is emitted, no VM is remarked upon but for cells that its inventory asks for."""
    fleet, plan, files = job
    document = yaml.safe_load((DATA / request.node.callspec.params["job"]).read_text())
    for host in document["hosts"]:
        for key in ("topology", "distances_from"):
            if key in host:
                host[key] = str(DATA / host[key])
    document = {
        "schema": document["schema"],
        "hosts": document["hosts"],
        "vms": [{"name": vm.name, "host": vm.host, "domain": str(files[vm.name])} for vm in plan.vms],
    }
    (tmp_path / "after.yaml").write_text(yaml.safe_dump(document))
    after = read_fleet(tmp_path / "after.yaml")
    asked = {vm.name for vm in fleet.vms if vm.spec.cell_mode is CellMode.GIVEN}
    said = [
        str(remark)
        for remark in lint(after, source_xml)
        for name in [remark.subject.removeprefix("VM ").strip("'")]
        if not (remark.rule == "more-cells-than-needed" and name in asked)
        and name not in MADE_BY_OTHERS.get(remark.rule, ())
    ]
    assert said == []
