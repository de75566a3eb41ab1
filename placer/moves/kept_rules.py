"""Rules that tie VMs, between steps: what each domain holds while VMs are under way, and what a step would break.

Limits (anti-affinity, apart, alone, shares) count a VM on its way in its old and in its new domains, as platforms do.
Rules about all domains together (affinity, spread, even) hold whichever of the VMs on their way are still at their old
place. What is broken at the start may stay so and gets no worse; soft rules are not kept on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from placer.measure.rule_excess import TYING, WHOLE, RuleIndex, host_domains, open_domains, over, size_of
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.moves.places import Claims

Pair = tuple[int, Hashable]
"""A rule of the fleet and one of its domains; None for the rule as a whole."""
Spots = frozenset[Hashable]

MEMBER, OTHER = 0, 1
UNDER_WAY = 4
"""So many VMs of a rule about all domains are under way in a wave at most: every order of theirs is looked at."""


@dataclass(slots=True)
class Tally:
    """VMs by domain: what they count there, one under way in both its places, and once where these share a domain."""

    by_host: bool = False
    """A share of hosts: the spots are pairs of a domain and a host, and VMs of one host count once."""
    there: dict[Hashable, Counter[str]] = field(default_factory=dict)
    count: Counter[Hashable] = field(default_factory=Counter)

    def add(self, vm: str, spots: Iterable[Hashable], size: int, sign: int) -> None:
        """Put a VM into spots, or take it out (`sign` −1)."""
        for spot in spots:
            held = self.there.setdefault(spot, Counter())
            before = bool(held) if self.by_host else vm in held
            held[vm] += sign
            if not held[vm]:
                del held[vm]
            after = bool(held) if self.by_host else vm in held
            if before is not after:
                self.count[_domain(spot) if self.by_host else spot] += (1 if self.by_host else size) * sign


@dataclass(slots=True)
class TiedRule:
    """One rule: its VMs by domain, and at the start how far it is over in each (`start`).

    `at` are the spots of each VM, of one under way both; `coming` are VMs under way from nowhere.
    """

    rule: Rule
    members: Tally
    others: Tally
    at: dict[str, list[Spots]] = field(default_factory=dict)
    moving: dict[str, None] = field(default_factory=dict)
    coming: dict[str, None] = field(default_factory=dict)
    start: dict[Hashable, int] = field(default_factory=dict)
    compared: tuple[Hashable, ...] = ()
    """The domains that an even rule compares."""
    sizes: dict[str, int] = field(default_factory=dict)
    """What a VM counts to a share; 1 to all other rules."""

    @property
    def is_whole(self) -> bool:
        """Tell whether the rule is about all domains together."""
        return self.rule.kind in WHOLE


@dataclass(slots=True)
class KeptRules:
    """The rules that the VMs of some steps are in, as things are; `given_up` are those that no step has to keep."""

    fleet: Fleet
    rules: dict[int, TiedRule] = field(default_factory=dict)
    of_vm: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    crowds: dict[str, tuple[Rule, Tally]] = field(default_factory=dict)
    """Scope -> all VMs by its domains, where hosts are for VMs alone: the others there are these less the members."""
    given_up: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, fleet: Fleet, index: RuleIndex, moving: Iterable[int]) -> KeptRules:
        """Return the hard rules that VMs with these numbers are in, with no VM anywhere yet."""
        found, chosen = cls(fleet), set(moving)
        for number, rule in enumerate(fleet.rules):
            if rule.kind not in TYING or rule.is_soft or not chosen:
                continue
            alone = rule.kind is RuleKind.ALONE
            sides = ((MEMBER, index.vms[number]), (OTHER, () if alone else index.others[number]))
            if not alone and chosen.isdisjoint(sides[0][1]) and chosen.isdisjoint(sides[1][1]):
                continue
            by_host = rule.kind is RuleKind.SHARE and rule.of == "hosts"
            tied = TiedRule(rule, Tally(by_host), Tally())
            if rule.kind is RuleKind.EVEN:
                tied.compared = tuple(open_domains(fleet, rule))
            found.rules[number] = tied
            for side, vms in sides:
                for vm in vms:
                    found.of_vm.setdefault(fleet.vms[vm].name, []).append((number, side))
            if rule.kind is RuleKind.SHARE and not by_host:
                tied.sizes = {fleet.vms[vm].name: size_of(fleet, rule, vm) for vm in index.vms[number]}
            if alone:
                found.crowds.setdefault(rule.domains, (rule, Tally()))
        return found

    @property
    def needs_nodes(self) -> bool:
        """Tell whether any rule asks for more than the host of a VM."""
        return any(tied.rule.scope in ("node", "l3") for tied in self.rules.values())

    def ties(self, vm: str) -> bool:
        """Tell whether where a VM is matters to any rule."""
        return vm in self.of_vm or bool(self.crowds)

    def add(self, vm: str, host: str, claims: Claims, sign: int = 1) -> None:
        """Count a VM at a place, or no longer (`sign` −1)."""
        for number, side in self.of_vm.get(vm, ()):
            tied = self.rules[number]
            spots = self._spots_of(tied, host, claims)
            (tied.members if side == MEMBER else tied.others).add(vm, spots, tied.sizes.get(vm, 1), sign)
            if side == MEMBER:
                at = tied.at.setdefault(vm, [])
                if sign > 0:
                    at.append(spots)
                else:
                    at.remove(spots)
                if len(at) > 1:
                    tied.moving[vm] = None
                else:
                    tied.moving.pop(vm, None)
        for rule, crowd in self.crowds.values():
            crowd.add(vm, self._domains_of(rule, host, claims), 1, sign)

    def comes(self, vm: str, *, now: bool) -> None:
        """Note that a VM is under way from nowhere, or has arrived (`now` false)."""
        for number, side in self.of_vm.get(vm, ()):
            if side == MEMBER and now:
                self.rules[number].coming[vm] = None
            elif side == MEMBER:
                self.rules[number].coming.pop(vm, None)

    def begin(self) -> None:
        """Take things as they are for the start."""
        for number, tied in self.rules.items():
            domains: Iterable[Hashable] = (None,) if tied.is_whole else list(self._counted(tied).count)
            tied.start = {domain: most for domain in domains if (most := self._over(number, domain)) > 0}

    def broken_by(self, vm: str, host: str, gain: Claims, *, monotone: bool = False) -> list[Pair]:
        """Return what a step that takes a VM to a place would break worse than it is at the start.

        With `monotone` only rules are asked that no VM can keep by being there: where VMs vanish they stay kept.
        """
        if not self.ties(vm):
            return []
        asked = [number for number in self._asked(vm) if number not in self.given_up]
        if not asked:
            return []
        self.add(vm, host, gain)
        found: list[Pair] = []
        for number in asked:
            tied = self.rules[number]
            if tied.is_whole:
                if not monotone and not self._holds(tied, vm):
                    found.append((number, None))
                continue
            for domain in self._domains_of(tied.rule, host, gain):
                if self._over(number, domain) > tied.start.get(domain, 0):
                    found.append((number, domain))
        self.add(vm, host, gain, -1)
        return found

    def broken_now(self) -> list[int]:
        """Return the rules given up that are worse now, whichever VMs under way are where, than at the start."""
        found = []
        for number in sorted(self.given_up):
            tied = self.rules[number]
            if tied.is_whole:
                worse = not self._holds(tied, None)
            else:
                domains = list(self._counted(tied).count)
                worse = any(self._over(number, domain) > tied.start.get(domain, 0) for domain in domains)
            if worse:
                found.append(number)
        return found

    def holders(self, pair: Pair) -> set[str]:
        """Return the VMs that stand in the way of a step that would break a rule in a domain."""
        tied, domain = self.rules[pair[0]], pair[1]
        if tied.is_whole:
            return {vm for vm, at in tied.at.items() if at}
        tallies = [tied.members, tied.others]
        if tied.rule.kind is RuleKind.ALONE:
            tallies.append(self.crowds[tied.rule.domains][1])
        return {
            vm
            for tally in tallies
            for spot, held in tally.there.items()
            if (_domain(spot) if tally.by_host else spot) == domain
            for vm in held
        }

    def words(self, pair: Pair) -> str:
        """Return in words what a step would break."""
        rule, domain = self.rules[pair[0]].rule, pair[1]
        if rule.kind is RuleKind.AFFINITY:
            what = "its VMs would be apart on the way"
        elif rule.kind is RuleKind.SPREAD:
            what = "its VMs would use too few domains on the way"
        elif rule.kind is RuleKind.EVEN:
            what = "its VMs would be uneven on the way"
        elif rule.kind in (RuleKind.APART, RuleKind.ALONE):
            what = f"{rule.scope} {domain!r} holds VMs that may not be beside it"
        else:
            what = f"{domain!r} holds as many of its VMs as it may"
        return f"rule {rule.label!r}: {what}"

    def never_kept(self, ends: Mapping[str, tuple[str, Claims]]) -> set[int]:
        """Return the rules that hold two VMs and more in one domain and that no order of their moves keeps: all leave
        it for another one, and whoever goes first is alone there.

        `ends` are the hosts and claims that VMs have in the end, where they are not as now.
        """
        found = set()
        for number, tied in self.rules.items():
            held = {vm: at[0] for vm, at in tied.at.items() if at}
            if tied.rule.kind is not RuleKind.AFFINITY or len(held) < 2:
                continue
            before = frozenset[Hashable]().union(*held.values())
            after = frozenset[Hashable]().union(
                *(self._domains_of(tied.rule, *ends[vm]) if vm in ends else spots for vm, spots in held.items())
            )
            if len(before) == len(after) == 1 and before != after:
                found.add(number)
        return found

    def _asked(self, vm: str) -> Iterator[int]:
        """Yield the rules that a VM is in, those that want it alone with others included."""
        mine = dict.fromkeys(number for number, _ in self.of_vm.get(vm, ()))
        yield from mine
        if self.crowds:
            yield from (n for n, tied in self.rules.items() if tied.rule.kind is RuleKind.ALONE and n not in mine)

    def _spots_of(self, tied: TiedRule, host: str, claims: Claims) -> Spots:
        found = self._domains_of(tied.rule, host, claims)
        return frozenset((domain, host) for domain in found) if tied.members.by_host else found

    def _domains_of(self, rule: Rule, host: str, claims: Claims) -> Spots:
        if rule.scope == "node":
            return frozenset((host, node) for node in claims.nodes)
        if rule.scope == "l3":
            return frozenset((host, cache) for cache in claims.caches)
        return frozenset(host_domains(rule, self.fleet.host_by_name[host]))

    def _counted(self, tied: TiedRule) -> Tally:
        """Return the VMs in whose domains a limit can be over."""
        return tied.others if tied.rule.kind is RuleKind.APART else tied.members

    def _over(self, number: int, domain: Hashable) -> int:
        """Return how far a rule is over in a domain as things are."""
        tied = self.rules[number]
        if tied.is_whole:
            return self._whole(tied, tied.members.count)
        others = tied.others.count
        if tied.rule.kind is RuleKind.ALONE:
            others = Counter({domain: self.crowds[tied.rule.domains][1].count[domain] - tied.members.count[domain]})
        return over(self.fleet, tied.rule, domain, tied.members.count, others)

    def _whole(self, tied: TiedRule, count: Mapping[Hashable, int]) -> int:
        """Return how far a rule about all domains is over with so many VMs in each."""
        held = Counter({domain: many for domain, many in count.items() if many})
        if not held:
            return 0
        if tied.rule.kind is RuleKind.EVEN:
            counts = [held[domain] for domain in tied.compared]
            return max(counts) - min(counts) - tied.rule.skew if counts else 0
        return over(self.fleet, tied.rule, None, held, Counter())

    def _holds(self, tied: TiedRule, vm: str | None) -> bool:
        """Tell whether a rule about all domains is kept wherever each of the VMs under way just is; `vm` goes too."""
        most = max(0, tied.start.get(None, 0))
        ways: list[tuple[Sequence[Spots], Spots]] = []
        for name in {**tied.moving, **tied.coming, **({vm: None} if vm in tied.at else {})}:
            at = tied.at[name]
            choices = at if len(at) > 1 else [frozenset[Hashable](), *at]
            if len(set(choices)) > 1:
                ways.append((choices, frozenset().union(*at)))
        if len(ways) > UNDER_WAY:
            return False
        settled = Counter(tied.members.count)
        for _, counted in ways:
            settled.subtract(counted)
        for chosen in product(*(choices for choices, _ in ways)):
            count = settled.copy()
            for spots in chosen:
                count.update(spots)
            if self._whole(tied, count) > most:
                return False
        return True


def _domain(spot: Hashable) -> Hashable:
    """Return the domain of a spot of a share of hosts."""
    assert isinstance(spot, tuple)
    domain: Hashable = spot[0]
    return domain
