"""A Proxmox VE cluster as an inventory: ``pvesh get /cluster/resources`` and the configuration of each VM.

Sources: the manual of qm.conf(5), Proxmox VE 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, PlacerError
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.units import KIB_PER_MIB, count, format_kib
from placer.read.hosts.host import read_file, read_topology
from placer.read.imports.entries import HostFiles, entry, imported, load_objects, said, unique_names
from placer.read.imports.gathered import Imported
from placer.read.imports.libvirt import RESERVE_NOTE
from placer.read.imports.proxmox_ha import YES, ha_rule_entries
from placer.read.text.located import LineMap
from placer.read.text.text import text_lines

_LINE = re.compile(r"([a-z][a-z0-9_]*):\s*(.*?)\s*")
_NUMA = re.compile(r"numa[0-9]+")
_HOST_DEVICE = re.compile(r"hostpci[0-9]+")
_DEFAULT_MEMORY_MIB = 512
_KNOWN = frozenset(
    {"name", "cores", "sockets", "memory", "numa", "vcpus", "affinity", "hugepages", "kvm", "smbios1", "tags"}
)
"""Keys that are carried over, beside numaN and hostpciN."""
_OF_NO_PLACE = re.compile(
    r"(?:scsi|virtio|virtiofs|ide|sata|net|efidisk|tpmstate|usb|serial|parallel|unused|audio|ipconfig|rng)[0-9]+"
    r"|boot|bootdisk|cdrom|scsihw|ostype|agent|onboot|autostart|startup|description|digest|meta|vmgenid|vga|bios|acpi"
    r"|tablet|keyboard|localtime|protection|lock|parent|snaptime|nameserver|searchdomain|ci[a-z]+|sshkeys|watchdog"
    r"|hotplug|freeze|reboot|spice_enhancements|startdate|tdf|migrate_[a-z]+|vmstate[a-z]*|running[a-z]*"
)
"""Keys that say nothing of CPUs, memory or where a VM may be."""
_NAMES_SHOWN = 5


@dataclass(slots=True)
class _Cluster:
    """What was read, and what of it is left behind: key to VM names."""

    hosts: dict[str, LineMap] = field(default_factory=dict)
    topologies: dict[str, frozenset[int]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def leave(self, what: str, name: str) -> None:
        self.left.setdefault(what, []).append(name)


def import_proxmox(
    *, resources: Path, configs: Path, topology: Path | None, folder: Path, ha_rules: Path | None = None
) -> Imported:
    """Read a cluster.

    Parameters
    ----------
    resources
        ``pvesh get /cluster/resources --output-format json``.
    configs
        A folder with ``<vmid>.conf`` of each VM: the files of ``/etc/pve/qemu-server``, the output of ``qm config``, or
        the JSON of ``pvesh get /nodes/<node>/qemu/<vmid>/config`` as ``<vmid>.json``.
    topology
        A folder of host files, ``<node>.<anything>``; a node without one is taken as one NUMA node with its CPUs and
        memory.
    folder
        Where the inventory will stand.
    ha_rules
        ``pvesh get /cluster/ha/rules --output-format json`` (Proxmox VE 9).

    Raises
    ------
    InputError
        A file is not what it should be, a VM has no configuration, or its cells do not add up.
    """
    cluster = _Cluster()
    listed = load_objects(resources)
    files = HostFiles(topology, folder)
    flat = []
    for tree in listed:
        if said(tree, "type") == "node" and (name := said(tree, "node")) is not None:
            flat += _host(name, tree, files, cluster, folder)
    if flat:
        cluster.warnings.append(f"no host file for {', '.join(flat)}: one NUMA node is assumed; give --topology DIR")
    if files.unused:
        cluster.warnings.append(f"no node is called like the host files {', '.join(files.unused)}")
    vms = _vms([tree for tree in listed if said(tree, "type") == "qemu"], configs, cluster)
    vms += _containers([tree for tree in listed if said(tree, "type") == "lxc"], {vm["name"] for vm in vms}, cluster)
    rules: list[LineMap] = []
    if ha_rules is not None:
        rules = ha_rule_entries(load_objects(ha_rules), vms, cluster.hosts, cluster.warnings)
    for what, names in sorted(cluster.left.items()):
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        cluster.warnings.append(f"{what} of VM {', '.join(sorted(names)[:_NAMES_SHOWN])}{more} is not carried over")
    if ha_rules is None and any(said(tree, "hastate") for tree in listed):
        cluster.warnings.append("HA groups and rules are not in these files: not carried over; see --ha-rules")
    cluster.warnings.append(RESERVE_NOTE)
    return imported("Proxmox VE", resources, folder, list(cluster.hosts.values()), vms, rules, cluster.warnings)


def _host(name: str, tree: LineMap, files: HostFiles, cluster: _Cluster, folder: Path) -> list[str]:
    """Add a host; return its name if nothing tells its nodes."""
    state = None
    if said(tree, "status") not in (None, "online"):
        state = "failed"
        cluster.warnings.append(
            f"node {name} is {said(tree, 'status')}: it counts as failed, and its VMs have to go elsewhere"
        )
    file = files.find(name)
    if file is not None:
        made = entry(name=name, topology=file, state=state)
        try:
            cluster.topologies[name] = read_topology(folder / file).cpus
        except PlacerError:
            cluster.topologies[name] = frozenset()  # told when the inventory is put together
    else:
        cpus, memory = _up(said(tree, "maxcpu")), said(tree, "maxmem") or ""
        if not (memory.isdigit() and 0 < cpus < 10**5):
            cluster.warnings.append(
                f"node {name} tells neither CPUs nor memory, as one that is offline: left out with its VMs"
            )
            return []
        nodes = [{"id": "0", "cpus": f"0-{cpus - 1}", "memory": f"{int(memory) // 1024}KiB"}]
        assumptions = ["no NUMA nodes are told by Proxmox: one node is assumed"]
        made = entry(name=name, nodes=nodes, assumptions=assumptions, state=state)
        cluster.topologies[name] = frozenset(range(cpus))
    made.line = tree.line
    cluster.hosts[name] = made
    return [] if file is not None else [name]


def _up(text: str | None) -> int:
    """Return a number of CPUs rounded up; 0 where it is none."""
    found = re.fullmatch(r"([0-9]{1,6})(?:\.([0-9]{1,20}))?", text or "")
    return 0 if found is None else int(found[1]) + (int(found[2] or 0) > 0)


def _vms(listed: Sequence[LineMap], configs: Path, cluster: _Cluster) -> list[LineMap]:
    templates = [tree for tree in listed if said(tree, "template") in YES]
    if templates:
        cluster.warnings.append(f"{count(len(templates), 'template')} left out: they never run")
    kept = [tree for tree in listed if tree not in templates]
    names = unique_names(
        [(said(tree, "name") or f"vm{said(tree, 'vmid')}", said(tree, "vmid") or "?") for tree in kept]
    )
    made: list[LineMap] = []
    faults: list[Fault] = []
    gone: dict[str, int] = {}
    for tree, name in zip(kept, names, strict=True):
        node = said(tree, "node") or "?"
        if node not in cluster.hosts:
            gone[node] = gone.get(node, 0) + 1
            continue
        try:
            config, file = _config(configs, said(tree, "vmid") or "?")
            keys = _vm(config, name, file, node, cluster)
        except PlacerError as error:
            faults.extend(error.faults)
            continue
        labels = {"pool": said(tree, "pool")} if said(tree, "pool") else {}
        tags = (said(tree, "tags") or config.get("tags", "")).replace(",", ";")
        labels.update({f"tag:{tag.strip()}": "true" for tag in tags.split(";") if tag.strip()})
        running = None if said(tree, "status") in (None, "running", "paused") else False
        one = entry(name=name, manager_id=said(tree, "vmid"), host=node, labels=labels, running=running, **keys)
        one.line = tree.line
        made.append(one)
    if faults:
        raise InputError(faults)
    for node, many in sorted(gone.items()):
        cluster.warnings.append(f"{count(many, 'VM')} on node {node}, which is not in the inventory, left out")
    return made


def _containers(listed: Sequence[LineMap], taken: set[str], cluster: _Cluster) -> list[LineMap]:
    """Return running containers as load that does not move: CPUs and memory that are gone, on no node of the host."""
    made: list[LineMap] = []
    bare = 0
    for tree in listed:
        # A limit on CPU time may be a part of a CPU.
        cpus, memory, node = _up(said(tree, "maxcpu")), said(tree, "maxmem") or "", said(tree, "node")
        if node not in cluster.hosts or said(tree, "status") not in (None, "running") or said(tree, "template") in YES:
            continue
        if not (memory.isdigit() and 0 < cpus < 10**5):
            bare += 1
            continue
        vmid = said(tree, "vmid") or "?"
        name = said(tree, "name") or f"ct{vmid}"
        one = entry(
            name=f"{name}/{vmid}" if name in taken else name,
            manager_id=vmid,
            host=node,
            vcpus=cpus,
            memory=f"{int(memory) // 1024}KiB",
            overhead="0KiB",
            cells="none",
            cpu_policy="shared",
            labels={"container": "true"} | ({"pool": said(tree, "pool")} if said(tree, "pool") else {}),
            movable="false",
            movable_why=["a container: load that placer does not plan"],
        )
        one.line = tree.line
        taken.add(one["name"])
        made.append(one)
    if bare:
        cluster.warnings.append(f"{count(bare, 'container')} without known CPUs or memory left out, and so their load")
    if made:
        many = count(len(made), "container")
        cluster.warnings.append(f"{many} counted as load that does not move, on no known node of a host")
    return made


def _config(folder: Path, vmid: str) -> tuple[dict[str, str], str]:
    """Return the configuration of a VM: its current section, without snapshots and pending changes."""
    for ending in ("conf", "json", "txt"):
        path = folder / f"{vmid}.{ending}"
        if not vmid.isdigit() or not path.is_file():
            continue
        if ending == "json":
            found = load_objects(path)
            if len(found) != 1:
                raise InputError("this is not the configuration of one VM", file=str(path))
            return {key: value for key, value in found[0].items() if isinstance(value, str)}, str(path)
        config: dict[str, str] = {}
        for number, line in enumerate(text_lines(read_file(path, str(path)), str(path)), start=1):
            if line.startswith("["):
                break
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise InputError(f"{line[:60]!r} is no line of a VM's configuration", file=str(path), line=number)
            config[match[1]] = match[2]
        return config, str(path)
    raise InputError(
        f"there is no configuration of VM {vmid}", file=str(folder), cure=f"save qm config {vmid} as {vmid}.conf"
    )


def _options(text: str) -> tuple[str | None, dict[str, str]]:
    """Return the first word that has no key, and the options of ``a,key=value,key=value``."""
    first, options = None, {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if equals:
            options[key.strip()] = value.strip()
        elif first is None:
            first = part.strip()
    return first, options


def _vm(config: Mapping[str, str], name: str, file: str, node: str, cluster: _Cluster) -> dict[str, Any]:
    """Return the keys of a VM's entry but those that only the cluster tells."""
    cores, sockets = _whole(config, "cores", 1, file), _whole(config, "sockets", 1, file)
    first, options = _options(config.get("memory", str(_DEFAULT_MEMORY_MIB)))
    memory_mib = _whole({"memory": first or options.get("current", "")}, "memory", _DEFAULT_MEMORY_MIB, file)
    vcpus = cores * sockets
    keys: dict[str, Any] = {"vcpus": vcpus, "memory": f"{memory_mib}MiB", "cpu_policy": "shared", "cells": "none"}
    if (current := _whole(config, "vcpus", vcpus, file)) < vcpus:
        keys["vcpus_current"] = current
    if config.get("kvm") == "0":
        keys["kvm"] = False
    keys["uuid"] = _options(config.get("smbios1", ""))[1].get("uuid")
    if (pages := config.get("hugepages")) is not None:
        keys["page_size"] = _page(pages, memory_mib, name, cluster)
    if config.get("numa") == "1":
        keys.update(_cells(config, sockets, vcpus, memory_mib, name, file, cluster))
    if (affinity := config.get("affinity")) is not None:
        _pin(keys, affinity, vcpus, name, file, cluster.topologies[node], cluster)
    devices = sorted(key for key in config if _HOST_DEVICE.fullmatch(key))
    if devices:
        keys.update(movable="cold", movable_why=[f"host device {config[key].split(',')[0]}" for key in devices])
    for key in config:
        taken = key in _KNOWN or _HOST_DEVICE.fullmatch(key) or (_NUMA.fullmatch(key) and config.get("numa") == "1")
        if not taken and not _OF_NO_PLACE.fullmatch(key):
            cluster.leave(key, name)
    return keys


