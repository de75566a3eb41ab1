"""Texts that people have and placer does not read: told by name, with the command that gives what is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = "LC_ALL=C numactl --hardware, virsh capabilities, or lstopo --of xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """The text of another tool: what it is called, and what to give in its place, or which import reads it."""

    name: str
    cure: str
    imported: bool = False


_PREFIX = rb"^[ \t>|]*+"
_KINDS: tuple[tuple[bytes, Other], ...] = (
    (
        rb"(?:Machine|System|HostBridge|Package|NUMANode|Group0)\b.{0,40}(?:L#\d|total\))",
        Other(name="a drawing of lstopo", cure="lstopo --of xml gives it whole"),
    ),
    (
        rb"(?:Per-node (?:system memory usage|numastat info|process memory usage)|numa_hit[ \t]+\d)",
        Other(name="numastat, which tells how memory is used and not what there is", cure=f"give {_HOST}"),
    ),
    (
        rb"(?:xen_major|xen_version|numa_info|cpu_topology|nr_nodes|xen_caps)[ \t]*:",
        Other(name="xl info of Xen", cure="lstopo --of xml on the machine under plain Linux; placer plans for KVM"),
    ),
    (
        rb"Name[ \t]+ID[ \t]+VCPU[ \t]+CPU[ \t]+State",
        Other(name="xl vcpu-list of Xen", cure="an inventory that lists the VMs; placer plans for KVM"),
    ),
    (
        rb"apiVersion:[ \t]*[\"']?kubevirt\.io/",
        Other(
            name="a VM of KubeVirt",
            cure="placer import kubevirt reads it beside the nodes: kubectl get nodes,vmi,noderesourcetopologies "
            "--all-namespaces -o json, or -o yaml; virsh dumpxml in its virt-launcher pod gives the domain",
            imported=True,
        ),
    ),
    (
        rb"apiVersion:[ \t]*\S",
        Other(
            name="a document of Kubernetes",
            cure="placer import kubevirt reads what kubectl get nodes,vmi,noderesourcetopologies prints",
            imported=True,
        ),
    ),
    (
        rb"[\s{]*[\"']?schema[\"']?\s*:\s*[\"']?placer\.scenario/",
        Other(name="a scenario", cure="placer whatif FLEET SCENARIO reads it beside a fleet", imported=True),
    ),
    (
        rb"(?:limits\.(?:cpu|memory)|volatile\.\S+|security\.\S+)[ \t]*:",
        Other(
            name="an instance of LXD or Incus",
            cure="placer import incus reads instances, members and resources; or list it under vms in an inventory: "
            "vcpus, memory, host, pins",
            imported=True,
        ),
    ),
    (
        rb"HOST \d+ INFORMATION",
        Other(
            name="onehost show of OpenNebula",
            cure=f"placer import opennebula reads onehost list -j; or on the host itself: {_HOST}",
            imported=True,
        ),
    ),
    (
        rb"(?:ostype|scsihw|vmgenid|smbios1|onboot|numa\d+)[ \t]*:",
        Other(
            name="a configuration of Proxmox (qm config)",
            cure="placer import proxmox --configs DIR --resources FILE reads it as <vmid>.conf",
            imported=True,
        ),
    ),
    (
        rb"<(?:VM|HOST|VMPOOL)>",
        Other(name="XML of OpenNebula", cure="virsh dumpxml gives the domain, virsh capabilities the host"),
    ),
)
_PATTERNS = tuple((re.compile(_PREFIX + pattern, re.MULTILINE), other) for pattern, other in _KINDS)
_ZIP = b"PK\x03\x04"
_TABLE = re.compile(rb"\s*[^\s:{}\[\]<>#-][^:{}\[\]<>\n]*[,;\t][^:{}\[\]<>\n]*\n")
"""A first line of titles: no key, no bracket."""


def name_of_other(text: bytes) -> Other | None:
    """Return what this text is, if it is one of those that are known by name."""
    for pattern, other in _PATTERNS:
        if pattern.search(text):
            return other
    if text.startswith(_ZIP):
        return Other(name="a zip archive or a workbook", cure="placer import xlsx reads workbooks", imported=True)
    if b"\0" in text:
        return Other(name="a binary file", cure=f"give {_HOST}, or an inventory")
    if _TABLE.match(text):
        return Other(name="a table in text", cure="placer import csv reads tables of hosts and VMs", imported=True)
    return None
