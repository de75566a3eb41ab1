"""What keeps a domain from moving, and who manages it."""

from __future__ import annotations

import pytest

from placer.model.vm import Movable
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import DomainReading

PCI = "<source><address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source>"


def read(body: str) -> DomainReading:
    """Read a domain with this body."""
    return read_domain(f"<domain type='kvm'><name>a</name><memory>4096</memory>{body}</domain>".encode(), "a.xml")


@pytest.mark.parametrize(
    ("body", "movable", "why"),
    [
        ("", Movable.LIVE, ()),
        (f"<devices><hostdev type='pci'>{PCI}</hostdev></devices>", Movable.NO, ("hostdev pci 0000:3b:00.1",)),
        (
            "<devices><hostdev type='mdev'><source><address uuid='u'/></source></hostdev></devices>",
            Movable.NO,
            ("hostdev mdev u",),
        ),
        ("<devices><hostdev type='usb'/></devices>", Movable.NO, ("hostdev usb",)),
        (
            f"<devices><interface type='hostdev'>{PCI}</interface></devices>",
            Movable.NO,
            ("hostdev interface hostdev 0000:3b:00.1",),
        ),
        ("<devices><interface type='vdpa'/></devices>", Movable.NO, ("vdpa interface",)),
        ("<devices><tpm><backend type='passthrough'/></tpm></devices>", Movable.NO, ("the host's own TPM",)),
        (
            "<cputune><cachetune vcpus='0'/></cputune>",
            Movable.NO,
            ("cachetune, which names caches of this host by number",),
        ),
        ("<memoryBacking><locked/></memoryBacking>", Movable.LIVE, ()),
        ("<launchSecurity type='sev'/>", Movable.COLD, ("memory encrypted for this host (sev)",)),
        ("<devices><filesystem type='mount'/></devices>", Movable.COLD, ("a directory of the host as its filesystem",)),
        (
            "<devices><disk type='file'><source file='/a'/></disk></devices>",
            Movable.LIVE,
            ("disk '/a' must be on shared storage",),
        ),
        ("<devices><disk type='network'><source name='a'/></disk></devices>", Movable.LIVE, ()),
        ("<devices><interface type='bridge'/></devices>", Movable.LIVE, ()),
    ],
)
def test_movable(body: str, movable: Movable, why: tuple[str, ...]) -> None:
    """Host devices bind a domain to its host, encrypted and file memory let it move only shut off."""
    reading = read(body)
    assert (reading.movable, reading.movable_why) == (movable, why)


def test_a_transient_team_member_does_not_bind() -> None:
    """A hostdev interface that a virtio one stands in for is unplugged for a migration; that is noted."""
    reading = read(f"<devices><interface type='hostdev'>{PCI}<teaming type='transient'/></interface></devices>")
    assert reading.movable is Movable.LIVE
    assert any("teaming" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("http://openstack.org/xmlns/libvirt/nova/1.1", "OpenStack Nova"),
        ("http://ovirt.org/vm/1.0", "oVirt"),
        ("http://kubevirt.io", "KubeVirt"),
        ("http://libosinfo.org/xmlns/libvirt/domain/1.0", None),
    ],
)
def test_manager_by_the_namespace_of_its_metadata(namespace: str, name: str | None) -> None:
    """The namespace, not the prefix, tells who manages a domain; others claim nothing."""
    reading = read(f"<metadata><x:any xmlns:x='{namespace}'/></metadata>")
    assert reading.manager == name
    assert any("manages" in note for note in reading.notes) is (name is not None)
