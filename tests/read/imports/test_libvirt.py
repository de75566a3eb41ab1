"""Importing libvirt hosts: folders of capabilities and domain XML become an inventory that reads back the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.read.imports.gathered import Imported
from placer.read.imports.libvirt import import_libvirt
from placer.read.imports.update import update
from placer.read.inventory.inventory import parse_fleet

UUID = "5f1ca0de-0000-4000-8000-0000000000{:02d}"


def domain(name: str, uuid: str, *, live: int | None = None, pins: str = "", vcpus: int = 2) -> str:
    """Return a small domain; `live` is the id that a running one has."""
    ident = f" id='{live}'" if live is not None else ""
    tune = f"<cputune>{pins}</cputune>" if pins else ""
    return (
        f"<domain type='kvm'{ident}><name>{name}</name><uuid>{uuid}</uuid><memory unit='GiB'>1</memory>"
        f"<vcpu>{vcpus}</vcpu>{tune}<os><type arch='x86_64'>hvm</type></os></domain>"
    )


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """Return a folder with the capabilities of two hosts and empty folders of domains."""
    (tmp_path / "caps").mkdir()
    shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", tmp_path / "caps/amd.example.org.xml")
    shutil.copy(repository / "data/hosts/memory-only-node.capabilities.xml", tmp_path / "caps/intel.xml")
    for host in ("amd.example.org", "intel"):
        (tmp_path / "domains" / host).mkdir(parents=True)
    return tmp_path


def take(folder: Path) -> Imported:
    """Import the folder, and make sure that the text says what the fleet holds."""
    imported = import_libvirt(capabilities=folder / "caps", domains=folder / "domains", folder=folder)
    read = parse_fleet(imported.text().encode(), "fleet.yaml", folder)
    assert (read.hosts, read.vms) == (imported.fleet.hosts, imported.fleet.vms)
    return imported


def test_hosts_are_named_after_their_files_and_refer_to_them(folder: Path) -> None:
    """``<host>.xml`` names the host, dots and all; the inventory refers to the file by a relative path."""
    imported = take(folder)
    assert [host.name for host in imported.fleet.hosts] == ["amd.example.org", "intel"]
    assert "    topology: caps/intel.xml\n" in imported.text()
    assert imported.fleet.hosts[0].uuid == "6d0b4f0a-5f3e-4c8c-9a51-0e2f6f0a1c01"
    assert [host.migration_domain for host in imported.fleet.hosts] == ["EPYC-Rome", "SapphireRapids"]
    assert any("different CPU models" in said for said in imported.fleet.warnings)


def test_domains_are_on_the_host_of_their_folder(folder: Path) -> None:
    """Pins and memory policies of a domain say on which node it is now; the XML is referred to, never copied."""
    pins = "<vcpupin vcpu='0' cpuset='64'/><vcpupin vcpu='1' cpuset='1'/>"
    xml = domain("web", UUID.format(1), pins=pins).replace(
        "</cputune>", "</cputune><numatune><memory nodeset='1'/></numatune>"
    )
    (folder / "domains/amd.example.org/web.xml").write_text(xml)
    imported = take(folder)
    vm = imported.fleet.vm_by_name["web"]
    assert vm.current is not None and vm.domain is not None
    assert (vm.current.host, vm.current.nodes, vm.current.memory_nodes) == ("amd.example.org", (0,), (1,))
    assert (vm.uuid, vm.domain.path) == (UUID.format(1), "domains/amd.example.org/web.xml")
    assert "  - name: web\n    domain: domains/amd.example.org/web.xml\n    host: amd.example.org\n" in imported.text()
    assert not imported.files


def test_equal_names_on_two_hosts_become_host_and_name(folder: Path) -> None:
    """Names are unique on a host only; the UUID is identity."""
    (folder / "domains/amd.example.org/web.xml").write_text(domain("web", UUID.format(1)))
    (folder / "domains/intel/web.xml").write_text(domain("web", UUID.format(2)))
    assert [vm.name for vm in take(folder).fleet.vms] == ["amd.example.org/web", "intel/web"]


def test_a_leftover_definition_is_told_and_left_out(folder: Path) -> None:
    """One UUID on two hosts is one VM: the one that runs."""
    (folder / "domains/amd.example.org/web.xml").write_text(domain("web", UUID.format(1)))
    (folder / "domains/intel/web.xml").write_text(domain("web", UUID.format(1), live=7))
    imported = take(folder)
    assert [(vm.name, vm.current and vm.current.host) for vm in imported.fleet.vms] == [("web", "intel")]
    assert any("its definition on amd.example.org is a leftover" in said for said in imported.fleet.warnings)


def test_one_uuid_that_runs_twice_is_refused(folder: Path) -> None:
    """Two running domains of one UUID cannot be one VM, and nobody can tell which is meant."""
    (folder / "domains/amd.example.org/web.xml").write_text(domain("web", UUID.format(1), live=1))
    (folder / "domains/intel/web.xml").write_text(domain("web", UUID.format(1), live=2))
    with pytest.raises(InputError, match=r"runs on amd\.example\.org and intel"):
        take(folder)


def test_live_and_saved_xml_of_one_domain_are_one_vm(folder: Path) -> None:
    """The saved definition is what the inventory refers to; where the VM is now the live one tells."""
    here = folder / "domains/intel"
    (here / "web.live.xml").write_text(domain("web", UUID.format(1), live=3, pins="<vcpupin vcpu='0' cpuset='16'/>"))
    (here / "web.xml").write_text(domain("web", UUID.format(1), pins="<vcpupin vcpu='0' cpuset='0'/>"))
    (here / "off.xml").write_text(domain("off", UUID.format(2)))
    imported = take(folder)
    assert [(vm.name, vm.running) for vm in imported.fleet.vms] == [("off", False), ("web", True)]
    web = imported.fleet.vm_by_name["web"]
    assert web.domain is not None and web.domain.path == "domains/intel/web.xml"
    assert web.current is not None and web.current.pins == {0: {16}}


def test_saved_definitions_alone_do_not_tell_what_runs(folder: Path) -> None:
    """Where no XML of a folder has an id, all of its domains count as running: they reserve capacity either way."""
    (folder / "domains/intel/off.xml").write_text(domain("off", UUID.format(2)))
    assert [vm.running for vm in take(folder).fleet.vms] == [True]


def test_pins_to_cpus_that_the_host_lacks_are_left_out(folder: Path) -> None:
    """The kernel takes no more of a pin than the host has; the import says so and the inventory is sound."""
    pins = "<vcpupin vcpu='0' cpuset='0-3,900'/><vcpupin vcpu='1' cpuset='901'/>"
    (folder / "domains/intel/web.xml").write_text(domain("web", UUID.format(1), pins=pins))
    imported = take(folder)
    assert '    pins: {0: "0-3"}\n' in imported.text()
    assert any("pinned to CPUs 900-901" in said for said in imported.fleet.warnings)


def test_one_overcommit_for_the_fleet(folder: Path) -> None:
    """What runs unpinned is shared on a calm host as on a full one, and the fullest host gives the figure for all."""
    here = folder / "domains/intel"
    (here / "pinned.xml").write_text(domain("pinned", UUID.format(1), vcpus=1, pins="<vcpupin vcpu='0' cpuset='3'/>"))
    (here / "big.xml").write_text(domain("big", UUID.format(2), vcpus=60))
    (here / "small.xml").write_text(domain("small", UUID.format(3), vcpus=40))
    (folder / "domains/amd.example.org/other.xml").write_text(domain("other", UUID.format(4)))
    fleet = take(folder).fleet
    policies = {vm.name: vm.spec.cpu_policy.value for vm in fleet.vms}
    assert policies == {"pinned": "dedicated", "big": "shared", "small": "shared", "other": "shared"}
    ratio = -(-100 // (len(fleet.host_by_name["intel"].usable_cpus) - 1))
    assert {host.cpu_ratio for host in fleet.hosts} == {ratio}
    assert any(f"overcommit {ratio} is taken for all hosts" in said for said in fleet.warnings)
    assert any("3 pinned nowhere, 1 with CPUs on one node" in said for said in fleet.warnings)


def test_pins_of_some_vcpus_are_not_none(folder: Path) -> None:
    """A domain of which one vCPU alone is pinned is bound to nothing, and is not counted among those without pins."""
    body = domain("half", UUID.format(1), vcpus=2, pins="<vcpupin vcpu='0' cpuset='3'/>")
    (folder / "domains/intel/half.xml").write_text(body)
    said = [text for text in take(folder).fleet.warnings if "on hosts" in text]
    assert len(said) == 1 and "1 with pins of some vCPUs alone" in said[0] and "nowhere" not in said[0]


def test_vcpus_that_are_not_there_are_no_overcommit(folder: Path) -> None:
    """A maximum of sixteen times what is online, as oVirt writes it, fills no host."""
    body = domain("web", UUID.format(1), vcpus=2).replace("<vcpu>2<", "<vcpu current='2'>400<")
    (folder / "domains/intel/web.xml").write_text(body)
    assert {host.cpu_ratio for host in take(folder).fleet.hosts} == {1}


def test_flat_domains_belong_to_the_only_host(folder: Path) -> None:
    """With one host there is no doubt where they are."""
    (folder / "caps/intel.xml").unlink()
    (folder / "domains/web.xml").write_text(domain("web", UUID.format(1)))
    vm = take(folder).fleet.vm_by_name["web"]
    assert vm.current is not None and vm.current.host == "amd.example.org"


def test_flat_domains_of_several_hosts_are_not_placed(folder: Path) -> None:
    """Nobody knows where they are: they are new VMs, and that is said."""
    (folder / "domains/web.xml").write_text(domain("web", UUID.format(1)))
    (folder / "domains/other").mkdir()
    (folder / "domains/other/db.xml").write_text(domain("db", UUID.format(2)))
    imported = take(folder)
    assert [(vm.name, vm.current) for vm in imported.fleet.vms] == [("db", None), ("web", None)]
    assert any("there is no host 'other'" in said for said in imported.fleet.warnings)
    assert any("of 1 domain nobody knows the host" in said for said in imported.fleet.warnings)


def test_what_cannot_be_read_is_named_and_the_rest_is_taken(folder: Path) -> None:
    """A damaged host, a damaged domain and a DOCTYPE are three failures; the sound domain beside them is imported."""
    (folder / "caps/bad.xml").write_text("<capabilities/>")
    (folder / "domains/intel/a.xml").write_text("<domain><name>a</name>")
    (folder / "domains/intel/b.xml").write_text("<!DOCTYPE domain><domain/>")
    (folder / "domains/intel/good.xml").write_text(domain("good", UUID.format(1)))
    imported = take(folder)
    assert {Path(fault.file or "").name for fault in imported.failures} == {"bad.xml", "a.xml", "b.xml"}
    assert [vm.name for vm in imported.fleet.vms] == ["good"]
    assert [host.name for host in imported.fleet.hosts] == ["amd.example.org", "intel"]


def test_hosts_of_which_none_can_be_read_are_refused(tmp_path: Path) -> None:
    """Without a single host there is no inventory: every fault is told."""
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_text("<capabilities/>")
    with pytest.raises(InputError) as caught:
        import_libvirt(capabilities=tmp_path, folder=tmp_path)
    assert {Path(fault.file or "").name for fault in caught.value.faults} == {"a.xml", "b.xml"}


def test_a_folder_without_hosts_is_refused(tmp_path: Path) -> None:
    """An empty folder, and none at all, are named."""
    with pytest.raises(InputError, match="there is no host in it"):
        import_libvirt(capabilities=tmp_path, folder=tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        import_libvirt(capabilities=tmp_path / "none", folder=tmp_path)


def test_update_keeps_what_a_person_wrote(folder: Path) -> None:
    """Labels, reserves, rules and the person's own keys stay; topology and places are those gathered anew."""
    (folder / "domains/amd.example.org/web.xml").write_text(domain("web", UUID.format(1)))
    (folder / "domains/amd.example.org/gone.xml").write_text(domain("gone", UUID.format(3)))
    text = take(folder).text()
    text = text.replace(
        "    topology: caps/intel.xml\n", "    topology: caps/intel.xml\n    labels: {rack: r7}\n    cost: 3\n"
    )
    text = text.replace(
        "    migration_domain: EPYC-Rome\n", '    reserve: {cpus: "0,64", memory: 4GiB}\n    migration_domain: rome\n'
    )
    text = text.replace(
        "web.xml\n    host", "web.xml\n    weight: 2.5\n    labels: {app: web}\n    cpu_policy: shared\n    host"
    )
    text += "  - {name: new, vcpus: 4, memory: 8GiB}  # soon\n"
    text += "rules:\n  - {anti_affinity: {app: web}, scope: host}\n  - {affinity: gone}\n"
    (folder / "fleet.yaml").write_text(text)
    shutil.move(folder / "domains/amd.example.org/web.xml", folder / "domains/intel/web.xml")
    (folder / "domains/amd.example.org/gone.xml").unlink()
    (folder / "domains/intel/late.xml").write_text(domain("late", UUID.format(4), vcpus=6))
    # The old inventory has to be readable: its XML is still where it was.
    (folder / "domains/amd.example.org/web.xml").write_text(domain("web", UUID.format(1)))
    (folder / "domains/amd.example.org/gone.xml").write_text(domain("gone", UUID.format(3)))
    again = import_libvirt(capabilities=folder / "caps", domains=folder / "domains", folder=folder)
    moved = [vm for vm in again.fleet.vms if vm.name != "gone"]
    web = next(vm for vm in moved if vm.name == "web")
    assert web.current is not None and web.current.host == "amd.example.org"
    merged = update(folder / "fleet.yaml", again)
    assert "  - name: new  # soon\n" in merged.text()
    fleet = parse_fleet(merged.text().encode(), "fleet.yaml", folder)
    assert fleet.host_by_name["intel"].labels == {"rack": "r7"} and fleet.host_by_name["intel"].cost == 3
    amd = fleet.host_by_name["amd.example.org"]
    assert (amd.reserve.cpus, amd.migration_domain) == ({0, 64}, "rome")
    kept = fleet.vm_by_name["web"]
    assert (kept.spec.weight, kept.spec.labels, kept.spec.cpu_policy.value) == (2.5, {"app": "web"}, "shared")
    assert [vm.name for vm in fleet.vms] == ["gone", "web", "new", "late"]
    assert [rule.label for rule in fleet.rules] == ["anti_affinity app=web", "affinity name=gone"]


