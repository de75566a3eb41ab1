"""Mediated devices of the host (vGPU, MIG, s390) in a guest that is new: those that a plan names by their UUIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placer.emit.domain.elements import DOMAIN_ORDER
from placer.emit.domain.xml_tree import add_child, child_of
from placer.model.pci import mdev_uuid
from placer.model.plan import PlanVm
from placer.read.domains.hostdevs import source_uuids

if TYPE_CHECKING:
    from lxml.etree import _Element

_MODELS = (("vfio_ap", "vfio-ap"), ("vfio_ccw", "vfio-ccw"))
"""How types begin whose devices are none of PCI, and their models."""


def add_mediated(root: _Element, vm: PlanVm) -> None:
    """Add a ``<hostdev type='mdev'>`` for each mediated device that the plan names and the domain has not."""
    there = source_uuids(root)
    for (kind, _), text in zip(vm.devices, vm.addresses, strict=False):
        uuid = None if text is None else mdev_uuid(text)
        if uuid is None or uuid in there:
            continue
        element = add_child(child_of(root, "devices", DOMAIN_ORDER), "hostdev")
        model = next((model for begins, model in _MODELS if kind.startswith(begins)), "vfio-pci")
        for name, value in (("mode", "subsystem"), ("type", "mdev"), ("model", model)):
            element.set(name, value)
        add_child(add_child(element, "source"), "address").set("uuid", uuid)
