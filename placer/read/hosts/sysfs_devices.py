"""Devices of a copy of /sys: PCI functions that a VM may want near, and which nodes are a device's memory."""

from __future__ import annotations

import re

from placer.model.host import Device
from placer.read.hosts.tree import Tree

_PCI_ROOT = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}")
_PCI_FUNCTION = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_CLASS = re.compile(r"(?:0x)?([0-9a-f]{4})[0-9a-f]{2}")
_GPU_VENDORS = {"0x10de", "0x1002"}
_MAX_DEPTH = 16
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
    """Return the useful PCI functions below ``devices/pci*``, without virtual functions.

    `sys` is the path of /sys in the tree, with a slash behind it. Links are not followed, so the walk ends.
    """
    devices: list[Device] = []
    folders = [f"{sys}devices/{name}" for name in sorted(tree.names(f"{sys}devices")) if _PCI_ROOT.fullmatch(name)]
    for _ in range(_MAX_DEPTH):
        below: list[str] = []
        for folder in folders:
            names = tree.names(folder)
            below += [f"{folder}/{name}" for name in sorted(names) if _PCI_FUNCTION.fullmatch(name)]
            device = None if "physfn" in names else _device(tree, folder)
            if device is not None:
                devices.append(device)
        folders = below
    return devices


def _device(tree: Tree, folder: str) -> Device | None:
    match = _CLASS.fullmatch(tree.text(f"{folder}/class") or "")
    if match is None:
        return None
    kind = device_kind(match[1], tree.text(f"{folder}/vendor"))
    if kind is None:
        return None
    node = tree.text(f"{folder}/numa_node") or ""
    return Device(
        address=folder.rsplit("/", 1)[1], kind=kind, node=int(node) if re.fullmatch(r"\d{1,6}", node) else None
    )


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
