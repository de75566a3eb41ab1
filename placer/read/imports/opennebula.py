"""An OpenNebula cloud as an inventory: ``onehost`` and ``onevm``, each with ``-j``.

Source: OpenNebula 6.8, Host and VM documents; Virtual Topology and CPU Pinning. Lists of one are printed without their
list, and all memory but that of templates is in KiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, PlacerError
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.read.imports.entries import HostFiles, said, unique_names
from placer.read.imports.gathered import Imported
from placer.read.imports.platform import (
    MOST_CPUS,
    Platform,
    at,
    counted,
    flat_node,
    listed,
    named_faults,
    objects_below,
    text_at,
    whole,
)
from placer.read.text.located import LineMap

_HOST_UP = ("1", "2")
"""MONITORING_MONITORED and MONITORED."""
_HOST_DISABLED = ("4", "9")
_VM_ACTIVE = "3"
_VM_OVER = ("6", "7", "11")
_VM_OFF = ("4", "5", "8")


def import_opennebula(*, hosts: Path, vms: Path, topology: Path | None, folder: Path) -> Imported:
    """Read a cloud.

    Parameters
    ----------
    hosts
        ``onehost list -j`` (or a list of what ``onehost show -j`` prints).
    vms
        ``onevm list --extended -j``: without --extended neither vCPUs nor cells are told.
    topology
        A folder of host files, ``<host>.<anything>``, which stand above what OpenNebula tells.
    folder
        Where the inventory will stand.

    Raises
    ------
    InputError
        A file is not what it should be, or a VM contradicts itself.
    """
    cloud = Platform(HostFiles(topology, folder))
    for tree in objects_below(hosts, "HOST_POOL", "HOST"):
        _host(tree, cloud)
    listing = [tree for tree in objects_below(vms, "VM_POOL", "VM") if said(tree, "STATE") not in _VM_OVER]
    names = unique_names([(said(tree, "NAME") or "vm", said(tree, "ID") or "?") for tree in listing])
    faults: list[Fault] = []
    for tree, name in zip(listing, names, strict=True):
        try:
            _vm(tree, name, cloud)
        except PlacerError as error:
            faults.extend(named_faults(error, name, tree, vms))
    if faults:
        raise InputError(faults)
    return cloud.imported("OpenNebula", vms, folder)


def _host(tree: LineMap, cloud: Platform) -> None:
    name, share = said(tree, "NAME") or "?", at(tree, "HOST_SHARE")
    state = None
    if said(tree, "STATE") in _HOST_DISABLED:
        state = "drain"
    elif said(tree, "STATE") not in (None, *_HOST_UP):
        state = "failed"
        cloud.warnings.append(f"host {name} is not monitored: it counts as failed, and its VMs have to go elsewhere")
    labels = {} if said(tree, "CLUSTER") is None else {"cluster": said(tree, "CLUSTER")}
    nodes, cores = [], []
    for node in listed(at(share, "NUMA_NODES", "NODE")):
        cpus: set[int] = set()
        for core in listed(node.get("CORE")):
            # "0:-1,16:42": a CPU, and the VM that has it.
            threads = {whole(part.partition(":")[0], -1) for part in (said(core, "CPUS") or "").split(",")} - {-1}
            if len(threads) > 1:
                cores.append(format_cpuset(threads))
            cpus |= threads
        pages = {
            f"{whole(said(page, 'SIZE'))}KiB": said(page, "PAGES")
            for page in listed(node.get("HUGEPAGE"))
            if whole(said(page, "PAGES")) > 0
        }
        memory = whole(text_at(node, "MEMORY", "TOTAL"))
        made: dict[str, Any] = {"id": said(node, "NODE_ID"), "cpus": format_cpuset(cpus), "memory": f"{memory}KiB"}
        nodes.append({**made, "pages": pages} if pages else made)
    if nodes:
        keys: dict[str, Any] = {"nodes": nodes, "siblings": cores}
        keys["assumptions"] = ["distances of NUMA nodes are not told by OpenNebula"]
    else:
        cpus_told = whole(text_at(share, "MAX_CPU")) // 100
        if not 0 < cpus_told < MOST_CPUS:
            cloud.warnings.append(f"host {name} does not tell its CPUs: left out with its VMs")
            return
        keys = flat_node(cpus_told, whole(text_at(share, "MAX_MEM")))
    cloud.host(tree, name, state=state, labels=labels, **keys)


def _vm(tree: LineMap, name: str, cloud: Platform) -> None:
    template = at(tree, "TEMPLATE")
    vcpus = counted(template, "VCPU")
    memory = whole(text_at(template, "MEMORY"))
    if memory < 1:
        raise InputError("it does not tell its memory", cure="print it with onevm list --extended -j")
    records = sorted(listed(at(tree, "HISTORY_RECORDS", "HISTORY")), key=lambda one: whole(said(one, "SEQ")))
    state = said(tree, "STATE")
    host = said(records[-1], "HOSTNAME") if records and state in (_VM_ACTIVE, *_VM_OFF) else None
    if host is not None and host not in cloud.hosts:
        cloud.warnings.append(f"VM {name} is on host {host}, which is not in the inventory: left out")
        return
    keys: dict[str, Any] = {"vcpus": vcpus, "memory": f"{memory}MiB", "cells": "none", "cpu_policy": "shared"}
    policy = (text_at(template, "TOPOLOGY", "PIN_POLICY") or "NONE").upper()
    if policy in ("CORE", "THREAD", "SHARED"):
        keys["cpu_policy"] = "shared" if policy == "SHARED" else "dedicated"
        if policy == "CORE":
            keys["thread_policy"] = "isolate"
    if (page := whole(text_at(template, "TOPOLOGY", "HUGEPAGE_SIZE"))) > 0:
        keys["page_size"] = f"{page}MiB"
    cells = list(listed(at(template, "NUMA_NODE")))
    if cells and policy != "NONE":
        keys.update(_cells(cells, vcpus, memory, placed=host is not None))
    keys["uuid"] = text_at(template, "OS", "UUID")
    if at(template, "PCI") is not None:
        keys.update(movable="cold", movable_why=["a PCI device"])
    if at(template, "SCHED_REQUIREMENTS") is not None or at(tree, "USER_TEMPLATE", "SCHED_REQUIREMENTS") is not None:
        cloud.leave("SCHED_REQUIREMENTS", name)
    running = False if state in _VM_OFF else None
    cloud.vm(tree, name=name, manager_id=said(tree, "ID"), host=host, running=running, **keys)


def _cells(cells: list[LineMap], vcpus: int, memory_mib: int, *, placed: bool) -> dict[str, Any]:
    """Return the guest's cells, and where they are: CPUs in order of the vCPUs, nodes of CPUs and memory."""
    made: list[Mapping[str, str]] = []
    pins: dict[str, str] = {}
    first = 0
    for cell in cells:
        many = whole(said(cell, "TOTAL_CPUS"))
        # A node's memory is in KiB once the VM was deployed, in MiB in its template.
        size = whole(said(cell, "MEMORY"))
        size_kib = size if size > memory_mib else size * 1024
        made.append({"cpus": f"{first}-{first + many - 1}" if many > 1 else str(first), "memory": f"{size_kib}KiB"})
        own = sorted(parse_cpuset(said(cell, "CPUS") or ""))
        if placed and len(own) == many:
            pins.update({str(first + number): str(cpu) for number, cpu in enumerate(own)})
        first += many
    if first != vcpus:
        raise InputError(f"its NUMA nodes hold {first} vCPUs of {vcpus}")
    keys: dict[str, Any] = {"cells": made} if len(made) > 1 else {"cells": "none"}
    nodes = [said(cell, "NODE_ID") for cell in cells]
    if placed and all(nodes):
        keys["nodes"] = nodes
        memory = [said(cell, "MEMORY_NODE_ID") or said(cell, "NODE_ID") for cell in cells]
        keys["memory_nodes"] = memory if memory != nodes else None
    keys["pins"] = pins if len(pins) == vcpus else None
    return keys
