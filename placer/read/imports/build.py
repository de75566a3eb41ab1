"""From gathered hosts and domains to a fleet: one VM a UUID, names made unique, pins that its host can hold."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from placer.errors import Fault, InputError, PlacerError
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.units import count
from placer.model.vm import CpuPolicy, Current, DomainSource, Vm
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import DomainReading, current_of
from placer.read.imports.gathered import GatheredDomain, GatheredHost
from placer.read.imports.load import with_overcommit


@dataclass(frozen=True, slots=True)
class _Found:
    """A domain that was read, on the host where it was found (None: nobody knows)."""

    host: GatheredHost | None
    domain: GatheredDomain
    reading: DomainReading
    live: DomainReading

    @property
    def where(self) -> str:
        return self.host.name if self.host is not None else "no host"


def build_fleet(
    hosts: Sequence[GatheredHost],
    homeless: Sequence[GatheredDomain] = (),
    *,
    base_dir: str,
    warnings: Iterable[str] = (),
    unread: list[Fault] | None = None,
) -> Fleet:
    """Return the fleet of these hosts and their domains; `homeless` domains become VMs that are not placed.

    Identity is the UUID: one that is defined on two hosts is one VM with a leftover definition, of which a warning
    tells. Equal names on two hosts become ``host/name``. Domains that cannot be read are left out, and their faults
    added to `unread`; without such a list they are faults of the whole.

    Raises
    ------
    InputError
        A host twice, a domain that cannot be read, or one UUID running on two hosts; all such faults at once.
    """
    faults: list[Fault] = []
    notes = [*warnings, *(f"host {host.name}: {said}" for host in hosts for said in host.warnings)]
    _check_hosts(hosts, faults)
    found = _read(hosts, homeless, faults if unread is None else unread)
    kept = _one_a_uuid(found, faults, notes)
    if faults:
        raise InputError(faults)
    uuids = Counter(host.uuid for host in hosts if host.uuid is not None)
    for uuid in sorted(uuid for uuid, many in uuids.items() if many > 1):
        alike = ", ".join(host.name for host in hosts if host.uuid == uuid)
        notes.append(f"hosts {alike} give the same UUID {uuid}, as cloned firmware does: left out")
    models = {host.topology.model for host in hosts}
    made = {
        host.name: Host(
            name=host.name,
            topology=host.topology,
            source=host.topology.source,
            uuid=host.uuid if host.uuid is not None and uuids[host.uuid] == 1 else None,
            uri=host.uri,
            settings=host.settings,
            resources=host.resources,
            kvm=host.topology.kvm is not False,
            migration_domain=host.topology.model if len(models) > 1 else None,
        )
        for host in hosts
    }
    if len(models) > 1:
        notes.append("the hosts have different CPU models: each is a migration_domain, which a VM leaves only cold")
    names = _names(kept)
    vms = tuple(_vm(one, names[id(one)], made, notes) for one in kept)
    managers = Counter(one.reading.manager for one in kept if one.reading.manager is not None)
    notes.extend(
        f"{count(many, 'domain belongs', 'domains belong')} to {manager}, which does its own placing"
        for manager, many in managers.items()
    )
    return with_overcommit(
        Fleet(hosts=tuple(made.values()), vms=vms, base_dir=base_dir, warnings=tuple(dict.fromkeys(notes)))
    )


def _check_hosts(hosts: Sequence[GatheredHost], faults: list[Fault]) -> None:
    first: dict[str, GatheredHost] = {}
    for host in hosts:
        if host.name in first:
            cure = f"{first[host.name].source} is the first"
            faults.append(Fault(message=f"host {host.name!r} is here twice", file=host.source, cure=cure))
        first.setdefault(host.name, host)


def _read(hosts: Sequence[GatheredHost], homeless: Sequence[GatheredDomain], faults: list[Fault]) -> list[_Found]:
    places: list[tuple[GatheredHost | None, GatheredDomain]] = [(host, one) for host in hosts for one in host.domains]
    places += [(None, one) for one in homeless]
    found = []
    for host, domain in places:
        try:
            # What is on a host and pinned nowhere shares it; what nobody knows the host of is still to be given CPUs.
            unpinned = CpuPolicy.SHARED if host is not None else CpuPolicy.DEDICATED
            reading = read_domain(domain.xml, domain.source, unpinned=unpinned)
            live = reading
            if domain.live is not None:
                live = read_domain(domain.live, domain.source, unpinned=unpinned)
        except PlacerError as error:
            faults.extend(error.faults)
            continue
        found.append(_Found(host, domain, reading, live))
    return found


def _one_a_uuid(found: Sequence[_Found], faults: list[Fault], notes: list[str]) -> list[_Found]:
    """Keep one domain a UUID: the one that runs, else the first; the others are leftover definitions."""
    groups: dict[str, list[_Found]] = defaultdict(list)
    for one in found:
        groups[one.reading.uuid or f"{one.where}\0{one.domain.source}"].append(one)
    kept = []
    for uuid, group in groups.items():
        runs = [one for one in group if one.domain.running]
        if len(runs) > 1:
            where = " and ".join(one.where for one in runs)
            faults.append(
                Fault(
                    message=f"the domain {runs[0].reading.name!r} with UUID {uuid} runs on {where}",
                    file=runs[1].domain.source,
                    cure="one of them is a copy: give it a UUID of its own, or destroy it",
                )
            )
        best = (runs or [one for one in group if one.host is not None] or group)[0]
        kept.append(best)
        for other in group:
            if other is not best:
                notes.append(
                    f"domain {best.reading.name!r} with UUID {uuid} is on {best.where}; "
                    f"its definition on {other.where} is a leftover"
                )
    return kept


def _names(kept: Sequence[_Found]) -> Mapping[int, str]:
    """Return a name for each: its own where no other domain has it, else with the host's before it, or the UUID."""
    counts = Counter(one.reading.name for one in kept)
    names: dict[int, str] = {}
    taken: set[str] = {name for name, many in counts.items() if many == 1}
    for one in kept:
        name = one.reading.name
        if counts[name] > 1:
            name = f"{one.host.name}/{name}" if one.host is not None else f"{name}/{one.reading.uuid or 'unplaced'}"
            base, number = name, 2
            while name in taken:
                name, number = f"{base}-{number}", number + 1
            taken.add(name)
        names[id(one)] = name
    return names


