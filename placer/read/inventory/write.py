"""A fleet as an inventory that a person can read and change; reading it again gives the same fleet."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from placer.model.fleet import Fleet
from placer.model.rules import plainly
from placer.model.units import format_kib
from placer.read.inventory.schema import SCHEMA
from placer.read.inventory.write_hosts import Entry, HostWriter
from placer.read.inventory.write_vms import VmWriter, rule_text
from placer.read.inventory.yaml_form import scalar

_NUMBERED = re.compile(r"(.*)-([1-9][0-9]{0,6})", re.DOTALL)
_BYTES_PER_MIB = 1024 * 1024
_OWN = ("uuid", "manager_id", "uri", "domain")


def inventory_text(fleet: Fleet, *, contents: Mapping[str, bytes] | None = None, comments: Sequence[str] = ()) -> str:
    """Return the fleet as YAML of schema ``placer.inventory/v1``.

    Hosts whose topology is that of the file it came from, and VMs with domain XML, are written as a reference to that
    file and what differs from it; all else in full.

    Parameters
    ----------
    fleet
        What is written. Paths in it are relative to its `base_dir`, and so are those in the text.
    contents
        The bytes of named files that are not on disk yet, by path.
    comments
        Lines for the top of the file, without the ``#``.
    """
    files = _Contents(fleet.base_dir, contents or {})
    resource = _resource_writer(fleet)
    hosts = HostWriter(resource, files.content)
    vms = VmWriter(fleet.host_by_name, resource, files.content)
    lines = [f"# {line}".rstrip() for comment in comments for line in comment.splitlines() or [""]]
    lines += [f"schema: {SCHEMA}", "hosts:"]
    lines += _section((host.name, hosts.entry(host)) for host in fleet.hosts)
    if fleet.vms:
        lines += ["vms:", *_section((vm.name, vms.entry(vm)) for vm in fleet.vms)]
    if fleet.rules:
        called = {host.labels["name"] for host in fleet.hosts if "name" in host.labels}
        lines += ["rules:", *(f"  - {rule_text(plainly(rule, called))}" for rule in fleet.rules)]
    return "\n".join(lines) + "\n"


def named_files(fleet: Fleet) -> tuple[str, ...]:
    """Return the files that `inventory_text` refers to, as it names them: host files and domain XML, each once."""
    hosts = HostWriter(_resource_writer(fleet), _Contents(fleet.base_dir, {}).content)
    topologies = [host.source for host in fleet.hosts if "topology" in hosts.entry(host)]
    domains = [vm.domain.path for vm in fleet.vms if vm.domain is not None]
    return tuple(dict.fromkeys(name for name in (*topologies, *domains) if name is not None))


class _Contents:
    """Bytes of the files that a fleet names, read once."""

    def __init__(self, base_dir: str | None, given: Mapping[str, bytes]) -> None:
        self.base_dir = base_dir
        self._known: dict[str, bytes | None] = dict(given)

    def content(self, name: str) -> bytes | None:
        """Return the bytes of a file, None where there is none to be read."""
        if name not in self._known:
            path = Path(self.base_dir or os.curdir) / name
            try:
                self._known[name] = path.read_bytes() if path.is_file() else None
            except (OSError, ValueError):
                self._known[name] = None
        return self._known[name]


def _resource_writer(fleet: Fleet) -> Callable[[str, int], str]:
    """Return how amounts are written: with a unit where every amount of the resource is whole MiB, else as counts."""
    sized: dict[str, bool] = {}
    holders = [
        *(host.resources for host in fleet.hosts),
        *(node.resources for host in fleet.hosts for node in host.topology.nodes),
        *(vm.spec.resources for vm in fleet.vms),
    ]
    for amounts in holders:
        for name, amount in amounts.items():
            sized[name] = sized.get(name, True) and amount % _BYTES_PER_MIB == 0

    def write(name: str, amount: int) -> str:
        return format_kib(amount // 1024) if sized[name] and amount else str(amount)

    return write


def _section(entries: Iterator[tuple[str, Entry]]) -> Iterator[str]:
    """Yield the lines of a section; runs of like entries named base-1, base-2, … become one with a count."""
    run: list[str] = []
    last: Entry = {}
    for name, entry in entries:
        if run and entry == last and not any(key in entry for key in _OWN) and _follows(run[0], name, len(run) + 1):
            run.append(name)
            continue
        yield from _run(run, last)
        run, last = [name], entry
    yield from _run(run, last)


def _follows(first: str, name: str, number: int) -> bool:
    start, this = _NUMBERED.fullmatch(first), _NUMBERED.fullmatch(name)
    if start is None or this is None:
        return False
    return start[2] == "1" and start[1] == this[1] and this[2] == str(number) and start[1].strip() != ""


def _run(names: list[str], entry: Entry) -> Iterator[str]:
    if not names:
        return
    match = _NUMBERED.fullmatch(names[0]) if len(names) > 1 else None
    yield f"  - name: {scalar(match[1] if match is not None else names[0])}"
    if match is not None:
        yield f"    count: {len(names)}"
    for key, value in entry.items():
        if isinstance(value, str):
            yield f"    {key}: {value}"
        else:
            yield f"    {key}:"
            for item in value:
                yield f"      - {item}"
