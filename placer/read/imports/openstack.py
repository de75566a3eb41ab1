"""An OpenStack cloud as an inventory, from the JSON that the openstack client prints.

The API tells neither NUMA nodes nor what a host keeps for itself: host files join by name, and what is missing is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, PlacerError
from placer.read.hosts.host import read_topology
from placer.read.imports.entries import HostFiles, entry, imported, load_objects, said, unique_names
from placer.read.imports.gathered import Imported
from placer.read.imports.libvirt import RESERVE_NOTE
from placer.read.imports.openstack_flavors import Flavors, aggregate_wishes, properties
from placer.read.text.located import LineMap

_GONE = ("DELETED", "SOFT_DELETED")
_NOWHERE = ("SHELVED_OFFLOADED", "ERROR")
"""Without a host these wait for nobody: they are no VMs to be placed."""
_STOPPED = ("SHUTOFF", "SUSPENDED", "STOPPED", "RESCUED")
_RATIOS = {"cpu_allocation_ratio": "cpu", "ram_allocation_ratio": "memory"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenstackFiles:
    """The JSON files: ``openstack flavor list --long``, ``server list --long``, ``hypervisor list --long`` (all with
    ``-f json``); and, where there are any, ``server group list --long``, ``aggregate list --long`` (or ``aggregate
    show`` of each) and ``compute service list --long``."""

    flavors: Path
    servers: Path
    hypervisors: Path
    server_groups: Path | None = None
    aggregates: Sequence[Path] = ()
    services: Path | None = None


@dataclass(slots=True)
class _Cloud:
    """What was read, by what other files call it."""

    hosts: dict[str, LineMap] = field(default_factory=dict)
    flavors: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    ratios: dict[str, dict[str, str]] = field(default_factory=dict)
    services: dict[str, LineMap] = field(default_factory=dict)
    groups: dict[str, LineMap] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def import_openstack(files: OpenstackFiles, *, topology: Path | None, folder: Path) -> Imported:
    """Read a cloud.

    Parameters
    ----------
    files
        What the client printed.
    topology
        A folder of host files, ``<hypervisor hostname>.<anything>``; a hypervisor without one is taken as one node with
        its vCPUs and memory where the API still tells them, and is left out where it does not.
    folder
        Where the inventory will stand.

    Raises
    ------
    InputError
        A file is not what it should be, a flavor makes no sense, or a server's flavor is not there.
    """
    cloud = _Cloud()
    for tree in load_objects(files.flavors):
        for key in (said(tree, "ID"), said(tree, "Name")):
            if key is not None:
                cloud.flavors.setdefault(key, tree)
    for tree in load_objects(files.services) if files.services is not None else ():
        if (host := said(tree, "Host")) is not None and said(tree, "Binary") in (None, "nova-compute"):
            cloud.services[host] = tree
    for path in files.aggregates:
        for tree in load_objects(path):
            _aggregate(tree, cloud)
    for tree in load_objects(files.server_groups) if files.server_groups is not None else ():
        for member in _listed(tree.get("Members", tree.get("members"))):
            cloud.groups[member] = tree
    host_files = HostFiles(topology, folder)
    hosts = _hosts(load_objects(files.hypervisors), host_files, cloud)
    kinds, page = _devices_and_pages(hosts, folder)
    flavors = Flavors(kinds, page)
    vms = _servers(load_objects(files.servers), flavors, cloud, str(files.flavors))
    rules = _rules(vms, cloud)
    for what, names in sorted(flavors.left_behind.items()):
        cloud.warnings.append(f"{what} of flavor {', '.join(sorted(names))} is not carried over")
    if host_files.unused:
        cloud.warnings.append(f"no hypervisor is called like the host files {', '.join(host_files.unused)}")
    cloud.warnings.append("cpu_dedicated_set, cpu_shared_set and reserves of the hosts are not told: " + RESERVE_NOTE)
    return imported("OpenStack", files.servers, folder, hosts, vms, rules, cloud.warnings)


def _listed(value: Any) -> list[str]:
    """Return a list that older clients print as one text, ``a, b``."""
    parts = value if isinstance(value, list) else str(value).split(",") if value is not None else []
    return [str(part).strip() for part in parts if str(part).strip()]


def _aggregate(tree: LineMap, cloud: _Cloud) -> None:
    name = said(tree, "Name") or "?"
    hosts = _listed(tree.get("Hosts", tree.get("hosts")))
    if not hosts:
        cloud.warnings.append(
            f"aggregate {name} names no hosts: nothing of it is carried over (openstack aggregate show tells them)"
        )
    zone = said(tree, "Availability Zone", "availability_zone")
    told = properties(tree.get("Properties", tree.get("properties")))
    for host in hosts:
        labels = cloud.labels.setdefault(host, {})
        labels[f"aggregate:{name}"] = "true"
        if zone is not None:
            labels["zone"] = zone
        for key, value in told.items():
            if key in _RATIOS:
                cloud.ratios.setdefault(host, {})[_RATIOS[key]] = value
            elif key != "availability_zone" and value:
                labels[key] = value


def _by_name(found: Mapping[str, Any], name: str) -> Any:
    """Return what stands under a host's name; Nova's host may be the short form of the hypervisor's name."""
    if name in found:
        return found[name]
    short = name.partition(".")[0]
    near = [key for key in found if key.partition(".")[0] == short]
    return found[near[0]] if len(near) == 1 and ("." in name) != ("." in near[0]) else None