def test_update_leaves_out_what_is_gone_and_says_so(folder: Path) -> None:
    """A VM that the gathered hosts no longer have is left out with its rule; hosts not gathered stay as they are."""
    (folder / "domains/intel/web.xml").write_text(domain("web", UUID.format(1)))
    (folder / "domains/amd.example.org/db.xml").write_text(domain("db", UUID.format(2)))
    text = take(folder).text() + "rules:\n  - {affinity: web}\n  - {affinity: db}\n"
    (folder / "fleet.yaml").write_text(text)
    (folder / "empty").mkdir()
    only = import_libvirt(capabilities=folder / "caps/intel.xml", domains=folder / "empty", folder=folder)
    merged = update(folder / "fleet.yaml", only)
    assert [host.name for host in merged.fleet.hosts] == ["amd.example.org", "intel"]
    assert [vm.name for vm in merged.fleet.vms] == ["db"]
    assert any("VM web is no longer on host intel" in said for said in merged.fleet.warnings)
    assert [rule.label for rule in merged.fleet.rules] == ["affinity name=db"]


def test_update_follows_a_vm_that_moved_and_a_host_that_was_renamed(folder: Path) -> None:
    """The UUID tells a VM wherever it is, and a host under whatever file name; the person's name of the host stays."""
    (folder / "domains/intel/web.xml").write_text(domain("web", UUID.format(1)))
    (folder / "fleet.yaml").write_text(
        take(folder).text().replace("name: intel", "name: big").replace("host: intel", "host: big")
    )
    (folder / "later").mkdir()
    (folder / "later/web.xml").write_text(domain("www", UUID.format(1), live=4, pins="<vcpupin vcpu='0' cpuset='17'/>"))
    again = import_libvirt(capabilities=folder / "caps/intel.xml", domains=folder / "later", folder=folder)
    merged = update(folder / "fleet.yaml", again)
    vm = merged.fleet.vm_by_name["web"]
    assert [host.name for host in merged.fleet.hosts] == ["amd.example.org", "big"]
    assert vm.current is not None and (vm.current.host, vm.current.pins) == ("big", {0: {17}})
