"""All failures at once: what any of them can ask for at most is put into hosts that none of them takes away.

On a large fleet with room to spare two fits answer for ten thousand hosts. Failures of hosts with VMs that did not fit
so are looked at one by one, as far as that is quick.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from placer.failures.counts import placed_counts
from placer.failures.refit import Kind, Kinds, homeless
from placer.failures.sweep import FailureSweep, domains_of
from placer.measure.rule_excess import TYING
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, matches
from placer.model.vm import Vm
from placer.options import SweepOptions
from placer.planning.after import with_vms
from solvers.result import Result

REFUGE_HOSTS = (32, 128, 512)
"""So many of the roomiest hosts are tried as a refuge, more if they do not do."""
MOST_LOOKS = 8
"""So many failures are looked at by themselves; of the others left over it is not known what they do."""
NOT_LOOKED_AT = "not looked at by itself"


def screened_sweep(fleet: Fleet, rule: Rule, options: SweepOptions) -> FailureSweep | None:
    """Return the sweep of a reserve rule's failures as far as few fits tell; None where they tell nothing.

    Of each kind of VM the k fullest domains together have the most that k failures can ask for. That much is put, while
    nothing moves, into each of k + 1 sets of hosts that share no domain: k failures leave one of the sets whole. Kinds
    of VM that do not fit have no place at all where no host with so many CPUs free takes a single one.

    Parameters
    ----------
    fleet : with the VMs that are somewhere, and without reserve rules. VMs that rules tie, or name one by one, are not
        screened.
    """
    if any(one.kind in TYING or "name" in (one.members or {}) for one in fleet.rules):
        return None
    screen = _Screen(fleet, rule, options)
    harmful, unknown = screen.outcome()
    if unknown and screen.at_once > 1:
        return None
    domains = len(screen.domains)
    many = math.comb(domains, screen.at_once)
    return FailureSweep(
        scope=rule.scope,
        at_once=screen.at_once,
        domains=domains,
        combinations=many,
        alike=0,
        slack=many - len(harmful) - len(unknown),
        solved=0,
        harmful=tuple(harmful),
        unknown=tuple(unknown),
    )


class _Screen:
    """The failures of one rule."""

    def __init__(self, fleet: Fleet, rule: Rule, options: SweepOptions) -> None:
        self.fleet = fleet
        self.still = dataclasses.replace(options, max_moves=0, max_migrations=None)
        self.domains = domains_of(fleet, rule.scope)
        self.at_once = min(rule.fail, len(self.domains))
        self.domain_of = {host: name for name, hosts in self.domains.items() for host in hosts}
        self.on: dict[str, list[Vm]] = defaultdict(list)
        self.asks: dict[str, dict[Kind, list[Vm]]] = {name: defaultdict(list) for name in self.domains}
        kinds = Kinds(fleet)
        for vm in fleet.vms:
            assert vm.current is not None
            self.on[vm.current.host].append(vm)
            domain = self.domain_of.get(vm.current.host)
            if domain is not None and (rule.members is None or matches(rule.members, vm.name, vm.spec.labels)):
                self.asks[domain][kinds.of(vm)].append(vm)
        self.hosts = by_room(fleet, self.on)
        self.free = {host.name: vcpus_free(host, self.on.get(host.name, ())) for host in self.hosts}

    def outcome(self) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
        """Return the failures that are harmful, and those of which it is not known."""
        left = self._left_over(_apart(self.hosts, self.domain_of, self.at_once + 1), self._most_asked())
        if left and self.at_once > 1:
            return [], [{"domains": [], "why": NOT_LOOKED_AT, "ways": 1}]
        nowhere = {kind for kind, vm in left.items() if self._has_no_place(vm)}
        harmful: list[Mapping[str, Any]] = []
        unknown: list[Mapping[str, Any]] = []
        looks = 0
        for name, ask in self.asks.items():
            gone = nowhere
            if beside := [kind for kind in ask if kind in left and kind not in nowhere]:
                looks += 1
                if looks <= MOST_LOOKS:
                    gone = nowhere.union(kind for kind in beside if self._has_no_place(left[kind], name))
                if looks > MOST_LOOKS or not self._fits_beside(name, gone):
                    unknown.append({"domains": [name], "why": NOT_LOOKED_AT, "ways": 1})
                    continue
            lost = [vm for kind, vms in ask.items() if kind in gone for vm in vms]
            if lost:
                harmful.append(
                    {
                        "domains": [name],
                        "vms": sum(map(len, ask.values())),
                        "lost": sorted(vm.name for vm in lost),
                        "vms_lost": len(lost),
                        "vcpus_lost": sum(vm.spec.vcpus for vm in lost),
                        "proven": True,
                        "ways": 1,
                    }
                )
        harmful.sort(key=lambda one: (-one["vcpus_lost"], -one["vms_lost"], one["domains"]))
        return harmful, unknown

    def _most_asked(self) -> dict[Kind, tuple[Vm, int]]:
        """Return a VM of each kind, and how many of the kind as many domains as may fail have at most."""
        example: dict[Kind, Vm] = {}
        counts: dict[Kind, list[int]] = defaultdict(list)
        for ask in self.asks.values():
            for kind, vms in ask.items():
                example.setdefault(kind, vms[0])
                counts[kind].append(len(vms))
        return {kind: (example[kind], sum(heapq.nlargest(self.at_once, many))) for kind, many in counts.items()}

    def _left_over(self, sets: Sequence[Sequence[Host]], asked: Mapping[Kind, tuple[Vm, int]]) -> dict[Kind, Vm]:
        """Return a VM of each kind of which not all fit on every one of these sets of hosts."""
        return {kind: asked[kind][0] for hosts in sets for kind in self._not_taken(hosts, asked)}

    def _not_taken(self, hosts: Sequence[Host], asked: Mapping[Kind, tuple[Vm, int]]) -> set[Kind]:
        """Return the kinds of which not all fit on the first of these hosts, beside what runs there."""
        kinds = [kind for kind, (_, many) in asked.items() for _ in range(many)]
        lost = [homeless(asked[kind][0], f"\0{number}") for number, kind in enumerate(kinds)]
        out = set(kinds)
        tried = 0
        for most in REFUGE_HOSTS:
            some = hosts[:most]
            if len(some) == tried or not out:
                break
            tried = len(some)
            flavors, result, _ = self._placed(some, lost)
            if result.is_answer:
                out = {kind for kind, flavor in zip(kinds, flavors, strict=True) if result.unplaced[flavor]}
        return out

    def _has_no_place(self, vm: Vm, failed: str | None = None) -> bool:
        """Tell whether it is proven that no host but those of a domain takes a VM like this while nothing moves.

        Only those that have so many CPUs free could.
        """
        able = [host for host in self._beside(failed) if self.free[host.name] >= vm.spec.width]
        if not able or len(able) > REFUGE_HOSTS[-1]:
            return not able
        _, result, sure = self._placed(able, [homeless(vm, "\0")])
        return result.is_answer and any(result.unplaced) and sure

    def _placed(self, hosts: Sequence[Host], lost: Sequence[Vm]) -> tuple[Sequence[int], Result, bool]:
        """Return the flavor of each lost VM, the greedy placing of them beside what runs on these hosts, and whether no
        other places more.
        """
        there = [vm for host in hosts for vm in self.on.get(host.name, ())]
        part = with_vms(dataclasses.replace(self.fleet, hosts=tuple(hosts), digest=""), [*there, *lost])
        compiled, result, sure = placed_counts(part, self.still, engine="greedy")
        return compiled.flavors.of_vm[len(there) :], result, sure

    def _fits_beside(self, name: str, gone: Set[Kind]) -> bool:
        """Tell whether all VMs of a domain but those without any place fit on the others."""
        asked = {kind: (vms[0], len(vms)) for kind, vms in self.asks[name].items() if kind not in gone}
        return not self._not_taken(self._beside(name), asked)

    def _beside(self, failed: str | None) -> list[Host]:
        return [host for host in self.hosts if failed is None or self.domain_of.get(host.name) != failed]


def vcpus_free(host: Host, there: Sequence[Vm]) -> float:
    """Return how many vCPUs a host takes beside these VMs at most."""
    return len(host.usable_cpus) * max(1.0, host.cpu_ratio) - sum(vm.spec.width for vm in there)


def by_room(fleet: Fleet, on: Mapping[str, Sequence[Vm]]) -> list[Host]:
    """Return the hosts that take VMs: alternately those with the most CPUs free and those with the most memory free."""
    hosts = [host for host in fleet.hosts if not host.failed and host.name not in fleet.drained]
    cpus, memory = {}, {}
    for host in hosts:
        there = on.get(host.name, ())
        cpus[host.name] = vcpus_free(host, there)
        whole = sum(node.memory_kib for node in host.topology.nodes)
        memory[host.name] = whole - sum(vm.spec.memory_kib for vm in there)
    by_cpus = sorted(hosts, key=lambda host: (-cpus[host.name], -memory[host.name]))
    by_memory = sorted(hosts, key=lambda host: (-memory[host.name], -cpus[host.name]))
    return list({host.name: host for pair in zip(by_cpus, by_memory, strict=True) for host in pair}.values())


def _apart(hosts: Sequence[Host], domain_of: Mapping[str, str], sets: int) -> list[list[Host]]:
    """Return so many sets of hosts that share no domain, the roomiest first; those in no domain are in all of them."""
    out: list[list[Host]] = [[] for _ in range(sets)]
    turn: dict[str, int] = {}
    for host in hosts:
        domain = domain_of.get(host.name)
        of: Iterable[list[Host]] = out if domain is None else [out[turn.setdefault(domain, len(turn) % sets)]]
        for one in of:
            one.append(host)
    return out