def _hosts(hypervisors: Sequence[LineMap], files: HostFiles, cloud: _Cloud) -> list[LineMap]:
    flat, unknown = [], []
    for tree in hypervisors:
        name = said(tree, "Hypervisor Hostname", "hypervisor_hostname")
        if name is None:
            continue
        service = _by_name(cloud.services, name) or {}
        labels = dict(_by_name(cloud.labels, name) or {})
        if (zone := said(service, "Zone")) is not None:
            labels.setdefault("zone", zone)
        state = None
        if said(service, "Status") == "disabled":
            state = "drain"
        if "down" in (said(tree, "State"), said(service, "State")):
            cloud.warnings.append(f"host {name} is down: it counts as failed, and its VMs have to go elsewhere")
            state = "failed"
        keys: dict[str, Any] = {
            "name": name,
            "state": state,
            "labels": labels,
            "overcommit": _by_name(cloud.ratios, name),
        }
        file = files.find(name)
        vcpus, memory = said(tree, "vCPUs", "vcpus"), said(tree, "Memory MB", "memory_mb")
        if file is not None:
            keys["topology"] = file
        elif vcpus is not None and memory is not None and vcpus.isdigit() and vcpus != "0":
            flat.append(name)
            keys["nodes"] = [{"id": "0", "cpus": f"0-{int(vcpus) - 1}", "memory": f"{memory}MiB"}]
            keys["assumptions"] = ["no NUMA nodes are told by OpenStack: one node is assumed"]
        else:
            unknown.append(name)
            continue
        made = entry(**keys)
        made.line = tree.line
        cloud.hosts[name] = made
    if flat:
        cloud.warnings.append(f"no host file for {', '.join(flat)}: one NUMA node is assumed; give --topology DIR")
    if unknown:
        cloud.warnings.append(
            f"no host file for {', '.join(unknown)}, and the API does not tell its CPUs: left out with its VMs"
        )
    return list(cloud.hosts.values())


def _devices_and_pages(hosts: Sequence[LineMap], folder: Path) -> tuple[frozenset[str], int | None]:
    """Return the kinds of devices that host files tell, and the largest huge page of which a host has a pool."""
    kinds: set[str] = set()
    pages: set[int] = set()
    for path in {host["topology"] for host in hosts if "topology" in host}:
        try:
            topology = read_topology(folder / path)
        except PlacerError:
            continue  # told when the inventory is put together
        kinds |= {device.kind for device in topology.devices}
        pages |= {size for node in topology.nodes for size in node.pages}
    return frozenset(kinds), max(pages, default=None)


