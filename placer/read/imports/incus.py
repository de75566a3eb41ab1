"""An Incus cluster as an inventory, from ``incus query``; containers are load that does not move.

Source: Incus documentation, REST API (instances, cluster members, resources) and instance options.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, PlacerError
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.units import parse_kib
from placer.read.imports.entries import HostFiles, load_objects, said, unique_names
from placer.read.imports.gathered import Imported
from placer.read.imports.platform import Platform, at, listed, named_faults, text_at, whole
from placer.read.text.located import LineMap

_DEFAULT_MEMORY = "1GiB"
_BYTES_PER_KIB = 1024


def import_incus(*, instances: Path, members: Path, resources: Path, topology: Path | None, folder: Path) -> Imported:
    """Read a cluster.

    Parameters
    ----------
    instances
        ``incus query "/1.0/instances?recursion=1&all-projects=true"``.
    members
        ``incus query "/1.0/cluster/members?recursion=1"``.
    resources
        A folder with ``<member>.json`` of ``incus query "/1.0/resources?target=<member>"``.
    topology
        A folder of host files, ``<member>.<anything>``, which stand above what Incus tells.
    folder
        Where the inventory will stand.

    Raises
    ------
    InputError
        A file is not what it should be, or an instance contradicts itself.
    """
    cluster = Platform(HostFiles(topology, folder))
    faults: list[Fault] = []
    for tree in load_objects(members):
        try:
            _member(tree, resources, cluster)
        except PlacerError as error:
            faults.extend(error.faults)
    listing = load_objects(instances)
    known = [(said(tree, "name") or "?", said(tree, "project") or "default") for tree in listing]
    names = unique_names([(name, project) for name, project in known])
    for tree, name, (own, project) in zip(listing, names, known, strict=True):
        try:
            _instance(tree, name, f"{project}/{own}", cluster)
        except PlacerError as error:
            faults.extend(named_faults(error, name, tree, instances))
    if faults:
        raise InputError(faults)
    return cluster.imported("Incus", instances, folder)


def _member(tree: LineMap, folder: Path, cluster: Platform) -> None:
    name, status = said(tree, "server_name") or "?", said(tree, "status")
    state = None
    if status == "Evacuated":
        state = "drain"
    elif status not in (None, "Online"):
        state = "failed"
        cluster.warnings.append(f"member {name} is {status}: it counts as failed, and its VMs have to go elsewhere")
    labels = {f"group:{group}": "true" for group in _texts(tree.get("groups")) if group != "default"}
    if (domain := said(tree, "failure_domain")) not in (None, "default"):
        labels["failure_domain"] = domain or ""
    path = folder / f"{name}.json"
    if "/" in name or not path.is_file():
        raise InputError(
            f"there are no resources of member {name!r}", file=str(folder), cure=f"save them as {name}.json"
        )
    told = load_objects(path)[0]
    threads: dict[str, set[int]] = {}
    cores = []
    for socket in listed(at(told, "cpu", "sockets")):
        for core in listed(socket.get("cores")):
            own = [one for one in listed(core.get("threads")) if said(one, "online") != "false"]
            if len(own) > 1:
                cores.append(format_cpuset({whole(said(one, "id")) for one in own}))
            for one in own:
                threads.setdefault(said(one, "numa_node") or "0", set()).add(whole(said(one, "id")))
    sizes = {said(one, "numa_node"): said(one, "total") for one in listed(at(told, "memory", "nodes"))}
    sizes = sizes or dict.fromkeys(threads, text_at(told, "memory", "total"))
    nodes = [
        {"id": node, "cpus": format_cpuset(cpus), "memory": f"{int(sizes.get(node) or 0) // _BYTES_PER_KIB}KiB"}
        for node, cpus in sorted(threads.items(), key=lambda item: int(item[0]))
    ]
    assumptions = ["distances of NUMA nodes are not told by Incus"] if len(nodes) > 1 else None
    made = {"nodes": nodes, "siblings": cores, "assumptions": assumptions}
    cluster.host(tree, name, state=state, labels=labels, **made)


def _texts(value: Any) -> Iterator[str]:
    return (str(item) for item in (value if isinstance(value, list) else ()))


def _instance(tree: LineMap, name: str, ident: str, cluster: Platform) -> None:
    config = at(tree, "expanded_config") or at(tree, "config") or {}
    container = said(tree, "type") == "container"
    running = said(tree, "status") in (None, "Running", "Frozen")
    host = said(tree, "location")
    # A server that is in no cluster calls its own place none.
    if host == "none" and len(cluster.hosts) == 1:
        (host,) = cluster.hosts
    if container and not running:
        return
    if host not in cluster.hosts:
        cluster.warnings.append(f"{name} is on member {host}, which is not in the inventory: left out")
        return
    cpus = said(config, "limits.cpu")
    pins: list[int] = []
    if cpus is not None and not cpus.isdigit():
        pins = sorted(parse_cpuset(cpus))
    if container and cpus is None:
        cluster.leave("a container without limits.cpu: its load", name)
        return
    vcpus = len(pins) or whole(cpus, 1)
    memory = said(config, "limits.memory") or _DEFAULT_MEMORY
    if memory.endswith("%"):
        cluster.leave(f"limits.memory of {memory}: its load", name)
        return
    keys: dict[str, Any] = {"vcpus": vcpus, "memory": f"{parse_kib(memory)}KiB", "cells": "none"}
    keys["cpu_policy"] = "dedicated" if pins and not container else "shared"
    if pins:
        keys["pins"] = (
            dict.fromkeys(map(str, range(vcpus)), format_cpuset(pins))
            if container
            else {str(vcpu): str(cpu) for vcpu, cpu in enumerate(pins)}
        )
    nodes = said(config, "limits.cpu.nodes")
    if nodes is not None and nodes != "balanced" and len(parse_cpuset(nodes)) == 1:
        keys["nodes"] = [str(min(parse_cpuset(nodes)))]
    if said(config, "limits.memory.hugepages") == "true":
        keys["page_size"] = "2MiB"
    keys["uuid"] = said(config, "volatile.uuid")
    labels = {"project": ident.partition("/")[0]}
    if container:
        labels["container"] = "true"
        keys.update(movable="false", movable_why=["a container: load that placer does not plan"], overhead="0KiB")
    elif running and said(config, "migration.stateful") != "true":
        keys.update(movable="cold", movable_why=["migration.stateful is not true"])
    cluster.vm(tree, name=name, manager_id=ident, host=host, labels=labels, running=None if running else False, **keys)