def _vm(found: _Found, name: str, hosts: Mapping[str, Host], notes: list[str]) -> Vm:
    current = None
    if found.host is not None:
        current = _current(found, name, hosts[found.host.name], notes)
    if found.live.spec != found.reading.spec:
        notes.append(f"VM {name}: its saved definition differs from the running one; the saved one is planned")
    return Vm(
        name=name,
        spec=found.reading.spec,
        uuid=found.reading.uuid,
        current=current,
        movable=found.live.movable,
        movable_why=found.live.movable_why,
        running=found.domain.running is not False,
        domain=DomainSource(
            path=found.domain.path,
            sha256=hashlib.sha256(found.domain.xml).hexdigest(),
            memory_modes=found.reading.memory_modes,
        ),
        notes=found.reading.notes,
    )


def _current(found: _Found, name: str, host: Host, notes: list[str]) -> Current:
    """Return where the domain is; of its pins only what the host has, for the kernel takes no more of them either."""
    topology = host.topology
    place = current_of(replace(found.live, spec=found.reading.spec), host.name, topology)
    lacking = frozenset().union(*place.pins.values()) - topology.cpus
    if lacking:
        notes.append(
            f"VM {name}: it is pinned to CPUs {format_cpuset(lacking)}, which host {host.name} lacks: left out"
        )
        pins = {vcpu: cpus & topology.cpus for vcpu, cpus in place.pins.items()}
        place = replace(place, pins={vcpu: cpus for vcpu, cpus in pins.items() if cpus})
    emulator = place.emulator & topology.cpus if place.emulator is not None else frozenset()
    threads = {thread: cpus & topology.cpus for thread, cpus in place.iothread_pins.items()}
    if place.nodes is None and place.memory_nodes is None:
        # Of others it is known, and figures that change with every import would be in the inventory for nothing.
        known = {node: kib for node, kib in found.domain.memory_on.items() if node in topology.node_ids}
        place = replace(place, memory_on=known)
    return replace(
        place, emulator=emulator or None, iothread_pins={thread: cpus for thread, cpus in threads.items() if cpus}
    )
