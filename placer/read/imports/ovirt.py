"""An oVirt engine as an inventory: ``/api/hosts`` and ``/api/vms`` as JSON, with their NUMA nodes.

Source: oVirt REST API guide 4.4, types host, host_numa_node, vm, virtual_numa_node, vcpu_pin.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, PlacerError
from placer.model.cpuset import format_cpuset
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

_UP = ("up", None)
_MAINTENANCE = ("maintenance", "preparing_for_maintenance")
_BYTES_PER_KIB = 1024


def import_ovirt(*, hosts: Path, vms: Path, topology: Path | None, folder: Path) -> Imported:
    """Read an engine.

    Parameters
    ----------
    hosts
        ``GET /api/hosts?follow=numa_nodes,cluster`` with ``Accept: application/json``.
    vms
        ``GET /api/vms?follow=numa_nodes`` likewise.
    topology
        A folder of host files, ``<host>.<anything>``, which stand above what oVirt tells.
    folder
        Where the inventory will stand.

    Raises
    ------
    InputError
        A file is not what it should be, or a VM contradicts itself.
    """
    engine = Platform(HostFiles(topology, folder))
    by_id: dict[str, str] = {}
    for tree in objects_below(hosts, "host"):
        _host(tree, engine)
        by_id[said(tree, "id") or "?"] = said(tree, "name") or "?"
    listing = objects_below(vms, "vm")
    names = unique_names([(said(tree, "name") or "vm", said(tree, "id") or "?") for tree in listing])
    faults: list[Fault] = []
    for tree, name in zip(listing, names, strict=True):
        try:
            _vm(tree, name, by_id, engine)
        except PlacerError as error:
            faults.extend(named_faults(error, name, tree, vms))
    if faults:
        raise InputError(faults)
    engine.warnings.append("affinity groups are not in these files: not carried over")
    return engine.imported("oVirt", vms, folder)


def _numa_nodes(tree: LineMap) -> Iterator[LineMap]:
    """Yield the NUMA nodes that were followed; the engine has called them by several names."""
    for key in ("numa_node", "host_numa_node", "vm_numa_node"):
        yield from listed(at(tree, "numa_nodes", key))
    yield from listed(tree.get("numa_nodes")) if isinstance(tree.get("numa_nodes"), list) else ()


def _host(tree: LineMap, engine: Platform) -> None:
    name, status = said(tree, "name") or "?", said(tree, "status")
    state = None
    if status in _MAINTENANCE:
        state = "drain"
    elif status not in _UP:
        state = "failed"
        engine.warnings.append(f"host {name} is {status}: it counts as failed, and its VMs have to go elsewhere")
    cluster = text_at(tree, "cluster", "name")
    labels = {} if cluster is None else {"cluster": cluster}
    nodes, rows = [], []
    for node in sorted(_numa_nodes(tree), key=lambda one: whole(said(one, "index"))):
        cores = {whole(said(core, "index"), -1) for core in listed(at(node, "cpu", "cores", "core"))} - {-1}
        nodes.append(
            {"id": said(node, "index"), "cpus": format_cpuset(cores), "memory": f"{whole(said(node, 'memory'))}MiB"}
        )
        rows.append((said(node, "node_distance") or "").split())
    if nodes:
        keys: dict[str, Any] = {"nodes": nodes, "assumptions": ["cores and their threads are not told by oVirt"]}
        if all(len(row) == len(nodes) for row in rows):
            keys["distances"] = rows
    else:
        cpus = 1
        for level in ("sockets", "cores", "threads"):
            cpus *= whole(text_at(tree, "cpu", "topology", level))
        if not 0 < cpus < MOST_CPUS:
            engine.warnings.append(f"host {name} does not tell its CPUs: left out with its VMs")
            return
        keys = flat_node(cpus, int(said(tree, "memory") or "0") // _BYTES_PER_KIB)
    engine.host(tree, name, state=state, labels=labels, **keys)


def _vm(tree: LineMap, name: str, by_id: dict[str, str], engine: Platform) -> None:
    vcpus = 1
    for level in ("sockets", "cores", "threads"):
        vcpus *= counted(at(tree, "cpu", "topology"), level)
    memory = said(tree, "memory") or ""
    if not (memory.isascii() and memory.isdigit() and len(memory) < 17 and int(memory) >= _BYTES_PER_KIB):
        raise InputError("it does not tell its memory")
    ident = text_at(tree, "host", "id")
    host = None if ident is None else by_id.get(ident, text_at(tree, "host", "name"))
    if ident is not None and host not in engine.hosts:
        engine.warnings.append(f"VM {name} is on a host that is not in the inventory: left out")
        return
    keys: dict[str, Any] = {"vcpus": vcpus, "memory": f"{int(memory) // _BYTES_PER_KIB}KiB", "cells": "none"}
    pinned = {
        said(pin, "vcpu") or "?": said(pin, "cpu_set") or ""
        for pin in listed(at(tree, "cpu", "cpu_tune", "vcpu_pins", "vcpu_pin"))
    }
    policy = said(tree, "cpu_pinning_policy") or ("manual" if pinned else "none")
    own = policy in ("dedicated", "isolate_threads") or (bool(pinned) and all(c.isdigit() for c in pinned.values()))
    keys["cpu_policy"] = "dedicated" if own else "shared"
    if policy == "isolate_threads":
        keys["thread_policy"] = "isolate"
    if pinned and host is not None:
        keys["pins"] = pinned
    cells = sorted(_numa_nodes(tree), key=lambda one: whole(said(one, "index")))
    if cells:
        keys.update(_cells(cells, placed=host is not None))
    for item in listed(at(tree, "custom_properties", "custom_property")):
        if said(item, "name") == "hugepages" and (size := whole(said(item, "value"))) > 0:
            keys["page_size"] = f"{size}KiB"
    allowed = text_at(tree, "placement_policy", "affinity")
    if allowed == "pinned":
        keys.update(movable="false", movable_why=["placement policy: pinned"])
    elif allowed == "user_migratable":
        keys["movable_why"] = ["placement policy: moved by hand only"]
        keys["movable"] = "live"
    running = False if said(tree, "status") in ("down", "suspended") else None
    engine.vm(tree, name=name, uuid=said(tree, "id"), host=host, running=running, **keys)


def _cells(cells: list[LineMap], *, placed: bool) -> dict[str, Any]:
    """Return the guest's nodes, and the host nodes that their memory is pinned to."""
    made = []
    bound: list[str] = []
    for cell in cells:
        cores = {whole(said(core, "index"), -1) for core in listed(at(cell, "cpu", "cores", "core"))} - {-1}
        made.append({"cpus": format_cpuset(cores), "memory": f"{whole(said(cell, 'memory'))}MiB"})
        pins = [said(pin, "index") or "?" for pin in listed(at(cell, "numa_node_pins", "numa_node_pin"))]
        bound += pins if len(pins) == 1 else []
    keys: dict[str, Any] = {"cells": made}
    if placed and len(bound) == len(made):
        keys["memory_nodes"] = bound
    return keys