def _page(text: str, memory_mib: int, name: str, cluster: _Cluster) -> str | None:
    if text == "any":
        # Proxmox takes 1 GiB pages where the memory is whole in them, else 2 MiB.
        size = KIB_PER_MIB * (1024 if memory_mib % 1024 == 0 else 2)
        cluster.leave(f"hugepages: any (planned on pages of {format_kib(size)})", name)
        return format_kib(size)
    return f"{text}MiB"


def _numa_entries(config: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    for key in sorted((key for key in config if _NUMA.fullmatch(key)), key=lambda key: int(key[4:])):
        yield key, _options(config[key])[1]


def _cells(
    config: Mapping[str, str], sockets: int, vcpus: int, memory_mib: int, name: str, file: str, cluster: _Cluster
) -> dict[str, Any]:
    """Return the guest's cells and where their memory is bound; without numaN Proxmox gives one cell a socket."""
    cells: list[dict[str, str]] = []
    bound: list[str] = []
    for key, options in _numa_entries(config):
        cpus = _list(options.get("cpus", ""), key, file)
        memory = _whole(options, "memory", 0, file)
        cells.append({"cpus": format_cpuset(cpus), "memory": f"{memory}MiB"})
        nodes = _list(options.get("hostnodes", ""), key, file)
        policy = options.get("policy", "preferred")
        if len(nodes) == 1 and policy == "bind":
            bound.append(str(min(nodes)))
        elif nodes:
            cluster.leave(f"{key} (policy {policy} on host nodes {format_cpuset(nodes)})", name)
    if not cells:
        return {"cells": str(sockets)}
    keys: dict[str, Any] = {"cells": cells}
    if len(bound) == len(cells):
        keys["memory_nodes"] = bound
    return keys


def _pin(
    keys: dict[str, Any], text: str, vcpus: int, name: str, file: str, there: frozenset[int], cluster: _Cluster
) -> None:
    """Note the CPUs that all threads of the VM float over."""
    cpus = _list(text, "affinity", file)
    if lacking := cpus - there:
        cluster.leave(f"affinity to CPUs {format_cpuset(lacking)}, which its node lacks,", name)
    if cpus & there:
        keys["pins"] = {str(vcpu): format_cpuset(cpus & there) for vcpu in range(vcpus)}


def _list(text: str, what: str, file: str) -> frozenset[int]:
    """Return a list of CPUs or nodes; numaN separates ranges by semicolons, for commas separate its options."""
    try:
        return parse_cpuset(text.replace(";", ","))
    except PlacerError as error:
        raise InputError(f"{what}: {error.faults[0].message}", file=file) from None


def _whole(config: Mapping[str, str], key: str, default: int, file: str) -> int:
    text = config.get(key, "")
    if not text:
        return default
    number = text.partition(".")
    if not (number[0].isascii() and number[0].isdigit() and len(number[0]) < 10 and number[2].strip("0") == ""):
        raise InputError(f"{key} is {text!r}, not a whole number", file=file)
    return int(number[0])
