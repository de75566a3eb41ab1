"""Reading whole hosts over libvirt, many at once: capabilities, domains as defined and as they run, what is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from placer.errors import MissingToolError, PlacerError
from placer.live.connect import HostError, Link, UnreachableError, explained, load_libvirt, reading
from placer.live.domain_state import DomainState, read_states
from placer.live.free_memory import free_figures
from placer.live.many_hosts import ANSWER_TIMEOUT_S, Beat, on_each_host
from placer.live.preconditions import host_uuid
from placer.model.cpuset import format_cpuset
from placer.read.domains.domain_xml import read_domain
from placer.read.hosts.capabilities import parse_capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReading:
    """One host as libvirt tells it.

    `capabilities` is its XML, `domains` every domain of it. `free_kib` is MemFree (KiB) by node, `free_pages` the free
    huge pages by node and page size (KiB): both as far as the driver tells.
    """

    name: str
    uri: str
    hostname: str | None
    uuid: str | None
    capabilities: bytes
    domains: tuple[DomainState, ...]
    free_kib: Mapping[int, int] = field(default_factory=dict)
    free_pages: Mapping[int, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The hosts that answered, and the error of each that did not, in the order in which they were named."""

    hosts: tuple[HostReading, ...]
    failures: Mapping[str, PlacerError]


def discover(connections: Mapping[str, str], *, timeout_s: float = ANSWER_TIMEOUT_S) -> Discovery:
    """Read many hosts at once, over read-only connections.

    Parameters
    ----------
    connections
        URI by host.
    timeout_s
        How long a host may be silent (s) before the rest goes on without it.

    Raises
    ------
    MissingToolError
        libvirt-python is missing, or no host at all answered.
    HostError
        Hosts answered, and none of them could be read.
    """
    load_libvirt()
    jobs = {host: partial(read_host, host, uri) for host, uri in connections.items()}
    collected = on_each_host(jobs, timeout_s=timeout_s)
    if connections and not collected.results:
        raise no_host_answers(collected.failures)
    return Discovery(hosts=tuple(collected.results.values()), failures=collected.failures)


def thread_notes(state: DomainState) -> list[str]:
    """Return a sentence for each thread of a running domain that the kernel lets run elsewhere than libvirt set it.

    The XML tells what libvirt set; somebody may have moved the thread since, with taskset or a cgroup. A domain that
    libvirt could not tell all of is named too.
    """
    if state.trouble is not None:
        kind = "is left out" if not state.xml else "is taken as its definition says"
        return [f"VM {state.name}: libvirt does not tell all of it, and it {kind}: {state.trouble}"]
    if state.live is None:
        return []
    pins = read_domain(state.live, f"domain {state.name!r}").pins
    moved = [vcpu for vcpu, cpus in sorted(state.vcpus.items()) if vcpu in pins and pins[vcpu] != cpus]
    return [
        f"VM {state.name}: vCPU {vcpu} is set to CPUs {format_cpuset(pins[vcpu])} "
        f"and runs on {format_cpuset(state.vcpus[vcpu])}"
        for vcpu in moved
    ]


def no_host_answers(failures: Mapping[str, PlacerError]) -> PlacerError:
    """Return the error that says of each host why it was not read: a tool is missing only where none was reached."""
    reached = any(not isinstance(error, UnreachableError) for error in failures.values())
    return (HostError if reached else MissingToolError)(fault for error in failures.values() for fault in error.faults)


def read_host(host: str, uri: str, beat: Beat) -> HostReading:
    """Read one host.

    Raises
    ------
    HostError
        It does not answer.
    InputError
        Its capabilities describe no host.
    """
    with reading(host, uri) as link:
        beat()
        capabilities = link.capabilities()
        topology = parse_capabilities(capabilities, f"capabilities of {host!r}")
        beat()
        domains = tuple(read_states(link, beat))
        figures = free_figures(link, topology)
        return HostReading(
            name=host,
            uri=uri,
            hostname=_hostname(link),
            uuid=host_uuid(capabilities, f"capabilities of {host!r}"),
            capabilities=capabilities,
            domains=domains,
            free_kib={node: kib for node, (kib, _) in figures.items() if kib is not None},
            free_pages={node: pages for node, (_, pages) in figures.items() if pages},
        )


def _hostname(link: Link) -> str | None:
    with explained(f"host {link.host!r}"):
        name = link.raw.getHostname()
    return None if name is None else str(name)
