"""Hosts read over libvirt, as an import: what discovery tells becomes a fleet like that of gathered files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from placer.errors import InputError, PlacerError
from placer.read.imports.gathered import GatheredDomain, GatheredHost, Imported

if TYPE_CHECKING:
    from placer.live.discover import HostReading

FILES_FOLDER = "domains"


def import_connected(connections: Sequence[str]) -> tuple[Imported, list[PlacerError]]:
    """Read the hosts of ``HOST=URI`` words; return what was read and the error of each host that did not answer.

    Raises
    ------
    InputError
        A word is not of this form, or domains contradict each other.
    MissingToolError
        libvirt-python is missing, or no host answered.
    """
    from placer.live.discover import discover
    from placer.live.targets import parse_connections
    from placer.read.imports.build import build_fleet
    from placer.read.imports.libvirt import RESERVE_NOTE, comments

    found = discover(parse_connections(connections))
    hosts = [_gathered(reading) for reading in found.hosts]
    fleet = build_fleet(hosts, base_dir=".", warnings=[RESERVE_NOTE])
    used = {vm.domain.path for vm in fleet.vms if vm.domain is not None}
    files = {domain.path: domain.xml for host in hosts for domain in host.domains if domain.path in used}
    return Imported(fleet=fleet, files=files, comments=comments(fleet.warnings, "libvirt")), list(
        found.failures.values()
    )


def known_connections(inventory: str) -> list[str]:
    """Return ``HOST=URI`` of each host of an inventory that has a uri.

    Raises
    ------
    InputError
        It cannot be read, none of its hosts has a uri, or one names a program to run.
    """
    from placer.live.connect import check_inventory_uri
    from placer.read.inventory.inventory import read_fleet

    known = {host.name: host.uri for host in read_fleet(inventory).hosts if host.uri is not None}
    for host, uri in known.items():
        check_inventory_uri(host, uri)
    if not known:
        raise InputError("no host has a uri", file=inventory, cure="give --connect HOST=URI")
    return [f"{host}={uri}" for host, uri in known.items()]


def _gathered(reading: HostReading) -> GatheredHost:
    from placer.emit.writer import safe_file_name
    from placer.live.discover import thread_notes
    from placer.read.hosts.capabilities import parse_capabilities

    topology = parse_capabilities(reading.capabilities, f"capabilities of {reading.name!r}")
    # What was free at this moment says nothing of a plan, and would change with every import.
    nodes = tuple(replace(node, free_kib=None, free_pages={}) for node in topology.nodes)
    folder = f"{FILES_FOLDER}/{safe_file_name(reading.name)}"
    return GatheredHost(
        name=reading.name,
        topology=replace(topology, nodes=nodes, source=None),
        source=reading.uri,
        uuid=reading.uuid,
        uri=reading.uri,
        domains=tuple(
            GatheredDomain(
                xml=state.xml,
                path=f"{folder}/{state.uuid}.xml",
                source=f"domain {state.name!r} of host {reading.name!r}",
                live=state.live,
                running=state.running,
            )
            for state in reading.domains
            if state.xml
        ),
        warnings=tuple(note for state in reading.domains for note in thread_notes(state)),
    )
