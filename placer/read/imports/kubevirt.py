"""A KubeVirt cluster as an inventory: nodes, running VMs and, where there are any, NodeResourceTopologies.

Sources: the Kubernetes API (v1 Node), KubeVirt's API (kubevirt.io/v1), the noderesourcetopology-api (v1alpha2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, PlacerError
from placer.model.units import count
from placer.read.imports.entries import HostFiles, entry, load_objects, said, unique_names
from placer.read.imports.gathered import Imported
from placer.read.imports.platform import (
    MOST_CPUS,
    Platform,
    at,
    counted,
    flat_node,
    listed,
    named_faults,
    quantity,
    text_at,
    whole,
)
from placer.read.text.located import LineMap

_HOSTNAME = "kubernetes.io/hostname"
_ZONES = {"topology.kubernetes.io/zone": "zone", "topology.kubernetes.io/region": "region"}
_OVER = ("Succeeded", "Failed")
_KIB = 1024


def import_kubevirt(objects: Sequence[Path], *, topology: Path | None, folder: Path) -> Imported:
    """Read a cluster.

    Parameters
    ----------
    objects
        What ``kubectl get nodes,vmi,noderesourcetopologies --all-namespaces -o json`` prints, in one file or several.
    topology
        A folder of host files, ``<node>.<anything>``. A node without one is what its NodeResourceTopology tells, or one
        NUMA node.
    folder
        Where the inventory will stand.

    Raises
    ------
    InputError
        A file is not what it should be, or a VM contradicts itself.
    """
    cluster = Platform(HostFiles(topology, folder))
    kinds: dict[str, list[LineMap]] = {}
    files: dict[int, Path] = {}
    for path in objects:
        for tree in load_objects(path):
            for one in listed(tree["items"]) if "items" in tree else [tree]:
                kinds.setdefault(said(one, "kind") or "?", []).append(one)
                files[id(one)] = path
    zones = {text_at(one, "metadata", "name") or "?": one for one in kinds.pop("NodeResourceTopology", [])}
    flat, faults = [], []
    for one in kinds.pop("Node", []):
        name = text_at(one, "metadata", "name") or "?"
        try:
            flat += [name] if _node(one, name, zones, cluster) else []
        except InputError as error:
            faults += named_faults(error, name, one, files[id(one)], "node")
    if flat:
        cluster.warnings.append(f"no NUMA nodes are told of {', '.join(flat)}: one is assumed; give --topology DIR")
    faults += _vms(kinds.pop("VirtualMachineInstance", []), files, cluster)
    if faults:
        raise InputError(faults)
    # VirtualMachines say what their instances are made from; only what runs takes anything.
    kinds.pop("VirtualMachine", None)
    for kind, found in sorted(kinds.items()):
        cluster.warnings.append(f"{len(found)} objects of kind {kind} are not carried over")
    cluster.warnings.append("pods that are no VMs are not in these files: reserve for them")
    return cluster.imported("KubeVirt", Path(objects[0]), folder)


def _labels(tree: LineMap, *path: str) -> dict[str, str]:
    """Return labels, or what a selection by labels asks for. One called ``name`` would stand before an object's own."""
    found = at(tree, *path)
    told = found.items() if isinstance(found, Mapping) else ()
    return {"label:name" if key == "name" else key: value for key, value in told if isinstance(value, str)}


