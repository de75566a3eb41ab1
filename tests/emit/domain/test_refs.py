"""What a domain says of its host goes along or stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from placer.emit.domain.domain_xml import patch_domain
from placer.errors import InputError
from placer.model.host import Host
from placer.model.plan import Change, PlanVm
from placer.model.vm import Vm

Place = Callable[..., PlanVm]
Imported = Callable[..., tuple[Vm, bytes]]

CACHES = b"""<cputune><vcpupin vcpu='0' cpuset='1'/><cachetune vcpus='0'><cache id='1' level='3' type='both' size='3'/>
</cachetune></cputune>"""
HOSTDEV = b"<devices><hostdev mode='subsystem' type='pci' managed='yes'/></devices>"
TEAM = b"<devices><interface type='hostdev'><teaming type='transient' persistent='x'/></interface></devices>"


def with_part(part: bytes) -> Callable[[bytes], bytes]:
    """Return a change that puts a part into the domain's XML, in place of its devices."""

    def change(xml: bytes) -> bytes:
        begin, end = xml.index(b"  <devices>"), xml.index(b"</devices>") + len(b"</devices>")
        return xml[:begin] + part + xml[end:]

    return change


@pytest.mark.parametrize(("cpu", "allowed"), [(3, True), (2, False)])
def test_cache_ids_hold_while_the_vcpus_stay_on_their_cache(
    imported: Imported, place: Place, host: Host, cpu: int, allowed: bool
) -> None:
    """A cachetune stays true inside one L3 domain and is refused by name and line beyond it."""
    vm, xml = imported("five_sockets.xml", with_part(CACHES))
    pins = {0: frozenset({cpu})} | {vcpu: frozenset({vcpu * 2 + 5}) for vcpu in range(1, 5)}
    plan = place(vm.spec, (1,), name=vm.name, uuid=vm.uuid, pins=pins)
    if allowed:
        assert b"<cachetune vcpus='0'>" in patch_domain(xml, plan, vm.spec, host)
        return
    with pytest.raises(InputError, match=r"<cachetune> names a cache") as caught:
        patch_domain(xml, plan, vm.spec, host, source="five.xml")
    assert caught.value.faults[0].line == 15


def test_cache_ids_do_not_travel(imported: Imported, place: Place, host: Host) -> None:
    """On another host the ids mean another cache, even at the same CPUs."""
    vm, xml = imported("five_sockets.xml", with_part(CACHES))
    pins = {vcpu: frozenset({vcpu * 2 + 1}) for vcpu in range(5)}
    plan = place(vm.spec, (1,), name=vm.name, uuid=vm.uuid, pins=pins, from_host="kvm-b", change=Change.MIGRATE)
    with pytest.raises(InputError, match="cachetune"):
        patch_domain(xml, plan, vm.spec, host)


def test_cache_ids_of_an_unpinned_vcpu_cannot_be_kept(imported: Imported, place: Place, host: Host) -> None:
    """Where the old pins do not tell which cache was meant, the plan is refused; a host with one cache has no doubt."""
    vm, xml = imported("five_sockets.xml", with_part(CACHES.replace(b"<vcpupin vcpu='0' cpuset='1'/>", b"")))
    plan = place(vm.spec, (1,), name=vm.name, uuid=vm.uuid)
    with pytest.raises(InputError, match="cachetune"):
        patch_domain(xml, plan, vm.spec, host)
    one_cache = replace(host, topology=replace(host.topology, l3=(host.topology.cpus,)))
    assert b"<cachetune" in patch_domain(xml, plan, vm.spec, one_cache)


@pytest.mark.parametrize(("from_host", "allowed"), [(None, True), ("kvm-a", True), ("kvm-b", False)])
def test_host_devices_stay_behind(
    imported: Imported, place: Place, host: Host, from_host: str | None, allowed: bool
) -> None:
    """A VM with a host device may change node but not host."""
    vm, xml = imported("five_sockets.xml", with_part(HOSTDEV))
    plan = place(vm.spec, (1,), name=vm.name, uuid=vm.uuid, from_host=from_host)
    if allowed:
        assert b"<hostdev" in patch_domain(xml, plan, vm.spec, host)
        return
    with pytest.raises(InputError, match="goes from 'kvm-b' to 'kvm-a', but has a hostdev"):
        patch_domain(xml, plan, vm.spec, host)


def test_an_unplugged_team_member_may_travel(imported: Imported, place: Place, host: Host) -> None:
    """A hostdev interface with a stand-in is unplugged by libvirt and does not stand in the way."""
    vm, xml = imported("five_sockets.xml", with_part(TEAM))
    plan = place(vm.spec, (1,), name=vm.name, uuid=vm.uuid, from_host="kvm-b")
    assert b"<teaming" in patch_domain(xml, plan, vm.spec, host)


def test_all_references_are_named_at_once(imported: Imported, place: Place, host: Host) -> None:
    """A move that breaks several references says so of each."""
    vm, xml = imported("everything.xml")
    plan = place(vm.spec, (0, 1), name=vm.name, uuid=vm.uuid, from_host="kvm-b")
    with pytest.raises(InputError) as caught:
        patch_domain(xml, plan, vm.spec, host)
    assert len(caught.value.faults) == 3
