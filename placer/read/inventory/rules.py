"""From ``rules[]`` of an inventory to rules: each names something that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

from placer.errors import InputError, did_you_mean, nearest
from placer.model.goals import parse_flavor
from placer.model.rules import ITSELF, SHARES, Rule, RuleKind, Selection, said, values_of
from placer.read.inventory.files import Files
from placer.read.inventory.pairs import read_pairs, rules_of_pairs
from placer.read.inventory.schema import RuleEntry
from placer.read.inventory.validation import Problem, further, note, validate
from placer.read.text.located import FaultLog

_SOFT = ("soft", "weight", "priority", "name")
_TAKES = {
    "anti_affinity": ("scope", "max_per", "unless", *_SOFT),
    "affinity": ("scope", *_SOFT),
    "within": ("hosts", *_SOFT),
    "outside": ("hosts", *_SOFT),
    "apart": ("scope", "max_together", *_SOFT),
    "pairs": ("label", "scope", *_SOFT),
    "alone": ("scope", *_SOFT),
    "dedicated": ("hosts", *_SOFT),
    "spread": ("scope", "at_least", *_SOFT),
    "even": ("scope", "max_skew", *_SOFT),
    "share": ("scope", "max_vcpus", "max_memory", "max_hosts", *_SOFT),
    "drain": _SOFT,
    "reserve": ("name",),
    "hold": ("name",),
    "failover_for": ("scope", "name"),
}
_ALL_KEYS = sorted({key for keys in _TAKES.values() for key in keys if key != "name"})
_RESERVES = ("reserve", "hold", "failover_for")
_HOSTS_SAID = ("within", "outside", "dedicated")
_SCOPES = {
    "apart": ("host", "node"),
    "pairs": ("host", "node"),
    "alone": ("host", "node"),
    "spread": ("host",),
    "even": ("host",),
    "share": ("host",),
}
"""Scopes beside labels of hosts that a kind goes with, where it does not go with each."""
_OWN_SCOPES = ("host", "node", "l3")


Said = str | list[str] | dict[str, str | list[str]]
"""A selection as a file says it: a name, names, or labels with a value or several."""


def selection_of(said: Said) -> Selection:
    """Return what a name, a list of names, or labels with a value or a list of values select."""
    labels = said if isinstance(said, dict) else {"name": said}
    return {label: frozenset(one) if isinstance(one, list) else one for label, one in labels.items()}


class LabelIndex:
    """Which objects have which label: finding the members of a rule must not walk the whole fleet."""

    def __init__(self, objects: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        self.names: set[str] = set()
        self.having: dict[tuple[str, str], set[str]] = {}
        self.keys: dict[str, set[str]] = {}
        for name, labels in objects:
            self.names.add(name)
            for pair in labels.items():
                self.having.setdefault(pair, set()).add(name)
                self.keys.setdefault(pair[0], set()).add(name)

    def any(self, selection: Selection) -> bool:
        """Tell whether some object has all these labels; ``name`` is the object's own name."""
        sets = [set().union(*(self._with(key, value) for value in values_of(selection, key))) for key in selection]
        return bool(sets and set.intersection(*sets))

    def _with(self, key: str, value: str) -> set[str]:
        return self.having.get((key, value), set()) | ({value} & self.names if key in ("name", ITSELF) else set())

    def missing(self, selection: Selection) -> list[tuple[str, str]]:
        """Return the pairs of labels with several values that no object has."""
        return [
            (key, value)
            for key, wanted in selection.items()
            if not isinstance(wanted, str)
            for value in sorted(wanted)
            if not self._with(key, value)
        ]

    def hint(self, selection: Selection) -> str | None:
        """Return what the selection may have meant."""
        for key in selection:
            value = min(values_of(selection, key), default="")
            if key == "name":
                if f"{value}-1" in self.names:
                    return f"did you mean {f'{value}-1'!r}?"
                return did_you_mean(value, sorted(self.names))
            if key not in self.keys:
                near = nearest(key, self.keys)
                return f"did you mean the label {near!r}?" if near else None
            values = [known for label, known in self.having if label == key]
            near = nearest(value, values, least=0.5)
            if (key, value) not in self.having and near:
                return f"did you mean {key}: {near}?"
        return None


