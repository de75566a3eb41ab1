"""Libvirt hosts as an inventory: from folders of capabilities and domain XML, or from tars of the collect script."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from placer.errors import Fault, InputError, PlacerError
from placer.model.units import count
from placer.read.hosts.host import parse_topology, read_file
from placer.read.imports.build import build_fleet
from placer.read.imports.bundle import read_bundle
from placer.read.imports.gathered import GatheredDomain, GatheredHost, Imported
from placer.read.text.xml import parse_xml

_HAS_ID = re.compile(rb"<domain\b[^>]*\sid\s*=")
_PACKED = re.compile(r"(?:\.tar)?\.[^.]*$")
_HEAD_BYTES = 4096
RESERVE_NOTE = "no host says what it keeps for itself: add a reserve to each, or the plan takes all of it"


def import_libvirt(
    *,
    capabilities: Path | None = None,
    domains: Path | None = None,
    bundles: Sequence[Path] = (),
    folder: Path,
    files_folder: str = "domains",
) -> Imported:
    """Read hosts and their domains. Files that cannot be read are left out, and named as the failures of the import.

    Parameters
    ----------
    capabilities
        A folder of host files, ``<host>.xml`` as ``virsh capabilities`` prints it (or any other file that tells a
        host, with any ending), or one such file.
    domains
        A folder of domain XML: in a folder a host, ``<host>/*.xml``, or flat. Flat files belong to the host if there is
        only one; else nobody knows where they are, and they are not placed.
    bundles
        Tars made by ``placer collect``.
    folder
        Where the inventory will stand: paths in it are relative to that.
    files_folder
        Where, below `folder`, the domain XML of bundles will stand.

    Raises
    ------
    InputError
        Nothing to read, or not one host that can be read; every fault at once. What is read contradicts itself.
    """
    faults: list[Fault] = []
    hosts = [*_hosts(capabilities, folder, faults), *_bundles(bundles, files_folder, faults)]
    homeless: list[GatheredDomain] = []
    warnings: list[str] = []
    contents: dict[str, bytes] = {}
    if domains is not None:
        hosts, homeless = _domains(domains, hosts, folder, faults, warnings)
    if not hosts and not faults:
        faults.append(
            Fault(message="there is no host in it", file=str(capabilities or folder), cure="name capabilities or a tar")
        )
    if not hosts:
        raise InputError(faults)
    fleet = build_fleet(hosts, homeless, base_dir=str(folder), warnings=[*warnings, RESERVE_NOTE], unread=faults)
    used = {vm.domain.path for vm in fleet.vms if vm.domain is not None}
    from_bundles = {str(path) for path in bundles}
    files: dict[str, bytes] = {}
    for host in hosts:
        for domain in host.domains:
            if domain.path in used:
                (files if host.source in from_bundles else contents)[domain.path] = domain.xml
    contents.update((domain.path, domain.xml) for domain in homeless)
    return Imported(
        fleet=fleet,
        files=files,
        contents=contents,
        comments=comments(fleet.warnings, "libvirt"),
        failures=tuple(faults),
    )


def comments(warnings: Sequence[str], tool: str) -> tuple[str, ...]:
    """Return the top lines of an imported inventory: where it comes from and what could not be carried over."""
    return (f"Imported from {tool}. Labels, rules and reserves are yours to add.", *(f"- {said}" for said in warnings))


def _listed(path: Path, faults: list[Fault]) -> list[Path]:
    """Return the regular files of a folder in order of their names, or the file itself."""
    try:
        if path.is_file():
            return [path]
        return sorted(inner for inner in path.iterdir() if inner.is_file() and not inner.name.startswith("."))
    except (OSError, ValueError) as error:
        faults.append(Fault(message=f"cannot be read: {error}", file=str(path)))
        return []


def _hosts(path: Path | None, folder: Path, faults: list[Fault]) -> Iterator[GatheredHost]:
    for file in _listed(path, faults) if path is not None else ():
        relative = os.path.relpath(file, folder)
        try:
            data = read_file(file, str(file))
            topology = replace(parse_topology(data, str(file)), source=relative)
            uuid = parse_xml(data, str(file)).findtext("host/uuid") if data.lstrip()[:1] == b"<" else None
        except PlacerError as error:
            faults.extend(error.faults)
            continue
        uuid = (uuid or "").strip().lower() or None
        yield GatheredHost(name=_PACKED.sub("", file.name) or file.name, topology=topology, source=str(file), uuid=uuid)


def _bundles(paths: Sequence[Path], files_folder: str, faults: list[Fault]) -> Iterator[GatheredHost]:
    for path in paths:
        try:
            yield read_bundle(read_file(path, str(path)), str(path), folder=files_folder)
        except PlacerError as error:
            faults.extend(error.faults)


def _domains(
    path: Path, hosts: list[GatheredHost], folder: Path, faults: list[Fault], warnings: list[str]
) -> tuple[list[GatheredHost], list[GatheredDomain]]:
    """Give each host the domains of its folder; return the hosts, and the domains that no host is known for."""
    by_name = {host.name: host for host in hosts}
    flat = list(_domain_files(_listed(path, faults), folder, faults))
    strays: list[GatheredDomain] = []
    if path.is_dir():
        for inner in sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")):
            found = list(_domain_files(_listed(inner, faults), folder, faults))
            if inner.name in by_name:
                host = by_name[inner.name]
                by_name[inner.name] = replace(host, domains=(*host.domains, *found))
            elif found:
                lost = count(len(found), "domain of it is", "domains of it are")
                warnings.append(f"{inner}: there is no host {inner.name!r}; {lost} not placed")
                strays += found
    if flat and len(hosts) == 1:
        host = by_name[hosts[0].name]
        by_name[host.name] = replace(host, domains=(*host.domains, *flat))
    elif flat:
        warnings.append(
            f"{path}: of {count(len(flat), 'domain')} nobody knows the host: not placed; a folder named after the host "
            "tells it"
        )
        strays += flat
    return [by_name[host.name] for host in hosts], strays


def _domain_files(files: Sequence[Path], folder: Path, faults: list[Fault]) -> Iterator[GatheredDomain]:
    """Yield the domains of a folder, one a UUID where it holds live and saved XML of the same.

    XML of a running domain has an id. Where one of the folder has it, those without are shut off; where none has, the
    files are saved definitions, which do not tell.
    """
    read: dict[Path, bytes] = {}
    for file in files:
        if file.suffix.lower() != ".xml":
            continue
        try:
            read[file] = read_file(file, str(file))
        except PlacerError as error:
            faults.extend(error.faults)
    live = {file for file, data in read.items() if _HAS_ID.search(data[:_HEAD_BYTES])}
    pairs: dict[str, dict[bool, Path]] = {}
    for file, data in read.items():
        pairs.setdefault(_identity(file, data), {}).setdefault(file in live, file)
    taken = {file for pair in pairs.values() for file in pair.values()}
    for file in read:
        if file not in taken:
            faults.append(Fault(message="another file here has the same UUID", file=str(file)))
    for pair in pairs.values():
        saved = pair.get(False, pair.get(True))
        if saved is not None:
            yield GatheredDomain(
                xml=read[saved],
                path=os.path.relpath(saved, folder),
                source=str(saved),
                live=read[pair[True]] if True in pair else None,
                running=True in pair if live else None,
            )


def _identity(file: Path, data: bytes) -> str:
    """Return the UUID of a domain, or the file's own path where it cannot be told; damage shows when it is read."""
    try:
        return (parse_xml(data, str(file)).findtext("uuid") or "").strip().lower() or str(file)
    except PlacerError:
        return str(file)
