"""From ``hosts[]`` of an inventory to hosts: reserves and CPU sets checked against the topology, counts expanded."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

from placer.model.cpuset import format_cpuset
from placer.model.host import Host, Topology
from placer.model.rules import Rule, drain_of
from placer.read.hosts.host_settings import settings_of_entry
from placer.read.inventory.alike import Alike
from placer.read.inventory.entries import Names, expand_names, line_of, loose, own_texts, without
from placer.read.inventory.files import Files
from placer.read.inventory.reserve import build_reserve
from placer.read.inventory.schema import HostEntry, OvercommitEntry
from placer.read.inventory.topology import TOPOLOGY_KEYS, TopologyBuilder
from placer.read.inventory.validation import Problem, further, note, validate
from placer.read.text.located import FaultLog, LineList, LineMap, freeze

_OWN_KEYS = ("name", "uuid", "uri")
"""What tells one host of a kind from the next: read apart, so that all of a kind share the rest."""

MAX_WRITTEN = 1_500_000
"""CPUs of all hosts that are written differently: more are read in no acceptable time, and no fleet has them."""
_RANGE = re.compile(r"([0-9]{1,6})-([0-9]{1,6})")
_MASK = re.compile(r"[0-9a-fA-F]{8,}")


def _written_cpus(section: LineList) -> int:
    """Return about how many CPUs the nodes of hosts list, those that are written alike counted once; what one host
    lists is looked at with it.
    """
    written = {str(tree["nodes"]) for tree in section if isinstance(tree, LineMap) and tree.get("nodes")}
    found = 0
    for text in written if len(written) > 1 else ():
        found += text.count(",") + sum(4 * len(mask) for mask in _MASK.findall(text))
        found += sum(max(0, int(last) - int(first)) for first, last in _RANGE.findall(text))
        if found > MAX_WRITTEN:
            break
    return found


class HostSection:
    """The hosts of an inventory; of entries with faults the names and labels, so that nothing else trips over them."""

    def __init__(self, files: Files, log: FaultLog) -> None:
        self.log = log
        self.made: dict[str, Host] = {}
        self.broken: dict[str, dict[str, str]] = {}
        self.drains: list[Rule] = []
        self.warnings: list[str] = []
        self._topologies = TopologyBuilder(files, log.file)
        self._alike = Alike()
        self._bodies: dict[Hashable, tuple[HostEntry | None, Host | None, list[Problem]]] = {}
        self._names = Names("host name", log, "give one of them another name")
        self._uuids = Names("host UUID", log, "one UUID is one host")

    def read(self, section: LineList) -> None:
        """Read all entries.

        Raises
        ------
        InputError
            They are written to exhaust us: more CPUs in differing hosts than any fleet has.
        """
        if _written_cpus(section) > MAX_WRITTEN:
            self.log.add(
                f"hosts that differ list more than {MAX_WRITTEN} CPUs together",
                line=line_of(section, 0),
                field="hosts",
                cure="write hosts that are alike once, with a count, or split the fleet",
            )
            self.log.raise_if_any()
        for number, tree in enumerate(section):
            self._entry(tree, number, line_of(section, number))

    def _entry(self, tree: Any, number: int, line: int | None) -> None:
        if not isinstance(tree, LineMap):
            note(self.log, validate(HostEntry, tree)[1], tree, f"hosts[{number}]", line)
            return
        problems: list[Problem] = []
        own = own_texts(tree, _OWN_KEYS, problems)
        name = own.get("name")
        if name is None and not problems:
            problems.append((("name",), "is missing", None))
        entry, host, found = self._body(tree)
        problems.extend(found)
        if entry is not None and entry.count is not None and "uuid" in own:
            problems.append((("uuid",), "belongs to one host, the entry has a count", "give each host its own entry"))
        prefix = f"hosts[{name or number}]"
        if problems or entry is None or host is None or name is None:
            note(self.log, problems, tree, prefix, line)
            names, labels = loose(tree)
            for each in names:
                self._names.take(each, line, f"{prefix}.name")
                self.broken[each] = labels
            return
        self._make(entry, host, own, name, prefix, line)

    def _make(
        self, entry: HostEntry, host: Host, own: Mapping[str, str], name: str, prefix: str, line: int | None
    ) -> None:
        uri = own.get("uri")
        if entry.count and entry.count > 1 and uri is not None and "{name}" not in uri:
            self.warnings.append(
                f"host {name}: {entry.count} hosts share the uri {uri}; write {{name}} for the host's name"
            )
        if "uuid" in own:
            self._uuids.take(own["uuid"], line, f"{prefix}.uuid")
        for each in expand_names(name, entry.count):
            if not self._names.take(each, line, f"{prefix}.name"):
                continue
            its_uri = uri.replace("{name}", each) if uri is not None else None
            self.made[each] = replace(host, name=each, uuid=own.get("uuid"), uri=its_uri)
            if entry.state in ("drain", "maintenance"):
                self.drains.append(drain_of(each, host.labels, line))

    def _body(self, tree: LineMap) -> tuple[HostEntry | None, Host | None, list[Problem]]:
        rest = without(tree, _OWN_KEYS)
        key = freeze(rest)
        if key not in self._bodies:
            host = None
            entry, problems = validate(HostEntry, rest)
            if entry is not None:
                found: list[Problem] = []
                said: list[str] = []
                told = {name: tree[name] for name in TOPOLOGY_KEYS if name in tree}
                topology, wrong = self._topologies.build(entry, freeze(told))
                found.extend(wrong)
                if topology is not None:
                    made = build_host(entry, topology, found, said)
                    alike = self._alike
                    host = replace(made, topology=alike.of(topology), reserve=alike.of(made.reserve))
                self.warnings.extend(f"host {tree.get('name')}: {line}" for line in said)
                problems = [*problems, *further(problems, found)]
            self._bodies[key] = (entry, host, problems)
        return self._bodies[key]


def build_host(entry: HostEntry, topology: Topology, problems: list[Problem], warnings: list[str]) -> Host:
    """Return the host of an entry, still without a name; what is wrong with it is added to `problems`, what was taken
    otherwise than it is written to `warnings`.
    """
    reserve = build_reserve(entry, topology, problems, warnings)
    for name in ("dedicated_cpus", "shared_cpus", "isolated_cpus"):
        cpus: frozenset[int] = getattr(entry, name) or frozenset()
        if lacking := cpus - topology.cpus:
            problems.append(
                ((name,), f"the host has no CPU {format_cpuset(lacking)}", f"it has {format_cpuset(topology.cpus)}")
            )
        if name != "isolated_cpus" and (kept := cpus & reserve.cpus):
            problems.append(
                ((name,), f"CPUs {format_cpuset(kept)} are reserved for the host", "take them out of one of the two")
            )
    if both := (entry.dedicated_cpus or frozenset()) & (entry.shared_cpus or frozenset()):
        problems.append((("shared_cpus",), f"CPUs {format_cpuset(both)} are in dedicated_cpus too", None))
    ratio = entry.overcommit
    cpu_ratio, memory_ratio = (ratio.cpu, ratio.memory) if isinstance(ratio, OvercommitEntry) else (ratio, None)
    return Host(
        name="",
        topology=topology,
        source=topology.source,
        reserve=reserve,
        dedicated_cpus=entry.dedicated_cpus,
        shared_cpus=entry.shared_cpus,
        isolated_cpus=entry.isolated_cpus or frozenset(),
        cpu_ratio=cpu_ratio or 1.0,
        memory_ratio=memory_ratio or 1.0,
        cost=1.0 if entry.cost is None else entry.cost,
        wide_vms=bool(entry.wide_vms),
        idle_watts=entry.idle_watts,
        busy_watts=entry.busy_watts,
        kvm=topology.kvm is not False if entry.kvm is None else entry.kvm,
        failed=bool(entry.failed) or entry.state == "failed",
        migration_domain=entry.migration_domain,
        gen=entry.gen or 0,
        labels=entry.labels or {},
        resources={name: amount for name, (amount, _) in (entry.resources or {}).items()},
        settings=settings_of_entry(entry.settings),
    )
