"""The collect script and the tar it makes: from a host without placer to an inventory."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.host import Device
from placer.read.hosts.nodedev import parse_nodedev
from placer.read.imports.bundle import read_bundle
from placer.read.imports.collect import collect_script
from placer.read.imports.gathered import GatheredHost
from placer.read.imports.libvirt import import_libvirt
from placer.read.inventory.inventory import parse_fleet
from placer.read.inventory.write import inventory_text

RUNNING, STOPPED, TRANSIENT = (f"5f1ca0de-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))

CAPABILITIES = """<capabilities><host><uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid>
<cpu><arch>x86_64</arch><model>EPYC</model></cpu><topology><cells num='2'>
<cell id='0'><memory unit='KiB'>8388608</memory>
<distances><sibling id='0' value='10'/><sibling id='1' value='21'/></distances>
<cpus num='2'><cpu id='0' socket_id='0' core_id='0' siblings='0'/>
<cpu id='1' socket_id='0' core_id='1' siblings='1'/></cpus></cell>
<cell id='1'><memory unit='KiB'>8388608</memory>
<distances><sibling id='0' value='21'/><sibling id='1' value='10'/></distances>
<cpus num='2'><cpu id='2' socket_id='1' core_id='0' siblings='2'/>
<cpu id='3' socket_id='1' core_id='1' siblings='3'/></cpus></cell>
</cells></topology></host>
<guest><os_type>hvm</os_type><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>
"""

NIC = """<device><name>pci_0000_3b_00_0</name><path>/sys/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0</path>
<capability type='pci'><class>0x020000</class><domain>0</domain><bus>59</bus><slot>0</slot><function>0</function>
<product id='0x1015'>MT27710</product><vendor id='0x15b3'>Mellanox</vendor>
<capability type='virt_functions' maxCount='8'/><numa node='1'/></capability></device>
"""


def domain(name: str, uuid: str, *, running: bool, cpu: int) -> str:
    """Return a small domain pinned to one CPU."""
    return (
        f"<domain type='kvm'{' id=' + repr('4') if running else ''}><name>{name}</name><uuid>{uuid}</uuid>"
        f"<memory unit='GiB'>1</memory><vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='{cpu}'/></cputune>"
        "<os><type arch='x86_64'>hvm</type></os></domain>"
    )


def bundle(members: dict[str, str | bytes], host: str = "kvm1") -> bytes:
    """Return a tar as the script makes it."""
    held = {"format": "placer.collect/v1\n", "hostname": f"{host}\n", **members}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in held.items():
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(f"placer-{host}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


WHOLE: dict[str, str | bytes] = {
    "capabilities.xml": CAPABILITIES,
    "domains/states": f"{RUNNING} running\n{STOPPED} shut off\n{TRANSIENT} paused\n",
    f"domains/{RUNNING}.live.xml": domain("web", RUNNING, running=True, cpu=2),
    f"domains/{RUNNING}.saved.xml": domain("web", RUNNING, running=False, cpu=0),
    f"domains/{STOPPED}.saved.xml": domain("db", STOPPED, running=False, cpu=1),
    f"domains/{TRANSIENT}.live.xml": domain("tmp", TRANSIENT, running=True, cpu=3),
    "nodedevs/1.xml": NIC,
    "nodedevs/2.xml": NIC.replace("virt_functions' maxCount='8'", "phys_function'").replace("<bus>59", "<bus>60"),
}


def test_a_bundle_without_sys_is_read_from_the_capabilities() -> None:
    """Host, devices near their nodes, and every domain: running, stopped and transient."""
    host = read_bundle(bundle(WHOLE), "kvm1.tar", folder="domains")
    assert (host.name, host.uuid, host.topology.kvm) == ("kvm1", "aaaaaaaa-0000-4000-8000-000000000001", True)
    assert host.topology.devices == (Device(address="0000:3b:00.0", kind="nic", node=1, count=8),)
    assert [(one.path.split("/")[-1][35], one.running, one.live is not None) for one in host.domains] == [
        ("1", True, True),
        ("2", False, False),
        ("3", True, True),
    ]
    assert any("holds no /sys" in said for said in host.warnings)


CARD = """<device><name>pci_0000_3b_00_0</name><capability type='pci'><class>0x030200</class><domain>0</domain>
<bus>59</bus><slot>0</slot><function>0</function><product id='0x1eb8'/><vendor id='0x10de'/>
<capability type='mdev_types'>{types}</capability><numa node='1'/></capability></device>
"""
TYPE = "<type id='{}'><deviceAPI>vfio-pci</deviceAPI><availableInstances>{}</availableInstances></type>"
SLICE = "7e26dd2f-0000-4000-8000-00000000000{}"
MDEV = """<device><name>mdev_x</name><parent>pci_0000_3b_00_0</parent><capability type='mdev'>
<type id='{}'/><uuid>{}</uuid><iommuGroup number='12'/></capability></device>
"""


def cut(*types: tuple[str, int], there: tuple[tuple[str, str], ...] = ()) -> GatheredHost:
    """Return a host with a card of these types and this many more of each, and the slices that are there."""
    texts = {"nodedevs/2.xml": CARD.format(types="".join(TYPE.format(*one) for one in types))}
    texts |= {f"nodedevs/1{number}.xml": MDEV.format(*one) for number, one in enumerate(there)}
    return read_bundle(bundle({"capabilities.xml": CAPABILITIES, **texts}), "kvm1.tar", folder="domains")


def test_a_card_cut_in_slices_is_as_many_devices() -> None:
    """Of mediated devices each type is a kind: those that are there by their UUIDs, with as many more as it says."""
    one = cut(("nvidia-222", 14), ("nvidia-223", 0), there=(("nvidia-222", SLICE.format(1).upper()),))
    slices = (SLICE.format(1),)
    assert one.topology.devices == (
        Device(address="0000:3b:00.0", kind="nvidia-222", node=1, count=15, functions=slices),
    )
    only = cut(("nvidia-222", 16))
    assert only.topology.devices == (Device(address="0000:3b:00.0", kind="nvidia-222", node=1, count=16),)


def test_what_a_card_is_to_be_cut_into_is_for_a_person_to_say() -> None:
    """Of a card with several types and no slice it stays one card, and a warning says what to write."""
    open_ = cut(("nvidia-222", 16), ("nvidia-223", 8))
    assert [device.kind for device in open_.topology.devices] == ["gpu"]
    assert any("kind: nvidia-222, count: 16}" in said and "nvidia-223 (8)" in said for said in open_.warnings)


def test_bundles_become_an_inventory_and_its_files(tmp_path: Path) -> None:
    """Many hosts at once; the saved XML is written beside the inventory, places come from the live XML."""
    for name in ("kvm1", "kvm2"):
        members = (
            WHOLE if name == "kvm1" else {"capabilities.xml": CAPABILITIES.replace("000001</uuid>", "000002</uuid>")}
        )
        (tmp_path / f"{name}.tar").write_bytes(bundle(members, name))
    imported = import_libvirt(bundles=sorted(tmp_path.glob("*.tar")), folder=tmp_path, files_folder="fleet.domains")
    assert sorted(imported.files) == [f"fleet.domains/kvm1/{uuid}.xml" for uuid in (RUNNING, STOPPED, TRANSIENT)]
    for path, content in imported.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    fleet = parse_fleet(imported.text().encode(), "fleet.yaml", tmp_path)
    assert (fleet.hosts, fleet.vms) == (imported.fleet.hosts, imported.fleet.vms)
    web, db, tmp = (fleet.vm_by_name[name] for name in ("web", "db", "tmp"))
    assert web.current is not None and web.current.pins == {0: {2}} and web.current.bound[0].cpus == {1}
    assert (web.running, db.running, tmp.running) == (True, False, True)
    assert tmp.movable_why == ()


def test_where_pages_lie_is_kept_of_vms_that_float(tmp_path: Path) -> None:
    """Of one whose memory is bound it is known, and would only change the inventory with every import."""
    bound, loose = (domain(name, uuid, running=True, cpu=2) for name, uuid in (("web", RUNNING), ("tmp", TRANSIENT)))
    bound = bound.replace("<os>", "<numatune><memory mode='strict' nodeset='1'/></numatune><os>")
    pages = "anon N0=10485760 N1=1063256064\nfile N0=99999999 N1=0\n"
    members: dict[str, str | bytes] = {"capabilities.xml": CAPABILITIES, f"domains/{STOPPED}.pages": pages}
    for uuid, xml in ((RUNNING, bound), (TRANSIENT, loose)):
        members |= {f"domains/{uuid}.live.xml": xml, f"domains/{uuid}.pages": pages}
    (tmp_path / "kvm1.tar").write_bytes(bundle(members))
    imported = import_libvirt(bundles=[tmp_path / "kvm1.tar"], folder=tmp_path)
    found = {vm.name: dict(vm.current.memory_on) for vm in imported.fleet.vms if vm.current is not None}
    assert found == {"web": {}, "tmp": {0: 10 * 1024, 1: 1014 * 1024}}
    assert "memory_on: {0: 10MiB, 1: 1014MiB}" in imported.text()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"format": "other"}, "not made by placer collect"),
        ({"hostname": "../../etc"}, "as the host's name"),
        ({"hostname": ""}, "as the host's name"),
        ({"capabilities.xml": "<!DOCTYPE x><capabilities/>"}, "DOCTYPE"),
        ({}, "neither /sys nor capabilities"),
        ({"capabilities.xml": CAPABILITIES, "nodedevs/1.xml": "<device>"}, "nodedevs/1.xml"),
    ],
)
def test_a_bad_bundle_is_refused(members: dict[str, str | bytes], words: str) -> None:
    """What is no bundle, or cannot be read, is one fault that names the tar."""
    with pytest.raises(InputError, match=words) as caught:
        read_bundle(bundle(members), "kvm1.tar", folder="d")
    assert all((fault.file or "").startswith("kvm1.tar") for fault in caught.value.faults)


def test_members_that_lead_out_and_links_are_not_followed(tmp_path: Path) -> None:
    """A member named ../x is refused; a link in the place of a domain is passed over."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("placer-kvm1/../../x")
        tar.addfile(member, io.BytesIO())
    with pytest.raises(InputError, match="leads out of the archive"):
        read_bundle(out.getvalue(), "kvm1.tar", folder="d")
    out = io.BytesIO(bundle({"capabilities.xml": CAPABILITIES}))
    with tarfile.open(fileobj=out, mode="a") as tar:
        link = tarfile.TarInfo(f"placer-kvm1/domains/{RUNNING}.saved.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert read_bundle(out.getvalue(), "kvm1.tar", folder="d").domains == ()


@pytest.mark.parametrize(
    ("old", "new", "device"),
    [
        ("", "", Device(address="0000:3b:00.0", kind="nic", node=1, count=8)),
        ("<numa node='1'/>", "", Device(address="0000:3b:00.0", kind="nic", node=None, count=8)),
        ("0x020000", "0x030200", Device(address="0000:3b:00.0", kind="gpu", node=1, count=8)),
        ("0x020000", "0x060400", None),
        ("0x020000", "rubbish", None),
        ("<bus>59</bus>", "<bus>x</bus>", None),
        ("type='virt_functions' maxCount='8'", "type='pci-bridge'", Device(address="0000:3b:00.0", kind="nic", node=1)),
        ("type='pci'", "type='usb'", None),
    ],
)
def test_node_devices(old: str, new: str, device: Device | None) -> None:
    """A PCI function of a kind that VMs ask for, with its node and how many VMs can have one."""
    assert parse_nodedev(NIC.replace(old, new, 1).encode(), "d.xml") == device


@pytest.fixture
def gathered(tmp_path: Path) -> Path:
    """Run the script on this machine beside a virsh of our own, and return its tar."""
    if shutil.which("sh") is None or not Path("/sys/devices/system/cpu").is_dir():
        pytest.skip("the script needs a shell and a Linux /sys")
    written = {
        "caps.xml": CAPABILITIES,
        "nic.xml": NIC,
        "live.xml": domain("web", RUNNING, running=True, cpu=0),
        "saved.xml": domain("web", RUNNING, running=False, cpu=0),
    }
    for name, content in written.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "virsh").write_text(
        "#!/bin/sh\n"
        f'cd "{tmp_path}"; printf "%s\\n" "$*" >> calls\n'
        "shift 4\n"
        'case "$*" in\n'
        "capabilities) cat caps.xml ;;\n"
        f"'list --all --uuid') printf '%s\\n\\n' {RUNNING} ;;\n"
        f"'domstate {RUNNING}') echo running ;;\n"
        f"'dominfo {RUNNING}') printf 'Id: 1\\nPersistent:     yes\\n' ;;\n"
        f"'dumpxml {RUNNING}') cat live.xml ;;\n"
        f"'dumpxml --inactive {RUNNING}') cat saved.xml ;;\n"
        "'nodedev-list --cap pci') echo pci_0000_3b_00_0 ;;\n"
        "'nodedev-dumpxml pci_0000_3b_00_0') cat nic.xml ;;\n"
        "version) echo 9.0.0 ;;\n"
        "*) exit 1 ;;\nesac\n"
    )
    (tmp_path / "virsh").chmod(0o755)
    out = tmp_path / "out.tar"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    subprocess.run(["sh", "-s", str(out)], input=collect_script().encode(), check=True, env=environment, cwd=tmp_path)
    return out


