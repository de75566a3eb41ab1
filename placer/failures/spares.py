"""How many more hosts a failure takes to be survived: bounded by what they carry, then halved until one is left."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.same_host import same_shape

Loses = Callable[[Fleet], tuple[bool, bool] | None]
"""Tells of a fleet whether the failure leaves VMs out and whether that is proven; None where it is not known."""


def fewest_spares(
    fleet: Fleet, failed: Sequence[str], worst: Mapping[str, Any], loses: Loses, *, stays: bool, scope: str = "host"
) -> dict[str, Any]:
    """Return how many more hosts let every VM of a failure find a place: copies of those that held most of it.

    Parameters
    ----------
    failed, worst : the hosts that fail, and what is lost with them.
    stays : nothing else moves. Then k hosts take no more vCPUs of a proven loss than they carry.
    scope : ``host``, or the label whose domains fail: a spare host in a rack that fails would fail with it, so that
        those of each domain are in a new one.

    ``proven`` where fewer could not do: one always is after a proven loss, more only where all that fail are alike.
    ``hosts`` is None where not even as many as fail are enough, or nobody knows.
    """
    lost = set(worst["lost"] or ())
    held: Counter[str] = Counter()
    for vm in fleet.vms:
        if vm.name in lost and vm.current is not None:
            held[vm.current.host] += vm.spec.vcpus
    patterns = [fleet.host_by_name[name] for name in sorted(failed, key=lambda name: (-held[name], name))]
    same = all(same_shape(pattern, patterns[0]) for pattern in patterns)
    proven = bool(worst["proven"])
    # Of VMs that float only the vCPUs that are online take CPUs.
    online = not any(vm.spec.vcpus_current or vm.spec.offline_vcpus for vm in fleet.vms)
    low = _carried(patterns, worst["vcpus_lost"]) if proven and stays and online else 1
    known: dict[int, tuple[bool, bool] | None] = {}

    def enough(number: int) -> bool:
        bought = _copies(patterns[:number], fleet, scope)
        known[number] = loses(dataclasses.replace(fleet, hosts=(*fleet.hosts, *bought)))
        found = known[number]
        return found is not None and not found[0]

    first, high = low, len(patterns)
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    if low not in known and not (low <= len(patterns) and enough(low)):
        return {"hosts": None, "like": dict(Counter(one.name for one in patterns)), "proven": False}
    fewer = known.get(low - 1)
    least = proven and (low == first or (fewer is not None and fewer == (True, True)))
    like = dict(Counter(pattern.name for pattern in patterns[:low]))
    return {"hosts": low, "like": like, "proven": least and (same or low == 1)}


def _carried(patterns: Sequence[Host], vcpus: int) -> int:
    """Return how many of the hosts, in order, it takes at least to carry so many vCPUs."""
    room = 0.0
    for number, host in enumerate(patterns, start=1):
        room += len(host.usable_cpus) * max(1.0, host.cpu_ratio)
        if room >= vcpus:
            return number
    return len(patterns)


def _copies(patterns: Sequence[Host], fleet: Fleet, scope: str) -> list[Host]:
    names = (name for n in count(1) if (name := f"spare-{n}") not in fleet.host_by_name)
    domains = {host.labels[scope] for host in fleet.hosts if scope in host.labels}
    made = []
    for pattern in patterns:
        labels = dict(pattern.labels)
        if scope in labels:
            labels[scope] = next(new for n in count(1) if (new := f"spare-{n} for {labels[scope]}") not in domains)
        made.append(dataclasses.replace(pattern, name=next(names), uuid=None, uri=None, failed=False, labels=labels))
    return made
