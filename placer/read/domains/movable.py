"""What keeps a domain from moving, and who manages it: read from its devices, its memory backing and its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from placer.model.pci import pci_text
from placer.model.vm import Movable
from placer.read.domains.hostdevs import pci_of
from placer.read.domains.scan import DomainScan
from placer.read.text.xml import elements

if TYPE_CHECKING:
    from lxml.etree import _Element

_MANAGERS = (
    ("http://openstack.org/xmlns/libvirt/nova/", "OpenStack Nova"),
    ("http://ovirt.org/vm/", "oVirt"),
    ("http://kubevirt.io", "KubeVirt"),
    ("http://opennebula.org/", "OpenNebula"),
)
_QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
_FILE_DEVICES = frozenset({"nvdimm", "virtio-pmem"})


def manager(root: _Element) -> str | None:
    """Return the name of the system whose metadata says that it manages the domain, else None."""
    metadata = root.find("metadata")
    for element in () if metadata is None else elements(metadata):
        for namespace, name in _MANAGERS:
            if str(element.tag).startswith("{" + namespace):
                return name
    return None


def read_movable(scan: DomainScan) -> tuple[Movable, tuple[str, ...]]:
    """Return whether the domain may change host, and what stands against it.

    ``false``: it holds something of this very host. ``cold``: it can be moved shut off, but not while it runs.
    A disk at a path of the host is named and forbids nothing: whether that path is shared storage, no XML tells.
    """
    bound = list(_bound(scan))
    cold = list(_cold(scan))
    _note_command_line(scan)
    if bound:
        return Movable.NO, (*bound, *cold)
    return Movable.COLD if cold else Movable.LIVE, (*cold, *_disks(scan))


def _bound(scan: DomainScan) -> Iterator[str]:
    for device in scan.all("devices/hostdev"):
        yield f"hostdev {_address(device)}"
    for interface in scan.all("devices/interface"):
        kind = interface.get("type")
        teaming = interface.find("teaming")
        if kind == "hostdev" and teaming is not None and teaming.get("type") == "transient":
            scan.note(
                interface,
                "the hostdev interface is unplugged for a migration (teaming) and wants its like on the target",
            )
        elif kind == "hostdev":
            yield f"hostdev interface {_address(interface)}"
        elif kind == "vdpa":
            yield "vdpa interface"
    for disk in scan.all("devices/disk"):
        if disk.get("type") == "nvme":
            yield f"disk {_address(disk)}, an NVMe drive of this host"
    for backend in scan.all("devices/tpm/backend"):
        if backend.get("type") == "passthrough":
            yield "the host's own TPM"
    for tag in ("cachetune", "memorytune"):
        if scan.find(f"cputune/{tag}") is not None:
            yield f"{tag}, which names caches of this host by number"


def _cold(scan: DomainScan) -> Iterator[str]:
    security = scan.find("launchSecurity")
    if security is not None:
        yield f"memory encrypted for this host ({security.get('type', 'launchSecurity')})"
    for device in scan.all("devices/memory"):
        model = device.get("model", "")
        if model == "sgx-epc":
            yield "SGX enclave memory"
        elif model in _FILE_DEVICES:
            yield f"memory device {model} in a file of the host"
    if any(item.get("type", "mount") == "mount" for item in scan.all("devices/filesystem")):
        yield "a directory of the host as its filesystem"


def _address(device: _Element) -> str:
    kind = device.get("type", "")
    address = device.find("source/address")
    if address is None:
        return kind
    uuid = address.get("uuid")
    if uuid is not None:
        return f"{kind} {uuid}"
    if address.get("slot") is None:
        return kind
    named = pci_of(address)
    return kind if named is None else f"{kind} {pci_text(named)}"


def _disks(scan: DomainScan) -> Iterator[str]:
    for disk in scan.all("devices/disk"):
        source = disk.find("source")
        path = None if source is None else source.get("file") or source.get("dev")
        if disk.get("type") in ("file", "block") and path:
            yield f"disk {path!r} must be on shared storage"


def _note_command_line(scan: DomainScan) -> None:
    for tag in ("commandline", "override"):
        element = scan.root.find(f"{{{_QEMU_NAMESPACE}}}{tag}")
        if element is not None:
            scan.note(element, f"<qemu:{tag}> is not understood; it is kept as it is and not planned with")