def _servers(servers: Sequence[LineMap], flavors: Flavors, cloud: _Cloud, flavors_file: str) -> list[LineMap]:
    kept = [tree for tree in servers if (said(tree, "Status") or "").upper() not in _GONE]
    idle = [tree for tree in kept if _host(tree) is None and (said(tree, "Status") or "").upper() in _NOWHERE]
    if idle:
        cloud.warnings.append(f"{len(idle)} servers without a host, shelved or in error, are left out")
        kept = [tree for tree in kept if tree not in idle]
    names = unique_names([(said(tree, "Name") or "server", said(tree, "ID") or "?") for tree in kept])
    made: list[LineMap] = []
    faults: list[Fault] = []
    entries: dict[str, dict[str, Any] | None] = {}
    left: Counter[str] = Counter()
    for tree, name in zip(kept, names, strict=True):
        key = next((one for one in _flavor_names(tree) if one in cloud.flavors), None)
        if key is None:
            wanted = next(iter(_flavor_names(tree)), "?")
            faults.append(
                Fault(
                    message=f"server {name!r} has the flavor {wanted!r}, which is not in {flavors_file}", line=tree.line
                )
            )
            continue
        if key not in entries:
            try:
                entries[key] = flavors.entry(cloud.flavors[key])
            except PlacerError as error:
                entries[key] = None
                faults.extend(
                    Fault(message=fault.message, file=flavors_file, cure=fault.cure) for fault in error.faults
                )
        keys = entries[key]
        host = _host(tree)
        where = _by_name(cloud.hosts, host) if host is not None else None
        if keys is None:
            continue
        if host is not None and where is None:
            left[host] += 1
            continue
        status = (said(tree, "Status") or "").upper()
        labels = dict(keys["labels"])
        if (group := cloud.groups.get(said(tree, "ID") or "")) is not None:
            labels["server_group"] = said(group, "ID") or said(group, "Name") or "?"
        own = {
            **keys,
            "name": name,
            "uuid": said(tree, "ID"),
            "labels": labels,
            "host": where["name"] if where else None,
        }
        if status in _STOPPED:
            own["running"] = False
        one = entry(**own)
        one.line = tree.line
        made.append(one)
    if faults:
        raise InputError(faults)
    for host, count in sorted(left.items()):
        cloud.warnings.append(f"{count} servers on host {host}, which is not in the inventory, are left out")
    if any(said(tree, "Availability Zone") for tree in kept):
        cloud.warnings.append("whether a server asked for its availability zone is not told: no rule keeps it there")
    return made


def _host(tree: LineMap) -> str | None:
    return said(tree, "Host", "OS-EXT-SRV-ATTR:host")


def _flavor_names(tree: LineMap) -> list[str]:
    told = [said(tree, "Flavor ID", "flavor_id"), said(tree, "Flavor Name", "Flavor", "flavor")]
    inner = tree.get("Flavor", tree.get("flavor"))
    if isinstance(inner, LineMap):
        told += [said(inner, "id"), said(inner, "original_name", "name")]
    return [one for one in told if one is not None]


def _rules(vms: Sequence[LineMap], cloud: _Cloud) -> list[LineMap]:
    rules: list[LineMap] = []
    used = {vm["labels"].get("server_group") for vm in vms}
    seen: set[str] = set()
    for group in cloud.groups.values():
        ident = said(group, "ID") or said(group, "Name") or "?"
        if ident in seen or ident not in used:
            continue
        seen.add(ident)
        policy = said(group, "Policy", "Policies") or ", ".join(_listed(group.get("Policies", group.get("policies"))))
        name = said(group, "Name") or ident
        if policy not in ("affinity", "anti-affinity"):
            cloud.warnings.append(f"server group {name}: its policy {policy!r} is a wish, not a rule: not carried over")
            continue
        told = properties(group.get("Rules", group.get("rules")))
        most = told.get("max_server_per_host") if policy == "anti-affinity" else None
        kind = policy.replace("-", "_")
        rules.append(entry(**{kind: {"server_group": ident}, "scope": "host", "max_per": most, "name": name}))
    flavors = {vm["labels"]["flavor"] for vm in vms}
    for tree in {id(flavor): flavor for flavor in cloud.flavors.values()}.values():
        name, wishes = said(tree, "Name") or said(tree, "ID") or "?", aggregate_wishes(tree)
        if not wishes or name not in flavors:
            continue
        if any(
            all(host.get("labels", {}).get(key) == value for key, value in wishes.items())
            for host in cloud.hosts.values()
        ):
            rules.append(entry(within={"flavor": name}, hosts=wishes))
        else:
            cloud.warnings.append(
                f"flavor {name} wants aggregates with {wishes}, and no host is known to be in one: not carried over"
            )
    return rules
