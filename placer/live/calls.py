"""The calls with which placer changes a domain: each knows what was before, so that each can be taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from placer.live.connect import HostError, Link, explained
from placer.live.domain_state import live_emulator, live_iothreads, live_pins, secure_config
from placer.live.owned import same_domain
from placer.model.cpuset import format_cpuset, parse_cpuset

_LIVE = 1


class CallKind(StrEnum):
    """What a call changes."""

    DEFINE = "define"
    """The persistent XML, at the domain's next start in force."""
    VCPU = "vcpu"
    EMULATOR = "emulator"
    IOTHREAD = "iothread"
    NODESET = "nodeset"
    """The nodes of all of a running domain's memory; its pages move at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One change: `before` and `after` are XML for `DEFINE`, CPUs or nodes for the others; `key` is the thread."""

    kind: CallKind
    before: str
    after: str
    key: int | None = None

    def reversed(self) -> Call:
        """Return the call that takes this one back."""
        return replace(self, before=self.after, after=self.before)

    @property
    def text(self) -> str:
        """The call as virsh spells it, the domain left out."""
        match self.kind:
            case CallKind.DEFINE:
                return "define"
            case CallKind.VCPU:
                return f"vcpupin {self.key} {self.after} --live"
            case CallKind.EMULATOR:
                return f"emulatorpin {self.after} --live"
            case CallKind.IOTHREAD:
                return f"iothreadpin {self.key} {self.after} --live"
            case CallKind.NODESET:
                return f"numatune --nodeset {self.after} --live"


def perform(link: Link, domain: Any, call: Call) -> None:
    """Do it.

    Raises
    ------
    HostError
        Libvirt refuses it, or does not answer: then nobody knows whether it was done, and `standing` tells.
    """
    with explained(f"host {link.host!r}, {call.text}"):
        match call.kind:
            case CallKind.DEFINE:
                link.raw.defineXML(call.after)
            case CallKind.VCPU:
                domain.pinVcpu(call.key, _cpumap(link, call.after))
            case CallKind.EMULATOR:
                domain.pinEmulator(_cpumap(link, call.after), _LIVE)
            case CallKind.IOTHREAD:
                domain.pinIOThread(call.key, _cpumap(link, call.after), _LIVE)
            case CallKind.NODESET:
                domain.setNumaParameters({"numa_nodeset": call.after}, _LIVE)


class Standing(StrEnum):
    """Where a domain stands with a call."""

    BEFORE = "before"
    AFTER = "after"
    ELSEWHERE = "elsewhere"
    """Neither as it was before nor as the call makes it: something else has changed it."""


def standing(link: Link, domain: Any, call: Call) -> Standing:
    """Return whether the domain is as before the call or as after it.

    A live call of a domain that runs no more is taken for undone: nothing of it is left.

    Raises
    ------
    HostError
        The host does not answer.
    """
    with explained(f"host {link.host!r}"):
        if call.kind is CallKind.DEFINE:
            now = secure_config(link, domain)
            if same_domain(now, call.before.encode()):
                return Standing.BEFORE
            return Standing.AFTER if same_domain(now, call.after.encode()) else Standing.ELSEWHERE
        if not domain.isActive():
            return Standing.BEFORE
        cpus = live_value(domain, call)
    if cpus == parse_cpuset(call.before):
        return Standing.BEFORE
    return Standing.AFTER if cpus == parse_cpuset(call.after) else Standing.ELSEWHERE


def live_value(domain: Any, call: Call) -> frozenset[int] | None:
    """Return the CPUs or nodes that a live call sets, as they are now; None where the thread is gone."""
    match call.kind:
        case CallKind.VCPU:
            online, offline = live_pins(domain)
            return (online | offline).get(call.key or 0)
        case CallKind.EMULATOR:
            return live_emulator(domain)
        case CallKind.IOTHREAD:
            return live_iothreads(domain).get(call.key or 0)
        case _:
            return parse_cpuset(str(domain.numaParameters(_LIVE).get("numa_nodeset", "")))


def pin_calls(
    kind: CallKind, now: Mapping[int, frozenset[int]], wanted: Mapping[int, frozenset[int]]
) -> tuple[Call, ...]:
    """Return the calls that bring threads to the CPUs wanted; those that are there already need none."""
    return tuple(
        Call(kind=kind, key=number, before=format_cpuset(now[number]), after=format_cpuset(cpus))
        for number, cpus in sorted(wanted.items())
        if number in now and now[number] != cpus
    )


def _cpumap(link: Link, cpus: str) -> tuple[bool, ...]:
    wanted, count = parse_cpuset(cpus), link.cpu_count()
    beyond = {cpu for cpu in wanted if cpu >= count}
    if beyond:
        # libvirt-python leaves such CPUs out without a word: the thread would run on others than planned.
        raise HostError(f"host {link.host!r} has {count} CPUs and no CPU {format_cpuset(beyond)}")
    return tuple(cpu in wanted for cpu in range(count))
