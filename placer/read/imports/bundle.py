"""The tar that the collect script makes of one host: /sys, capabilities, domains live and saved, node devices."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from placer.errors import Fault, InputError, PlacerError
from placer.model.host import Device, Topology
from placer.read.domains.pages import pages_by_node
from placer.read.hosts.archive import ArchiveTree, regular_members
from placer.read.hosts.capabilities import parse_capabilities
from placer.read.hosts.host_settings import GATHERED, settings_of_files
from placer.read.hosts.nodedev import Mediated, parse_nodedev
from placer.read.hosts.security_keys import CAPACITY, resources_of_capacity
from placer.read.hosts.sysfs import read_sysfs
from placer.read.imports.gathered import GatheredDomain, GatheredHost
from placer.read.recognise import COMPRESSED, name_of
from placer.read.text.xml import parse_xml

FORMAT = "placer.collect/v1"
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"domains/([0-9A-Fa-f-]{32,36})\.(?:(live|saved)\.xml|(pages))")
_NODEDEV = re.compile(r"nodedevs/[0-9]+\.xml")
_HEADER_BYTES = 512
"""What a tar begins with: names and numbers, filled up with zeros."""
_DOWN = ("shut off", "crashed")


@dataclass(slots=True)
class _Files:
    """The members of a bundle below its one top folder."""

    texts: dict[str, bytes] = field(default_factory=dict)
    domains: dict[str, dict[str, bytes]] = field(default_factory=dict)
    nodedevs: dict[str, bytes] = field(default_factory=dict)
    has_sys: bool = False


def read_bundle(data: bytes, source: str, *, folder: str) -> GatheredHost:
    """Read one host from its tar.

    Parameters
    ----------
    data
        The bytes of the tar, plain or packed.
    source
        The name of the file in messages.
    folder
        Where the domain XML will stand, relative to the inventory: ``<folder>/<host>/<uuid>.xml``.

    Raises
    ------
    InputError
        Not a bundle, damaged, above the limits, or with files that cannot be read; all of them at once.
    """
    if b"\0" not in data[:_HEADER_BYTES] and not data.startswith(COMPRESSED):
        named = name_of(data)
        raise InputError(
            f"is {named[0] if named else 'text' if data.strip() else 'empty'}; a tar of placer collect belongs here",
            file=source,
            cure="files of a host by themselves: placer import libvirt --capabilities DIR --domains DIR",
        )
    found = _files(data, source)
    if found.texts.get("format", b"").strip() != FORMAT.encode():
        raise InputError(
            "this tar was not made by placer collect",
            file=source,
            cure="placer show reads the /sys of a host by itself",
        )
    name = found.texts.get("hostname", b"").decode("utf-8", "replace").strip()
    if not _HOST_NAME.fullmatch(name):
        raise InputError(f"the bundle gives {name[:80]!r} as the host's name", file=source)
    faults: list[Fault] = []
    warnings: list[str] = []
    topology, uuid = _topology(data, found, source, faults, warnings)
    devices = _devices(found, source, faults, warnings)
    if faults or topology is None:
        raise InputError(faults)
    if devices:
        kernel = {device.address: device for device in topology.devices}
        topology = replace(
            topology,
            devices=tuple(
                replace(
                    one,
                    group=known.group,
                    functions=one.functions or known.functions,
                    # How many functions there can be says nothing where the kernel lists those that are there.
                    count=len(one.functions or known.functions) or one.count,
                )
                if (known := kernel.get(one.address)) is not None
                else one
                for one in devices
            ),
        )
    return GatheredHost(
        name=name,
        topology=topology,
        source=source,
        uuid=uuid,
        domains=tuple(_domains(found, f"{folder}/{name}", source)),
        warnings=tuple(warnings),
        settings=settings_of_files(found.texts),
        resources=resources_of_capacity(found.texts.get(CAPACITY, b"")),
    )


def _files(data: bytes, source: str) -> _Files:
    found = _Files()
    for path, content in regular_members(data, source):
        _, _, inner = path.partition("/")
        if match := _DOMAIN.fullmatch(inner):
            found.domains.setdefault(match[1].lower(), {})[match[2] or match[3]] = content
        elif _NODEDEV.fullmatch(inner):
            found.nodedevs[inner] = content
        elif inner.startswith("sys/devices/system/cpu/"):
            found.has_sys = True
        elif inner in GATHERED or inner in ("format", "hostname", "capabilities.xml", "domains/states", CAPACITY):
            found.texts[inner] = content
    return found


def _topology(
    data: bytes, found: _Files, source: str, faults: list[Fault], warnings: list[str]
) -> tuple[Topology | None, str | None]:
    """Return the host and its UUID: the kernel's view, with what only libvirt tells added to it."""
    kernel = told = None
    uuid = None
    failed: list[Fault] = []
    try:
        kernel = read_sysfs(ArchiveTree(data, source)) if found.has_sys else None
    except PlacerError as error:
        failed.extend(error.faults)
    capabilities = found.texts.get("capabilities.xml")
    if capabilities is None:
        warnings.append("libvirt did not answer when the host was gathered: its domains are not known")
    else:
        inner = f"{source}!capabilities.xml"
        try:
            told = parse_capabilities(capabilities, inner)
            uuid = (parse_xml(capabilities, inner).findtext("host/uuid") or "").strip().lower() or None
        except PlacerError as error:
            failed.extend(error.faults)
    best = kernel or told
    if best is None:
        nothing = Fault(
            message="the bundle holds neither /sys nor capabilities", file=source, cure="gather the host again"
        )
        faults.extend(failed or [nothing])
        return None, None
    if not found.has_sys:
        warnings.append("the bundle holds no /sys: the host is known from its capabilities alone")
    warnings.extend(str(fault) for fault in failed)
    if kernel is not None and told is not None:
        if [(node.id, node.cpus) for node in kernel.nodes] != [(node.id, node.cpus) for node in told.nodes]:
            warnings.append("libvirt and the kernel tell different nodes or CPUs: the kernel's are taken")
        kvm = told.kvm if told.kvm is not None else kernel.kvm
        best = replace(kernel, kvm=kvm, arch=told.arch or kernel.arch, model=told.model or kernel.model)
    # What was free when the host was gathered says nothing of a plan, and would change with every gathering.
    nodes = tuple(replace(node, free_kib=None, free_pages={}) for node in best.nodes)
    return replace(best, nodes=nodes, source=None), uuid


