"""A plan as a folder of domain XML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from placer.emit.domain.domain_xml import patch_domain
from placer.emit.domain.files import domain_files, source_xml
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Vm, VmSpec
from placer.read.text.xml import parse_xml

Place = Callable[..., PlanVm]
Imported = Callable[..., tuple[Vm, bytes]]
FleetOf = Callable[..., Fleet]
Planned = Callable[..., Plan]


def test_paths_by_host_and_arrivals_apart(place: Place, planned: Planned, fleet_of: FleetOf, host: Host) -> None:
    """``<host>/<vm>.xml``; ``<host>/incoming/`` for what migrates, but not from a failed host; no name escapes."""
    spec = VmSpec(vcpus=1, memory_kib=4096)
    stays = place(spec, (0,), name="stays", new_cells=True, from_host="kvm-a")
    comes = replace(stays, name="../comes", host="a/b", from_host="kvm-a", change=Change.MIGRATE)
    fresh = replace(stays, name="fresh", from_host=None)
    saved = replace(stays, name="saved", from_host="dead", change=Change.RESTART)
    vms = [Vm(name=vm.name, spec=spec) for vm in (stays, comes, fresh, saved)]
    fleet = fleet_of(*vms, hosts=(host, replace(host, name="a/b"), replace(host, name="dead", failed=True)))
    assert set(domain_files(planned(stays, comes, fresh, saved), fleet)) == {
        "kvm-a/stays.xml",
        "kvm-a/saved.xml",
        "a%2Fb/incoming/%2E.%2Fcomes.xml",
        "kvm-a/fresh.xml",
    }


def test_the_domains_own_xml_is_patched(imported: Imported, place: Place, planned: Planned, fleet_of: FleetOf) -> None:
    """The XML that the fleet names is what is patched."""
    vm, _ = imported("two_cells.xml")
    plan = place(vm.spec, (1, 0), name=vm.name, uuid=vm.uuid)
    (xml,) = domain_files(planned(plan), fleet_of(vm)).values()
    assert b"memory='500' unit='MiB'" in xml
    assert b"<memnode cellid='0' mode='strict' nodeset='1'/>" in xml


def test_xml_that_changed_is_refused(imported: Imported, fleet_of: FleetOf, tmp_path: Path) -> None:
    """A file other than the one the plan was made from is not patched, nor one that is gone."""
    vm, xml = imported("two_cells.xml")
    assert source_xml(vm, fleet_of(vm)) == xml
    (tmp_path / "two_cells.xml").write_bytes(xml + b"\n")
    with pytest.raises(InputError, match="has changed since"):
        source_xml(vm, fleet_of(vm))
    (tmp_path / "two_cells.xml").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        source_xml(vm, fleet_of(vm))
    assert source_xml(replace(vm, domain=None), fleet_of(vm)) is None


def test_all_vms_that_cannot_be_written_are_named(
    imported: Imported, place: Place, planned: Planned, fleet_of: FleetOf, tmp_path: Path
) -> None:
    """Faults of several VMs come at once."""
    vms = [imported(name)[0] for name in ("two_cells.xml", "five_sockets.xml")]
    plans = [place(vm.spec, (1, 0)[: len(vm.spec.cells)], name=vm.name, uuid=vm.uuid) for vm in vms]
    for name in ("two_cells.xml", "five_sockets.xml"):
        (tmp_path / name).write_text("changed")
    with pytest.raises(InputError) as caught:
        domain_files(planned(*plans), fleet_of(*vms))
    assert len(caught.value.faults) == 2


def test_a_plan_that_would_not_start_is_refused(
    imported: Imported, place: Place, planned: Planned, fleet_of: FleetOf
) -> None:
    """A page size that the guest's cells are no multiple of breaks a start-time rule."""
    vm, _ = imported("two_cells.xml")
    odd = replace(vm, spec=replace(vm.spec, page_kib=1 << 20))
    plan = place(odd.spec, (1, 0), name=vm.name, uuid=vm.uuid)
    with pytest.raises(InputError, match="no multiple of its page"):
        domain_files(planned(plan), fleet_of(odd))


def test_a_fault_that_the_domain_has_already_is_not_the_plans(
    imported: Imported, place: Place, planned: Planned, fleet_of: FleetOf
) -> None:
    """A domain that breaks a rule as it is can still be planned: the plan makes it no worse."""
    vm, _ = imported("two_cells.xml", lambda xml: xml.replace(b"value='10'", b"value='12'"))
    plan = place(vm.spec, (1, 0), name=vm.name, uuid=vm.uuid)
    assert len(domain_files(planned(plan), fleet_of(vm))) == 1


def test_vms_in_like_places_have_the_same_xml_but_for_who_they_are(
    place: Place, planned: Planned, fleet_of: FleetOf, host: Host
) -> None:
    """What is made once for a pattern is, byte for byte, what each VM's own XML is, whatever its name."""
    spec = VmSpec(vcpus=2, memory_kib=8192, iothreads=(1, 3))
    names = ["plain", "a & b", "<name>plain</name>", "größe", 'it\'s "q"', "]]>", "tab\tand\rreturn", " "]
    first = place(spec, (0,), name="plain", new_cells=True)
    plans = [replace(first, name=name) for name in names]
    plans += [
        replace(first, name="known", uuid="0a0b0c0d-0000-4000-8000-000000000001"),
        replace(first, name="elsewhere", pins={0: frozenset({2}), 1: frozenset({3})}),
    ]
    fleet = fleet_of(*(Vm(name=vm.name, spec=spec, uuid=vm.uuid) for vm in plans), hosts=(host,))
    made = list(domain_files(planned(*plans), fleet).values())
    assert made == [patch_domain(None, vm, spec, host) for vm in plans]
    assert len(set(made)) == len(plans)
    for vm, xml in zip(plans, made, strict=True):
        assert parse_xml(xml, "made").findtext("name") == vm.name


def test_a_name_that_no_xml_can_hold_is_refused_after_others_alike(
    place: Place, planned: Planned, fleet_of: FleetOf, host: Host
) -> None:
    """A control character is refused by the VM's name, though the pattern of its place is known already."""
    spec = VmSpec(vcpus=1, memory_kib=4096)
    plans = [place(spec, (0,), name=name, new_cells=True) for name in ("fine", "bad\x01")]
    fleet = fleet_of(*(Vm(name=vm.name, spec=spec) for vm in plans), hosts=(host,))
    with pytest.raises(InputError, match=r"bad\\x01"):
        domain_files(planned(*plans), fleet)