class RuleBuilder:
    """Builds rules entry by entry and refuses those that bind nothing."""

    def __init__(self, vms: LabelIndex, hosts: LabelIndex, files: Files, log: FaultLog) -> None:
        self.vms = vms
        self.files = files
        self.hosts = hosts
        self.log = log
        self.warnings: list[str] = []

    def build(self, tree: Any, number: int, line: int | None) -> tuple[Rule, ...]:
        """Return the rules of one entry, one for each pair of groups or each limit; none, and its faults in the log."""
        entry, problems = validate(RuleEntry, tree)
        found: list[Problem] = []
        rules = self._rules(entry, line, found) if entry is not None else ()
        problems = [*problems, *further(problems, found)]
        if problems:
            note(self.log, problems, tree, f"rules[{number}]", line)
            return ()
        return rules

    def _rules(self, entry: RuleEntry, line: int | None, problems: list[Problem]) -> tuple[Rule, ...]:
        rule = self._rule(entry, line, problems)
        if rule is None:
            return ()
        rule = replace(rule, weight=_weight(entry, problems), priority=entry.priority or 0)
        if rule.is_soft and rule.scope == "l3":
            problems.append((("scope",), "a soft rule does not go with l3", "it goes with host, node or a label"))
        if entry.pairs is not None:
            return self._pairs(entry, entry.pairs, rule, problems)
        if rule.kind is RuleKind.APART:
            groups = [self._selection(one, "apart", "VM", self.vms, problems) for one in entry.apart or ()]
            if len(groups) < 2:
                problems.append((("apart",), "names no two groups", "write apart: [{app: a}, {app: b}]"))
            pairs = tuple(combinations(groups, 2))
            named = rule.name if len(pairs) > 1 else None
            return tuple(
                replace(
                    rule,
                    members=one,
                    others=other,
                    name=f"{named} ({said(one)} and {said(other)})" if named else rule.name,
                )
                for one, other in pairs
            )
        if rule.kind is RuleKind.SHARE:
            limits = (entry.max_vcpus, None if entry.max_memory is None else entry.max_memory // 1024, entry.max_hosts)
            if all(most is None for most in limits):
                problems.append((("share",), "says no share", "say max_vcpus, max_memory or max_hosts"))
            shares = [(of, most) for of, most in zip(SHARES, limits, strict=True) if most is not None]
            named = rule.name if len(shares) > 1 else None
            return tuple(
                replace(rule, of=of, most=most, name=f"{named} ({of})" if named else rule.name) for of, most in shares
            )
        return (rule,)

    def _pairs(
        self, entry: RuleEntry, said: str | list[list[str]], rule: Rule, problems: list[Problem]
    ) -> tuple[Rule, ...]:
        """Return the rules of a table of pairs; a table is written for all VMs there ever are, not for these here."""
        if entry.label is None:
            problems.append((("label",), "is missing", "say which label of VMs the pairs name: label: app"))
            return ()
        rules, idle = rules_of_pairs(read_pairs(said, self.files, problems), entry.label, self.vms.having, rule)
        if idle:
            self.warnings.append(f"{idle} of {idle + len(rules)} pairs of a rule name VMs that are not there")
        if not rules and not problems:
            message = f"no pair names two values of the label {entry.label!r} that VMs have"
            problems.append((("pairs",), message, self.vms.hint({entry.label: ""})))
        return tuple(rules)

    def _rule(self, entry: RuleEntry, line: int | None, problems: list[Problem]) -> Rule | None:
        kinds = [kind for kind in _TAKES if entry.given(kind)]
        if len(kinds) != 1:
            said = f"says {' and '.join(kinds)} at once" if kinds else "is missing"
            problems.append((() if kinds else ("kind",), said, f"write one of {', '.join(_TAKES)}"))
            return None
        kind = kinds[0]
        problems.extend(
            ((key,), f"does not go with {kind}", f"it takes {', '.join(_TAKES[kind])}")
            for key in _ALL_KEYS
            if entry.given(key) and key not in _TAKES[kind]
        )
        if kind in _RESERVES:
            return self._reserve(entry, line, problems)
        scope = entry.scope or "host"
        if entry.scope is not None:
            self._check_scope(scope, ("scope",), problems, within_host=True)
            if kind in _SCOPES and scope in _OWN_SCOPES and scope not in _SCOPES[kind]:
                goes = " or ".join((*_SCOPES[kind], "a label of hosts"))
                problems.append((("scope",), f"{kind} does not go with {scope}", f"it goes with {goes}"))
        members = hosts = None
        if kind not in ("drain", "apart", "pairs"):
            members = self._selection(getattr(entry, kind), kind, "VM", self.vms, problems)
        if kind == "drain":
            hosts = self._selection(entry.drain, kind, "host", self.hosts, problems)
        elif kind in _HOSTS_SAID:
            if entry.hosts is None:
                problems.append((("hosts",), "is missing", f"say {kind} which hosts: hosts: {{zone: a}}"))
            else:
                hosts = self._selection(entry.hosts, "hosts", "host", self.hosts, problems)
        unless = None
        if entry.unless is not None and kind == "anti_affinity":
            unless = self._selection(entry.unless, "unless", "host", self.hosts, problems)
            if scope in _OWN_SCOPES:
                problems.append((("unless",), f"does not go with scope {scope}", "it goes with a label of hosts"))
        return Rule(
            kind=RuleKind.APART if kind == "pairs" else RuleKind(kind),
            members=members,
            hosts=hosts,
            scope=scope,
            max_per=(entry.max_together or 0) if kind == "apart" else entry.max_per or 1,
            domains_used=entry.at_least or 2 if kind == "spread" else 0,
            skew=(1 if entry.max_skew is None else entry.max_skew) if kind == "even" else 0,
            unless=unless,
            name=entry.name,
            line=line,
        )

    def _reserve(self, entry: RuleEntry, line: int | None, problems: list[Problem]) -> Rule:
        """Return what keeps room: for failures, for VMs of a flavor to come, or for each of some VMs."""
        rule = Rule(kind=RuleKind.RESERVE, name=entry.name, line=line)
        if entry.hold is not None:
            try:
                parse_flavor(entry.hold.flavor)
            except InputError as error:
                problems.append((("hold", "flavor"), error.faults[0].message, error.faults[0].cure))
            if entry.hold.scope is not None:
                self._check_scope(entry.hold.scope, ("hold", "scope"), problems, within_host=False)
            return replace(rule, flavor=entry.hold.flavor, slots=entry.hold.count, scope=entry.hold.scope or "")
        kind = "reserve" if entry.reserve is not None else "failover_for"
        chosen = entry.failover_for if entry.reserve is None else entry.reserve.members
        scope = (entry.scope if entry.reserve is None else entry.reserve.scope) or "host"
        self._check_scope(
            scope, ("scope",) if entry.reserve is None else ("reserve", "scope"), problems, within_host=False
        )
        members = None if chosen is None else self._selection(chosen, kind, "VM", self.vms, problems)
        return replace(rule, members=members, scope=scope, fail=0 if entry.reserve is None else entry.reserve.fail)

    def _selection(self, said: Any, key: str, what: str, index: LabelIndex, problems: list[Problem]) -> Selection:
        selection = selection_of(said)
        if not selection or not all(selection.values()):
            problems.append(((key,), f"selects no {what}", "name labels such as {app: db}"))
            return selection
        missing = index.missing(selection)
        for label, value in missing:
            problems.append(((key,), f"no {what} has {label}: {value}", index.hint({label: value})))
        if not missing and not index.any(selection):
            wanted = ", ".join(f"{label}: {' or '.join(sorted(values_of(selection, label)))}" for label in selection)
            problems.append(((key,), f"no {what} has {wanted}", index.hint(selection)))
        return selection

    def _check_scope(self, scope: str, path: tuple[str, ...], problems: list[Problem], *, within_host: bool) -> None:
        if scope == "host" or (within_host and scope in _OWN_SCOPES):
            return
        having = self.hosts.keys.get(scope, set())
        if not having:
            near = nearest(scope, [*_OWN_SCOPES, *self.hosts.keys])
            problems.append((path, f"no host has a label {scope!r}", f"did you mean {near}?" if near else None))
        elif lacking := len(self.hosts.names) - len(having):
            have = "has" if lacking == 1 else "have"
            self.warnings.append(
                f"{lacking} of {len(self.hosts.names)} hosts {have} no label {scope!r}, the scope of a rule"
            )


def _weight(entry: RuleEntry, problems: list[Problem]) -> int | None:
    """Return the weight of a soft rule, None for a hard one."""
    if entry.soft is False and entry.weight is not None:
        problems.append((("weight",), "goes with a soft rule", "leave soft out, or say soft: true"))
    soft = entry.soft or entry.weight is not None
    if entry.priority is not None and not soft:
        problems.append((("priority",), "goes with a soft rule: hard ones stand before all", "say soft: true"))
    return (entry.weight or 1) if soft else None
