"""Rules that tie VMs to each other and to hosts."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from enum import StrEnum

Selection = Mapping[str, str | frozenset[str]]
"""Label -> the value that an object must have, or the values of which it must have one; every label must match."""


class RuleKind(StrEnum):
    """The kinds of rule an inventory may hold."""

    ANTI_AFFINITY = "anti_affinity"
    AFFINITY = "affinity"
    WITHIN = "within"
    OUTSIDE = "outside"
    DRAIN = "drain"
    RESERVE = "reserve"
    APART = "apart"
    ALONE = "alone"
    DEDICATED = "dedicated"
    SPREAD = "spread"
    EVEN = "even"
    SHARE = "share"
    GROUP = "group"
    """No rule: VMs that a goal asks for."""


_MARK = "\\"
"""What stands between a label and what a rule makes of it; in labels themselves it is doubled."""
ITSELF = f"{_MARK}name"
"""A key of selections that is an object's own name, whatever labels it has."""
SHARES = ("vcpus", "memory", "hosts")
"""What a share limits: the vCPUs of its VMs, their memory in MiB (each VM's rounded up), or the hosts that hold one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    `members` selects VMs, `hosts` selects hosts; the label ``name`` is the object's own name. `scope` is ``host``,
    ``node``, ``l3`` or a host label such as ``rack``. `max_per` is how many members one domain may hold
    (anti-affinity). `fail` is how many domains of `scope` may fail at once (reserve); its `members` are the VMs that
    find a place then, None for all.
    `others` are the VMs of the second group (apart), of which a domain that holds one of `members` holds `max_per` at
    most; for ``alone`` and ``dedicated`` they are all VMs but the members. `domains_used` is the fewest domains that
    the members use (spread), `skew` by how many the domain with most of them may be above the one with fewest (even),
    `of` what a share limits, and `most` to how much.
    `weight` makes a rule soft: it may be broken, and each unit of its excess counts so much towards the goal ``soft``
    of its `priority`.
    An anti-affinity over a host label does not hold on the hosts that `unless` selects. `line` is where the inventory
    says it.
    """

    kind: RuleKind
    members: Selection | None = None
    hosts: Selection | None = None
    scope: str = "host"
    max_per: int = 1
    others: Selection | None = None
    domains_used: int = 0
    skew: int = 0
    of: str | None = None
    most: int = 0
    weight: int | None = None
    priority: int = 0
    fail: int = 0
    flavor: str | None = None
    slots: int = 0
    unless: Selection | None = None
    name: str | None = None
    line: int | None = None

    @property
    def label(self) -> str:
        """The rule in the planner's words: its name, or kind and selection."""
        if self.name:
            return self.name
        if self.holds:
            what = f"hold {self.slots} x {self.flavor}" if self.flavor else f"failover_for {said(self.members or {})}"
            return what + (f" per {self.scope}" if self.scope else "")
        chosen = said(self.members or self.hosts or {})
        if self.others:
            chosen += f" and {said(self.others)}"
        kind = self.kind.value if self.of is None else f"{self.kind.value} of {self.of}"
        return f"{kind} {chosen}".strip() + ("" if self.scope == "host" else f" per {self.scope}")

    @property
    def holds(self) -> bool:
        """Tell whether the rule is a reserve that keeps slots free, whatever fails."""
        return self.kind is RuleKind.RESERVE and not self.fail

    def covers(self, vm: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a reserve is kept for a VM of this name and these labels: for all where no members are said."""
        return self.members is None or matches(self.members, vm, labels)

    @property
    def selections(self) -> tuple[Selection, ...]:
        """What selects VMs: the members, and the second group where it is selected too."""
        return tuple(chosen for chosen in (self.members, self.others) if chosen)

    @property
    def is_soft(self) -> bool:
        """Tell whether the rule may be broken, at a cost."""
        return self.weight is not None

    @property
    def soft_goal(self) -> str:
        """The goal that counts a soft rule: one for each priority."""
        return soft_goal(self.priority)

    def keeps_off(self, vm: str, labels: Mapping[str, str], host: str, host_labels: Mapping[str, str]) -> bool:
        """Tell whether a rule that confines VMs to hosts does not let this one be on this host."""
        inside = matches(self.hosts, host, host_labels)
        if self.kind is RuleKind.DRAIN:
            return inside
        member = matches(self.members, vm, labels)
        if self.kind is RuleKind.DEDICATED:
            return member is not inside
        return member and self.kind in (RuleKind.WITHIN, RuleKind.OUTSIDE) and inside is (self.kind is RuleKind.OUTSIDE)

    @property
    def domains(self) -> str:
        """A name for the domains of a host label as this rule sees them: rules of equal names have equal domains."""
        scope = _quoted(self.scope)
        if self.kind is RuleKind.GROUP:
            return f"{scope}{_MARK}or host"
        if self.kind is RuleKind.EVEN and self.scope != "host":
            # Of its domains those alone are compared that have a host which may take VMs.
            scope = f"{scope}{_MARK}open"
        return scope if not self.unless else f"{scope}{_MARK}unless {said(self.unless)}"

    def domain_of(self, host: str, labels: Mapping[str, str]) -> str | None:
        """Return the domain of a host label that a host is in; None where it has none, or the rule does not hold. To a
        group that a goal asks for, a host without the label is a domain by itself.
        """
        if self.kind is RuleKind.GROUP:
            return _quoted(labels[self.scope]) if self.scope in labels else f"{_MARK}host {host}"
        return None if self.unless and matches(self.unless, host, labels) else labels.get(self.scope)


def _quoted(name: str) -> str:
    """Return a label or its value in which no mark stands alone, so that nothing is taken for what follows a mark."""
    return name.replace(_MARK, 2 * _MARK)


def soft_goal(priority: int) -> str:
    """Return the goal that counts the soft rules of a priority: ``soft`` for 0, else ``soft:<priority>``."""
    return f"soft:{priority}" if priority else "soft"


def said(selection: Selection) -> str:
    """Return a selection in words: ``app=db,rack=r1/r2``."""
    shown = [key for key in sorted(selection) if key != "name" or ITSELF not in selection]
    return ",".join(f"{key.removeprefix(_MARK)}={'/'.join(sorted(values_of(selection, key)))}" for key in shown)


def values_of(selection: Selection, key: str) -> frozenset[str]:
    """Return the values of a label of which an object must have one."""
    value = selection[key]
    return frozenset((value,)) if isinstance(value, str) else value


def looked_up(selection: Selection) -> tuple[tuple[str, str], ...]:
    """Return pairs of a label and its values by which objects are found: whatever is selected has just one of them."""
    key = min(selection, key=lambda label: (label != "name", label))
    return tuple((key, value) for value in sorted(values_of(selection, key)))


def own_name(name: str, labels: Mapping[str, str]) -> str:
    """Return what selects an object by ``name``: its label of that key stands before its own name."""
    return labels.get("name", name)


def drain_of(host: str, labels: Mapping[str, str], line: int | None = None) -> Rule:
    """Return the rule that empties a host of this name and these labels."""
    return Rule(kind=RuleKind.DRAIN, hosts=only(host, labels), line=line)


def only(name: str, labels: Mapping[str, str]) -> Selection:
    """Return what selects this object alone, and none whose label called ``name`` is its name."""
    return {"name": own_name(name, labels), ITSELF: name}


def plainly(rule: Rule, called: Set[str]) -> Rule:
    """Return the rule as a person writes it: a host that none has a label ``name`` of is chosen by its name alone.

    `called` are all labels of that key.
    """
    hosts = rule.hosts or {}
    if ITSELF not in hosts or hosts.get("name") != hosts[ITSELF] or hosts[ITSELF] in called:
        return rule
    return replace(rule, hosts={key: value for key, value in hosts.items() if key != ITSELF})


def value_of(key: str, name: str, labels: Mapping[str, str]) -> str | None:
    """Return what a selection by a key sees of an object."""
    return name if key == ITSELF else own_name(name, labels) if key == "name" else labels.get(key)


def matches(selection: Selection | None, name: str, labels: Mapping[str, str]) -> bool:
    """Tell whether an object of this name and these labels is selected; an empty or missing selection takes none."""
    if not selection:
        return False
    for key, wanted in selection.items():
        value = value_of(key, name, labels)
        if value != wanted if isinstance(wanted, str) else value not in wanted:
            return False
    return True
