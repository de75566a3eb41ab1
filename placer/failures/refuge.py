"""Where the VMs of a failure find room: two failures that find it apart from each other are survived at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from placer.model.rules import RuleKind
from placer.planning.compile.compile import Compiled
from placer.planning.compile.cross_rules import WITHIN_HOST
from placer.planning.compile.flavors import rule_of
from placer.planning.decode.names import assign_names
from solvers.result import Result


@dataclass(frozen=True, slots=True)
class Refuge:
    """Where the VMs of one failure find room; see `refuge`."""

    hosts: frozenset[str]
    spread: frozenset[tuple[int, str]]
    together: frozenset[int]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Refuge:
        """Return it from plain data."""
        return cls(
            frozenset(data["hosts"]),
            frozenset((int(rule), str(domain)) for rule, domain in data["spread"]),
            frozenset(data["together"]),
        )

    def apart_from(self, other: Refuge) -> bool:
        """Tell whether both plans hold at once.

        Each host takes VMs of one failure only, and so does each domain of a rule that keeps VMs apart: there are then
        no more of them in it than one of the two plans has. Rules that hold VMs together see the VMs of one failure.
        """
        return (
            self.hosts.isdisjoint(other.hosts)
            and self.spread.isdisjoint(other.spread)
            and self.together.isdisjoint(other.together)
        )


def refuge(compiled: Compiled, result: Result, failed: set[str]) -> dict[str, Any] | None:
    """Return where the VMs of the failed hosts go, None where others move to make room for them, or where rules tie
    them that two failures may break only together.

    ``hosts`` take some; ``spread`` are the (rule, domain) pairs where some arrive that a rule over hosts keeps apart,
    ``together`` the rules that hold some of them together: what another failure must not touch.
    """
    fleet = compiled.fleet
    hosts: set[str] = set()
    spread: set[tuple[int, str]] = set()
    together: set[int] = set()
    for entry in assign_names(compiled, result).hosts:
        host = fleet.hosts[entry.host]
        for placement, number in entry.vms:
            current = fleet.vms[number].current
            if current is None:
                continue
            if current.host not in failed:
                stays = number in compiled.now[entry.host].get(placement, ())
                flavor = compiled.flavors.of_vm[number]
                if not stays and number not in compiled.floating[entry.host].get(flavor, ()):
                    return None
                continue
            hosts.add(host.name)
            for tied in compiled.flavors.groups[compiled.flavors.of_vm[number]].rules:
                rule = rule_of(tied, fleet.rules)
                if rule.is_soft:
                    continue
                if rule.kind not in (RuleKind.AFFINITY, RuleKind.ANTI_AFFINITY):
                    return None
                if rule.kind is RuleKind.AFFINITY:
                    together.add(tied)
                elif rule.scope not in WITHIN_HOST and rule.scope in host.labels:
                    spread.add((tied, host.labels[rule.scope]))
    return {"hosts": sorted(hosts), "spread": sorted(map(list, spread)), "together": sorted(together)}
