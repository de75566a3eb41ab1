"""Devices of a copy of /sys: PCI functions that a VM may want near, and which nodes are a device's memory."""

from __future__ import annotations

import re

from placer.model.host import Device
from placer.model.pci import pci_address
from placer.read.hosts.tree import Tree

_PCI_ROOT = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")
_PCI_FUNCTION = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_CLASS = re.compile(r"(?:0x)?([0-9a-f]{4})[0-9a-f]{2}")
_GPU_VENDORS = {"0x10de", "0x1002"}
_MAX_DEPTH = 16
_MAX_FUNCTIONS = 4096
_NVIDIA_NODE = re.compile(r"^Node:\s*(\d{1,6})\s*$", re.MULTILINE)


def device_kind(pci_class: str, vendor: str | None) -> str | None:
    """Return nic, gpu, storage or accelerator for a PCI class such as ``0200``; None for what no VM asks for.

    A plain VGA controller is a GPU only from a vendor of GPUs: on servers it is the management controller's.
    """
    if pci_class.startswith("02"):
        return "nic"
    if pci_class in ("0302", "0380") or (pci_class == "0300" and vendor in _GPU_VENDORS):
        return "gpu"
    if pci_class.startswith("01"):
        return "storage"
    if pci_class.startswith("12") or pci_class == "0b40":
        return "accelerator"
    return None


def pci_devices(tree: Tree, sys: str) -> list[Device]:
    """Return the useful PCI functions below ``devices/pci*``; virtual functions stand for their card, as a pool.

    Those behind one root port are a group. `sys` is the path of /sys in the tree, with a slash behind it. Links are
    not followed, so the walk ends.
    """
    devices: list[Device] = []
    folders = [f"{sys}devices/{name}" for name in sorted(tree.names(f"{sys}devices")) if _PCI_ROOT.fullmatch(name)]
    for _ in range(_MAX_DEPTH):
        below: list[str] = []
        for folder in folders:
            names = tree.names(folder)
            below += [f"{folder}/{name}" for name in sorted(names) if _PCI_FUNCTION.fullmatch(name)]
            # pci0000:3a/0000:3a:00.0/0000:3b:00.0: what is behind a root port begins with it.
            port = folder.removeprefix(f"{sys}devices/").split("/")[1:-1]
            device = None if "physfn" in names else _device(tree, folder, port[0] if port else None)
            if device is not None:
                devices.append(device)
        folders = below
    return devices


def _device(tree: Tree, folder: str, group: str | None) -> Device | None:
    match = _CLASS.fullmatch(tree.text(f"{folder}/class") or "")
    if match is None:
        return None
    kind = device_kind(match[1], tree.text(f"{folder}/vendor"))
    if kind is None:
        return None
    node = tree.text(f"{folder}/numa_node") or ""
    address = folder.rsplit("/", 1)[1]
    functions = _functions(address, *(tree.text(f"{folder}/sriov_{name}") for name in ("numvfs", "offset", "stride")))
    return Device(
        address=address,
        kind=kind,
        node=int(node) if re.fullmatch(r"\d{1,6}", node) else None,
        count=max(1, len(functions)),
        functions=functions,
        group=group,
    )


def _functions(address: str, *told: str | None) -> tuple[str, ...]:
    """Return the addresses of the virtual functions of a card, by their number, first offset and stride.

    The routing id (bus, slot and function as one number) of function n is the card's + offset + n × stride: PCI Express
    Base Specification, section 9.2.1.2.
    """
    if not all(text is not None and re.fullmatch(r"\d{1,5}", text) for text in told):
        return ()
    number, offset, stride = (int(text or "0") for text in told)
    own = pci_address(address)
    if own is None or number > _MAX_FUNCTIONS:
        return ()
    domain, bus, slot, function = own
    ids = [(bus << 8 | slot << 3 | function) + offset + n * stride for n in range(number)]
    return tuple(f"{domain:04x}:{one >> 8:02x}:{one >> 3 & 31:02x}.{one & 7}" for one in ids if one < 1 << 16)


def device_memory_nodes(tree: Tree, sys: str, host: str | None) -> dict[int, bool]:
    """Return the nodes of which the tree says what they are: True a GPU's memory, False PMEM or CXL (a DAX device)."""
    found: dict[int, bool] = {}
    for name in tree.names(f"{sys}bus/dax/devices"):
        target = tree.text(f"{sys}bus/dax/devices/{name}/target_node") or ""
        if re.fullmatch(r"\d{1,6}", target):
            found[int(target)] = False
    if host is not None:
        gpus = f"{host}proc/driver/nvidia/gpus"
        for name in tree.names(gpus):
            match = _NVIDIA_NODE.search(tree.text(f"{gpus}/{name}/numa_status") or "")
            if match:
                found[int(match[1])] = True
    return found
