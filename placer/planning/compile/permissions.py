"""Which VMs may newly come to a host, and what each one that stays there breaks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, matches
from placer.planning.compile.flavors import CONFINING, FlavorGroup, broken_here, may_arrive
from solvers.problem import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may arrive on hosts of one signature, and the rule excess each VM that stays there counts; (F,) each."""

    allowed: BoolArray
    penalty: IntArray


@dataclass(slots=True)
class Permissions:
    """The permissions of hosts; those alike in all that they depend on share one."""

    fleet: Fleet
    groups: Sequence[FlavorGroup]
    _known: dict[Hashable, Permission] = field(default_factory=dict)
    _confining: tuple[Rule, ...] = field(init=False)
    _bound: frozenset[str | None] = field(init=False)

    def __post_init__(self) -> None:
        """Note what permissions depend on: the confining rules, and the hosts that some VM cannot leave."""
        self._confining = tuple(rule for rule in self.fleet.rules if rule.kind in CONFINING and not rule.is_soft)
        self._bound = frozenset(group.confinement.only_host for group in self.groups)

    def of(self, host: Host, drained: int) -> Permission:
        """Return the permission of a host that `drained` drain rules select."""
        confining = tuple(matches(rule.hosts, host.name, host.labels) for rule in self._confining)
        only = host.name if host.name in self._bound else None
        still = host.name in self.fleet.still
        key = (still, host.kvm, host.smt, host.widest_vm, host.migration_domain, host.gen, drained, only, confining)
        if key not in self._known:
            rules = self.fleet.rules
            allowed = np.array(
                [not still and may_arrive(g.confinement, g.needs, host, rules, drained) for g in self.groups],
                dtype=bool,
            )
            penalty = np.array([drained + broken_here(g.confinement, host, rules) for g in self.groups], dtype=np.int64)
            self._known[key] = Permission(allowed=allowed, penalty=penalty)
        return self._known[key]