def _node(tree: LineMap, name: str, zones: Mapping[str, LineMap], cluster: Platform) -> bool:
    """Add a node; tell whether nothing tells its NUMA nodes."""
    labels = _labels(tree, "metadata", "labels")
    told = {short: labels[key] for key, short in _ZONES.items() if labels.get(key)}
    told |= {key: value for key, value in labels.items() if key not in _ZONES and "kubernetes.io/" not in key and value}
    state = "drain" if text_at(tree, "spec", "unschedulable") == "true" else None
    ready = [one for one in listed(at(tree, "status", "conditions")) if said(one, "type") == "Ready"]
    if ready and said(ready[0], "status") != "True":
        state = "failed"
        cluster.warnings.append(f"node {name} is not ready: it counts as failed, and its VMs have to go elsewhere")
    cpus = whole(text_at(tree, "status", "capacity", "cpu"))
    memory = quantity(text_at(tree, "status", "capacity", "memory")) or 0
    if not 0 < cpus < MOST_CPUS:
        cluster.warnings.append(f"node {name} does not tell its CPUs: left out with its VMs")
        return False
    keys = _zones(zones[name]) if name in zones else {}
    cluster.host(tree, name, state=state, labels=told, **(keys or flat_node(cpus, memory // _KIB)))
    return not keys and "topology" not in cluster.hosts[name]


def _zones(tree: LineMap) -> dict[str, Any]:
    """Return the nodes and distances that a NodeResourceTopology tells; CPUs are numbered one node after the other."""
    nodes: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    first = 0
    zones = [zone for zone in listed(tree.get("zones")) if said(zone, "type") == "Node"]
    for zone in zones:
        name = said(zone, "name") or ""
        number = name.rpartition("-")[2]
        have = {said(one, "name"): quantity(said(one, "capacity")) for one in listed(zone.get("resources"))}
        cpus = have.get("cpu") or 0
        if not number.isdigit() or not 0 < cpus < MOST_CPUS:
            return {}
        node: dict[str, Any] = {"id": number, "cpus": f"{first}-{first + cpus - 1}"}
        node["memory"] = f"{(have.get('memory') or 0) // _KIB}KiB"
        pages = {key: have[key] or 0 for key in have if key is not None and key.startswith("hugepages-")}
        node["pages"] = {
            f"{size // _KIB}KiB": str(total // size)
            for key, total in pages.items()
            if (size := quantity(key.removeprefix("hugepages-")) or 0) and total
        }
        node["pages"] = node["pages"] or None
        nodes.append({key: value for key, value in node.items() if value is not None})
        numbers[name] = len(numbers)
        first += cpus
    order = sorted(range(len(zones)), key=lambda place: int(nodes[place]["id"]))
    costs = [{said(one, "name"): said(one, "value") for one in listed(zone.get("costs"))} for zone in zones]
    names = list(numbers)
    rows = [[costs[row].get(names[column]) for column in order] for row in order]
    made: dict[str, Any] = {"nodes": [nodes[place] for place in order]}
    if all(all(row) for row in rows):
        made["distances"] = rows
    made["assumptions"] = ["CPU numbers and cores are not told by NodeResourceTopology: numbered node after node"]
    return made if nodes else {}


def _vms(listing: Sequence[LineMap], files: Mapping[int, Path], cluster: Platform) -> list[Fault]:
    """Add the VMs that run or shall; return what is wrong with some."""
    running = [one for one in listing if text_at(one, "status", "phase") not in _OVER]
    keys = [(_meta(one, "name"), f"{_meta(one, 'namespace')}/{_meta(one, 'name')}") for one in running]
    names = [name if name == key[0] else key[1] for name, key in zip(unique_names(keys), keys, strict=True)]
    faults: list[Fault] = []
    gone: dict[str, int] = {}
    for tree, name, (_, ident) in zip(running, names, keys, strict=True):
        node = text_at(tree, "status", "nodeName")
        if node is not None and node not in cluster.hosts:
            gone[node] = gone.get(node, 0) + 1
            continue
        try:
            keys_of = _vm(tree, name, cluster)
        except PlacerError as error:
            faults.extend(named_faults(error, name, tree, files[id(tree)]))
            continue
        told = _labels(tree, "metadata", "labels")
        labels = {key: value for key, value in told.items() if "kubevirt.io/" not in key and value}
        labels["namespace"] = _meta(tree, "namespace")
        cluster.vm(tree, name=name, manager_id=ident, host=node, labels=labels, **keys_of)
        _rules(tree, name, labels, cluster)
    for node, many in sorted(gone.items()):
        cluster.warnings.append(f"{count(many, 'VM')} on node {node}, which is not in the inventory, left out")
    return faults


def _meta(tree: LineMap, key: str) -> str:
    return text_at(tree, "metadata", key) or ("default" if key == "namespace" else "?")


def _vm(tree: LineMap, name: str, cluster: Platform) -> dict[str, Any]:
    """Return the keys of a VM's entry that its domain tells."""
    domain = at(tree, "spec", "domain")
    cpu = at(domain, "cpu")
    vcpus = 1
    for level in ("cores", "sockets", "threads"):
        vcpus *= counted(cpu, level)
    # What is not said is what is asked for, else what it is limited to.
    asked: dict[str, Any] = {}
    for key in ("limits", "requests"):
        told = at(domain, "resources", key)
        if told is not None and not isinstance(told, Mapping):
            raise InputError(f"resources.{key} is no mapping")
        asked.update(told or {})
    if cpu is None:
        vcpus = quantity(text_at(asked, "cpu")) or 1
    memory = quantity(text_at(domain, "memory", "guest")) or quantity(text_at(asked, "memory"))
    if memory is None:
        raise InputError("it does not tell its memory")
    dedicated = text_at(cpu, "dedicatedCpuPlacement") == "true"
    passed_on = at(cpu, "numa", "guestMappingPassthrough") is not None
    page = quantity(text_at(domain, "memory", "hugepages", "pageSize"))
    keys: dict[str, Any] = {
        "uuid": text_at(domain, "firmware", "uuid"),
        "vcpus": vcpus,
        "memory": f"{memory // _KIB}KiB",
        "cells": "auto" if passed_on else "none",
        "cpu_policy": "dedicated" if dedicated else "shared",
        "page_size": None if page is None else f"{page // _KIB}KiB",
    }
    if text_at(cpu, "isolateEmulatorThread") == "true":
        keys["emulator_threads"] = "isolate"
    for one in listed(at(tree, "status", "conditions")):
        if said(one, "type") == "LiveMigratable" and said(one, "status") == "False":
            keys.update(movable="cold", movable_why=[said(one, "message", "reason") or "not live-migratable"])
    if at(domain, "devices", "hostDevices") or at(domain, "devices", "gpus"):
        cluster.leave("host devices", name)
    return keys


def _rules(tree: LineMap, name: str, labels: Mapping[str, str], cluster: Platform) -> None:
    """Carry over where the VM may be: its node selector, and pods that it must not be beside."""
    selector = _labels(tree, "spec", "nodeSelector")
    if (host := selector.pop(_HOSTNAME, None)) in cluster.hosts:
        cluster.rules.append(entry(within={"name": name}, hosts={"name": host}))
    elif host is not None:
        cluster.leave(f"a node selector for {host}, which is not there,", name)
    selector = {key: value for key, value in selector.items() if "kubernetes.io/" not in key or key in _ZONES}
    wanted = {_ZONES.get(key, key): value for key, value in selector.items()}
    if wanted:
        if any(
            all((host.get("labels") or {}).get(key) == value for key, value in wanted.items())
            for host in cluster.hosts.values()
        ):
            cluster.rules.append(entry(within={"name": name}, hosts=wanted))
        else:
            cluster.leave(f"node selector {', '.join(f'{key}={value}' for key, value in wanted.items())}", name)
    hard = "requiredDuringSchedulingIgnoredDuringExecution"
    for term in listed(at(tree, "spec", "affinity", "podAntiAffinity", hard)):
        told = _labels(term, "labelSelector", "matchLabels")
        scope = {_HOSTNAME: "host", **_ZONES}.get(said(term, "topologyKey") or "")
        if scope is None or not told or at(term, "labelSelector", "matchExpressions") is not None:
            cluster.leave("an anti-affinity", name)
            continue
        namespace = labels["namespace"]
        rule = entry(anti_affinity={**told, "namespace": namespace}, scope=scope)
        if rule not in cluster.rules and all(labels.get(key) == value for key, value in told.items()):
            cluster.rules.append(rule)
    if at(tree, "spec", "affinity", "nodeAffinity") is not None:
        cluster.leave("node affinity", name)
