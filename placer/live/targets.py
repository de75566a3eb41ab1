"""Which hosts a run is about: those given with ``--connect``, else those of the plan with a URI in the inventory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from placer.errors import Fault, InputError
from placer.live.connect import check_inventory_uri
from placer.model.fleet import Fleet
from placer.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """URI by host, and the hosts of the plan that are left out because nothing says how to reach them."""

    uris: dict[str, str]
    unknown: tuple[str, ...] = ()


def parse_connections(given: Iterable[str]) -> dict[str, str]:
    """Return URI by host of ``HOST=URI`` words.

    Raises
    ------
    InputError
        A word is not of this form, or names a host again.
    """
    uris: dict[str, str] = {}
    faults = []
    for word in given:
        host, sign, uri = word.partition("=")
        if not sign or not host or ":" not in uri or "://" in host:
            faults.append(
                Fault(
                    message=f"{word[:80]!r} is not HOST=URI",
                    field="--connect",
                    cure="write it like kvm-a=qemu+ssh://kvm-a/system",
                )
            )
        elif host in uris:
            faults.append(Fault(message=f"host {host!r} is given twice", field="--connect"))
        else:
            uris[host] = uri
    if faults:
        raise InputError(faults)
    return uris


def targets_of(plan: Plan, fleet: Fleet, connect: Sequence[str]) -> Targets:
    """Return the hosts to connect to.

    A bare URI is taken where the plan is of one host. Hosts that VMs leave are asked too: a VM still there is reported
    as not yet migrated.

    Raises
    ------
    InputError
        A host is not in the fleet, a URI names a program or belongs to two hosts, or there is no URI at all.
    """
    concerned = sorted({vm.host for vm in plan.vms} | {vm.from_host for vm in plan.vms if vm.from_host is not None})
    if connect:
        words = list(connect)
        if len(words) == 1 and _is_bare(words[0]):
            if len(concerned) != 1:
                raise InputError(
                    f"the plan is of {len(concerned)} hosts, a bare URI does not say which",
                    field="--connect",
                    cure=f"write {concerned[0] if concerned else 'HOST'}={words[0]}",
                )
            words = [f"{concerned[0]}={words[0]}"]
        uris = parse_connections(words)
        strangers = [host for host in uris if host not in fleet.host_by_name]
        if strangers:
            raise InputError(
                Fault(message=f"the fleet has no host {host!r}", field="--connect", file=fleet.path)
                for host in strangers
            )
        return Targets(uris=_checked(uris, fleet))
    known = {host: fleet.host_by_name[host].uri for host in concerned if host in fleet.host_by_name}
    uris = {host: uri for host, uri in known.items() if uri is not None}
    for host, uri in uris.items():
        check_inventory_uri(host, uri)
    if not uris:
        raise InputError(
            "no host of the plan has a uri in the inventory", file=fleet.path, cure="give --connect HOST=URI"
        )
    return Targets(uris=_checked(uris, fleet), unknown=tuple(host for host in concerned if host not in uris))


def _checked(uris: dict[str, str], fleet: Fleet) -> dict[str, str]:
    """Return the URIs; two hosts at one URI are one host, and what is on it would be taken for on both."""
    hosts: dict[str, list[str]] = {}
    for host, uri in uris.items():
        hosts.setdefault(uri, []).append(host)
    faults = [
        Fault(message=f"hosts {names[0]!r} and {names[1]!r} have one uri, {uri}", file=fleet.path, cure="correct one")
        for uri, names in hosts.items()
        if len(names) > 1
    ]
    if faults:
        raise InputError(faults)
    return uris


def _is_bare(word: str) -> bool:
    """Tell whether a word is a URI without a host's name before it."""
    return "://" in word.partition("=")[0]
