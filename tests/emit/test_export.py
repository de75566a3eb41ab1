"""The door: forms, folders and files, what is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from placer.emit.export import export_plan, formats
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm, VmSpec

Both = tuple[Plan, Fleet]
TEXTS = ("virsh", "qemu", "taskset", "csv")


@pytest.fixture
def both(place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]) -> Both:
    """Return a plan of one new VM and its fleet."""
    spec = VmSpec(vcpus=2, memory_kib=4096)
    vm = place(spec, (0,), name="vm", new_cells=True)
    return planned(vm, fleet_digest="d1"), fleet_of(Vm(name="vm", spec=spec), digest="d1")


def test_every_form_is_text_a_file_and_a_folder(both: Both, tmp_path: Path) -> None:
    """Each form gives the same document as text and as one file, and files in a folder."""
    assert {"libvirt", *TEXTS} <= set(formats())
    for form in TEXTS:
        text = export_plan(*both, form, None)
        assert isinstance(text, str)
        file = tmp_path / f"one.{form}"
        assert export_plan(*both, form, file) == [file]
        assert file.read_text() == text
        written = export_plan(*both, form, tmp_path / form)
        assert isinstance(written, list)
        assert {path.parent for path in written} == {tmp_path / form}


def test_an_existing_folder_is_one_whatever_its_name(both: Both, tmp_path: Path) -> None:
    """A folder whose name has an ending is still a folder."""
    folder = tmp_path / "out.d"
    folder.mkdir()
    assert export_plan(*both, "csv", folder) == [folder / "plan.csv"]


def test_domain_xml_goes_into_a_folder(both: Both, tmp_path: Path) -> None:
    """``OUT/<host>/<vm>.xml``, for its owner alone: domain XML may hold passwords."""
    written = export_plan(*both, "libvirt", tmp_path / "out.xml")
    assert written == [tmp_path / "out.xml" / "kvm-a" / "vm.xml"]
    assert stat.S_IMODE(os.stat(tmp_path / "out.xml" / "kvm-a" / "vm.xml").st_mode) == 0o600
    text = export_plan(*both, "libvirt", None)
    assert isinstance(text, str)
    assert text.startswith("<domain")


def test_several_domains_are_no_text(both: Both) -> None:
    """The XML of two VMs cannot be printed as one."""
    plan, fleet = both
    two = replace(plan, vms=(plan.vms[0], replace(plan.vms[0], name="other")))
    vms = (*fleet.vms, replace(fleet.vms[0], name="other"))
    with pytest.raises(InputError, match="no single file"):
        export_plan(two, replace(fleet, vms=vms), "libvirt", None)


def test_scripts_can_be_run(both: Both, tmp_path: Path) -> None:
    """Scripts are executable, tables are not."""
    for form, runs in (("virsh", True), ("taskset", True), ("csv", False), ("qemu", False)):
        export_plan(*both, form, tmp_path / f"one.{form}")
        assert os.access(tmp_path / f"one.{form}", os.X_OK) is runs


def test_nothing_is_overwritten_unasked(both: Both, tmp_path: Path) -> None:
    """A file that is there is refused, and replaced with force."""
    file = tmp_path / "plan.csv"
    file.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        export_plan(*both, "csv", file)
    assert file.read_text() == "mine"
    export_plan(*both, "csv", file, force=True)
    assert file.read_text() != "mine"


def test_refuses_an_unknown_form(both: Both) -> None:
    """The forms that there are stand in the message."""
    with pytest.raises(InputError, match="use one of libvirt, virsh"):
        export_plan(*both, "xen", None)


def test_refuses_a_plan_of_another_fleet(both: Both, tmp_path: Path) -> None:
    """Another digest, a VM or a host that the fleet lacks: nothing is written."""
    plan, fleet = both
    with pytest.raises(InputError, match="another fleet"):
        export_plan(plan, replace(fleet, digest="d2"), "csv", tmp_path / "a.csv")
    with pytest.raises(InputError, match="which the fleet lacks"):
        export_plan(replace(plan, vms=(replace(plan.vms[0], host="gone"),)), fleet, "csv", tmp_path / "a.csv")
    with pytest.raises(InputError, match="which the fleet lacks"):
        export_plan(replace(plan, vms=(replace(plan.vms[0], name="gone"),)), fleet, "csv", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_one_vm_fails(both: Both, tmp_path: Path) -> None:
    """One VM that cannot be emitted stops the whole export before the first file."""
    plan, fleet = both
    bad = replace(plan.vms[0], name="bad", pins={})
    vms = (*fleet.vms, replace(fleet.vms[0], name="bad"))
    with pytest.raises(InputError, match="'bad'"):
        export_plan(replace(plan, vms=(*plan.vms, bad)), replace(fleet, vms=vms), "libvirt", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
