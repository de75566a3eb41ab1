"""What libvirt says of a domain at this moment: its XML, persistent and live, and where its threads may run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from placer.live.connect import HostError, Link, explained, is_gone, is_unsupported, libvirt_error, one_line
from placer.live.many_hosts import Beat

_INACTIVE, _SECURE = 2, 1
_LIVE = 1
_READINGS = 3
"""How often a domain is read that starts or stops meanwhile, before it is taken as what it then is."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainState:
    """One domain of one host.

    `config` is its persistent XML, None for a transient domain; `live` that of the running one. `vcpus` are the CPUs
    that the kernel lets each online vCPU thread run on; `offline_vcpus` what is set for vCPUs without a thread.
    `emulator` and `iothreads` likewise; all of these are empty while the domain is shut off. `numa` are libvirt's own
    figures of the live memory policy (``numa_mode``, ``numa_nodeset``). `trouble` says why libvirt does not tell all
    of it, None where it does: a domain that is just starting has no threads yet, one that fails may have no XML.
    """

    name: str
    uuid: str
    config: bytes | None
    live: bytes | None = None
    managed_save: bool = False
    vcpus: Mapping[int, frozenset[int]] = field(default_factory=dict)
    offline_vcpus: Mapping[int, frozenset[int]] = field(default_factory=dict)
    emulator: frozenset[int] | None = None
    iothreads: Mapping[int, frozenset[int]] = field(default_factory=dict)
    numa: Mapping[str, int | str] = field(default_factory=dict)
    trouble: str | None = None

    @property
    def running(self) -> bool:
        """Tell whether the domain runs (paused included)."""
        return self.live is not None

    @property
    def persistent(self) -> bool:
        """Tell whether the domain outlives a shutdown."""
        return self.config is not None

    @property
    def xml(self) -> bytes:
        """The XML that tells of the domain: the persistent one, else the live one."""
        return self.config if self.config is not None else self.live or b""


def read_states(link: Link, beat: Beat) -> Iterator[DomainState]:
    """Yield every domain of a host, in the order of their names; one that goes away meanwhile is left out.

    Raises
    ------
    HostError
        The host does not answer.
    """
    with explained(f"host {link.host!r}"):
        domains = sorted(link.raw.listAllDomains(), key=lambda domain: (domain.name(), domain.UUIDString()))
    for domain in domains:
        beat()
        state = read_state(link, domain)
        if state is not None:
            yield state


def find_domain(link: Link, uuid: str) -> Any | None:
    """Return libvirt's object of the domain with this UUID, None where the host has none.

    Raises
    ------
    HostError
        The host does not answer.
    """
    with explained(f"host {link.host!r}"):
        try:
            return link.raw.lookupByUUIDString(uuid)
        except libvirt_error() as error:
            if is_gone(error):
                return None
            raise


def read_state(link: Link, domain: Any) -> DomainState | None:
    """Return the state of one domain, None if it went away.

    One that starts or stops meanwhile is read again. What cannot be read then is the `trouble` of this domain alone.

    Raises
    ------
    HostError
        The host does not answer.
    """
    uuid = str(domain.UUIDString())
    state = None
    for _ in range(_READINGS):
        run = int(domain.ID())  # as it was when the domain was listed or looked up
        state = _read_once(link, domain)
        domain = None if state is None else find_domain(link, uuid)
        if state is None or domain is None:
            return None
        if state.trouble is None and state.running and int(domain.ID()) != run:
            state = replace(state, trouble="it stops and starts again while it is read")
        if state.trouble is None:
            break
    return state


def _read_once(link: Link, domain: Any) -> DomainState | None:
    name, uuid = str(domain.name()), str(domain.UUIDString())
    config = live = None
    try:
        config = domain.XMLDesc(_INACTIVE) if domain.isPersistent() else None
        live = domain.XMLDesc(0) if domain.isActive() else None
        if live is None and config is None:
            return None
        saved = bool(_or_none(lambda: domain.hasManagedSaveImage(0)))
        found: dict[str, Any] = {"managed_save": saved, **(_threads(domain) if live is not None else {})}
    except libvirt_error() as error:
        if is_gone(error):
            return None
        if not link.is_alive():
            raise HostError(f"host {link.host!r}: {one_line(error)}") from None
        found = {"trouble": one_line(error)}
    return DomainState(
        name=name,
        uuid=uuid,
        config=None if config is None else config.encode(),
        live=None if live is None else live.encode(),
        **found,
    )


def secure_config(link: Link, domain: Any) -> bytes:
    """Return the persistent XML with its passwords: only this may be given back to libvirt, else they are lost.

    Raises
    ------
    HostError
        The connection may not read secrets (it is read-only), or the host does not answer.
    """
    with explained(f"host {link.host!r}"):
        return str(domain.XMLDesc(_INACTIVE | _SECURE)).encode()


def live_config(link: Link, domain: Any) -> bytes:
    """Return the XML of a running domain.

    Raises
    ------
    HostError
        The host does not answer.
    """
    with explained(f"host {link.host!r}"):
        return str(domain.XMLDesc(0)).encode()


def live_pins(domain: Any) -> tuple[dict[int, frozenset[int]], dict[int, frozenset[int]]]:
    """Return the CPUs of the vCPU threads as the kernel has them, and those set for vCPUs that are not online."""
    infos, maps = domain.vcpus()
    online = {int(info[0]): _cpus(cpumap) for info, cpumap in zip(infos, maps, strict=True)}
    planned = domain.vcpuPinInfo(_LIVE)
    offline = {vcpu: _cpus(cpumap) for vcpu, cpumap in enumerate(planned) if vcpu not in online}
    return online, offline


def live_emulator(domain: Any) -> frozenset[int]:
    """Return the CPUs set for the emulator threads."""
    return _cpus(domain.emulatorPinInfo(_LIVE))


def live_iothreads(domain: Any) -> dict[int, frozenset[int]]:
    """Return the CPUs of each IOThread by its id."""
    return {int(number): _cpus(cpumap) for number, cpumap in domain.ioThreadInfo(_LIVE)}


def _threads(domain: Any) -> dict[str, Any]:
    online, offline = live_pins(domain)
    return {
        "vcpus": online,
        "offline_vcpus": offline,
        "emulator": _or_none(lambda: live_emulator(domain)),
        "iothreads": _or_none(lambda: live_iothreads(domain)) or {},
        "numa": _or_none(lambda: dict(domain.numaParameters(_LIVE))) or {},
    }


def _cpus(cpumap: Sequence[bool]) -> frozenset[int]:
    return frozenset(cpu for cpu, taken in enumerate(cpumap) if taken)


def _or_none(call: Callable[[], Value]) -> Value | None:
    """Return what the call gives, None where the driver lacks it."""
    try:
        return call()
    except libvirt_error() as error:
        if is_unsupported(error):
            return None
        raise