def _devices(found: _Files, source: str, faults: list[Fault], warnings: list[str]) -> tuple[Device, ...]:
    """Return the devices that libvirt tells; of cards that could be cut in several ways a warning names them."""
    devices: list[Device] = []
    mediated = Mediated()
    for name, content in sorted(found.nodedevs.items()):
        try:
            device = parse_nodedev(content, f"{source}!{name}")
            mediated.add(content, f"{source}!{name}", device)
        except PlacerError as error:
            faults.extend(error.faults)
            continue
        if device is not None:
            devices.append(device)
    cut, said = mediated.devices()
    warnings.extend(said)
    sliced = {device.address for device in cut}
    devices = [device for device in devices if device.address not in sliced] + list(cut)
    return tuple(sorted(devices, key=lambda device: (device.address, device.kind)))


def _domains(found: _Files, folder: str, source: str) -> list[GatheredDomain]:
    states: dict[str, str] = {}
    for line in found.texts.get("domains/states", b"").decode("utf-8", "replace").splitlines():
        uuid, _, state = line.partition(" ")
        states[uuid.lower()] = state.strip()
    domains = []
    for uuid, xml in sorted(found.domains.items()):
        if xml.keys() == {"pages"}:
            continue  # it went away while the host was gathered
        live = xml.get("live")
        domains.append(
            GatheredDomain(
                xml=xml.get("saved", live or b""),
                path=f"{folder}/{uuid}.xml",
                source=f"{source}!domains/{uuid}.xml",
                live=live,
                running=states[uuid] not in _DOWN if uuid in states else live is not None,
                memory_on=pages_by_node(xml.get("pages", b"").decode("utf-8", "replace")),
            )
        )
    return domains