def test_the_script_gathers_this_machine(gathered: Path) -> None:
    """What the script writes is read back: the kernel's CPUs, libvirt's domains and devices."""
    host = read_bundle(gathered.read_bytes(), str(gathered), folder="d")
    assert len(host.topology.cpus) == len(os.sched_getaffinity(0)) or len(host.topology.cpus) >= 1
    assert host.topology.model == "EPYC" and host.topology.kvm is True
    assert [device.address for device in host.topology.devices] == ["0000:3b:00.0"]
    assert [(one.running, one.live is not None) for one in host.domains] == [(True, True)]


def test_the_script_only_reads(gathered: Path) -> None:
    """It talks to libvirt over a read-only connection, leaves nothing behind but its tar, and changes no setting."""
    calls = (gathered.parent / "calls").read_text().splitlines()
    assert calls and all(call.startswith("-q -r -c qemu:///system ") for call in calls)
    left = {path.name for path in gathered.parent.iterdir()}
    assert left == {"virsh", "calls", "caps.xml", "nic.xml", "live.xml", "saved.xml", "out.tar"}
    assert not any(word in collect_script() for word in ("> /sys", "> /proc", "security-info", "sudo"))


def test_the_script_is_plain_posix_shell() -> None:
    """Any /bin/sh takes it: dash parses it, and shellcheck finds nothing where it is installed."""
    script = collect_script().encode()
    shell = shutil.which("dash") or shutil.which("sh")
    if shell is None:
        pytest.skip("there is no shell")
    subprocess.run([shell, "-n"], input=script, check=True)
    if shutil.which("shellcheck") is not None:
        subprocess.run(["shellcheck", "-s", "sh", "-"], input=script, check=True)


def test_keys_of_confidential_guests_are_resources(tmp_path: Path) -> None:
    """What the misc cgroup counts becomes resources of the host, in the inventory too."""
    (tmp_path / "kvm1.tar").write_bytes(bundle({**WHOLE, "sys/fs/cgroup/misc.capacity": "sev 10\nsev_es 5\n"}))
    imported = import_libvirt(bundles=[tmp_path / "kvm1.tar"], folder=tmp_path, files_folder="fleet.domains")
    assert imported.fleet.hosts[0].resources == {"sev": 10, "sev_es": 5}
    assert "resources: {sev: 10, sev_es: 5}" in inventory_text(imported.fleet, contents=imported.contents)
