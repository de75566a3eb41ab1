"""What must hold before a domain is changed: the host is the one planned for, the domain is placer's to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from placer.live.domain_state import DomainState
from placer.model.cpuset import format_cpuset
from placer.model.host import Host, Topology
from placer.model.units import format_kib
from placer.read.domains.movable import manager
from placer.read.text.xml import parse_xml

_MEMORY_TOLERANCE = 0.02
"""Kernels differ by so much in what they keep of a node for themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a domain is left as it is, and what to do about it."""

    reason: str
    cure: str | None = None


def host_uuid(capabilities: bytes, source: str) -> str | None:
    """Return the UUID that a host's capabilities give it."""
    text = parse_xml(capabilities, source).findtext("host/uuid")
    return None if text is None else text.strip().lower()


def host_refusal(planned: Host, live: Topology, live_uuid: str | None) -> Refusal | None:
    """Return why a host is not the one that was planned for, None if it is.

    More memory or more pages than planned are no reason; distances only say how good the plan is, not whether it holds.
    """
    if planned.uuid is not None and live_uuid is not None and planned.uuid.lower() != live_uuid:
        return Refusal(
            reason=f"host {planned.name!r} is another machine than planned for: UUID {live_uuid}, not {planned.uuid}",
            cure="correct the URI",
        )
    found = next(_host_changes(planned.topology, live), None)
    if found is None:
        return None
    return Refusal(
        reason=f"host {planned.name!r} has changed since the plan: {found}", cure="import it again and solve again"
    )


def _host_changes(planned: Topology, live: Topology) -> Iterator[str]:
    if planned.node_ids != live.node_ids:
        yield f"NUMA nodes {format_cpuset(live.node_ids)}, planned {format_cpuset(planned.node_ids)}"
        return
    for was, now in zip(planned.nodes, live.nodes, strict=True):
        if was.cpus != now.cpus:
            yield f"node {was.id} has CPUs {_cpus(now.cpus)}, planned {_cpus(was.cpus)}"
        if now.memory_kib < was.memory_kib * (1 - _MEMORY_TOLERANCE):
            yield f"node {was.id} has {format_kib(now.memory_kib)} of memory, planned {format_kib(was.memory_kib)}"
        for size, count in sorted(was.pages.items()):
            if now.pages.get(size, 0) < count:
                yield f"node {was.id} has {now.pages.get(size, 0)} pages of {format_kib(size)}, planned {count}"
    if set(planned.cores) != set(live.cores):
        core = min(set(live.cores) - set(planned.cores), key=min)
        yield f"CPUs {_cpus(core)} are one core, the plan knows them otherwise"


def trouble_refusal(trouble: str) -> Refusal:
    """Return that nothing can be said of a domain, with what libvirt said."""
    return Refusal(
        reason=f"libvirt does not tell all of it: {trouble}",
        cure="it may be starting or stopping: try again; if it stays so, see virsh dominfo and libvirtd's log",
    )


def domain_refusal(state: DomainState, *, force_managed: bool) -> Refusal | None:
    """Return why a domain is not to be changed, None if it may be."""
    if state.trouble is not None:
        return trouble_refusal(state.trouble)
    if not state.persistent:
        return Refusal(
            reason="the domain is transient: it has no configuration that could be changed",
            cure="make it persistent: virsh dumpxml NAME > FILE, virsh define FILE",
        )
    if state.managed_save:
        return Refusal(
            reason="the domain has a managed save image, which carries its own configuration and would undo the change",
            cure="start it, or give the image up: virsh managedsave-remove NAME",
        )
    owner = manager(parse_xml(state.xml, f"domain {state.name!r}"))
    if owner is not None and not force_managed:
        return Refusal(
            reason=f"{owner} manages the domain and would undo or misjudge what is changed behind its back",
            cure=f"change it through {owner}, or give --force-managed",
        )
    return None


def _cpus(cpus: frozenset[int]) -> str:
    return format_cpuset(cpus) or "none"
