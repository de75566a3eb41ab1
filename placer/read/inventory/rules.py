"""From ``rules[]`` of an inventory to rules: each names something that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from placer.model.rules import Rule, RuleKind, Selection, values_of
from placer.read.inventory.schema import RuleEntry
from placer.read.inventory.validation import Problem, further, note, validate
from placer.read.text.located import FaultLog

_VM_KINDS = ("anti_affinity", "affinity", "within", "outside")
_TAKES = {
    "anti_affinity": ("scope", "max_per", "unless", "name"),
    "affinity": ("scope", "name"),
    "within": ("hosts", "name"),
    "outside": ("hosts", "name"),
    "drain": ("name",),
    "reserve": ("name",),
}
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
        return self.having.get((key, value), set()) | ({value} & self.names if key == "name" else set())

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
                near = get_close_matches(value, self.names, n=1) or [
                    name for name in (f"{value}-1",) if name in self.names
                ]
                return f"did you mean {near[0]!r}?" if near else None
            if key not in self.keys:
                near = get_close_matches(key, self.keys, n=1)
                return f"did you mean the label {near[0]!r}?" if near else None
            values = [known for label, known in self.having if label == key]
            near = get_close_matches(value, values, n=1, cutoff=0.5)
            if (key, value) not in self.having and near:
                return f"did you mean {key}: {near[0]}?"
        return None


class RuleBuilder:
    """Builds rules entry by entry and refuses those that bind nothing."""

    def __init__(self, vms: LabelIndex, hosts: LabelIndex, log: FaultLog) -> None:
        self.vms = vms
        self.hosts = hosts
        self.log = log
        self.warnings: list[str] = []

    def build(self, tree: Any, number: int, line: int | None) -> Rule | None:
        """Return the rule of one entry, or None and its faults in the log."""
        entry, problems = validate(RuleEntry, tree)
        found: list[Problem] = []
        rule = self._rule(entry, line, found) if entry is not None else None
        problems = [*problems, *further(problems, found)]
        if problems:
            note(self.log, problems, tree, f"rules[{number}]", line)
            return None
        return rule

    def _rule(self, entry: RuleEntry, line: int | None, problems: list[Problem]) -> Rule | None:
        kinds = [kind for kind in _TAKES if entry.given(kind)]
        if len(kinds) != 1:
            said = f"says {' and '.join(kinds)} at once" if kinds else "is missing"
            problems.append((() if kinds else ("kind",), said, f"write one of {', '.join(_TAKES)}"))
            return None
        kind = kinds[0]
        problems.extend(
            ((key,), f"does not go with {kind}", f"it takes {', '.join(_TAKES[kind])}")
            for key in ("hosts", "scope", "max_per", "unless")
            if entry.given(key) and key not in _TAKES[kind]
        )
        if kind == "reserve" and entry.reserve is not None:
            self._check_scope(entry.reserve.scope, ("reserve", "scope"), problems, within_host=False)
            members = None
            if entry.reserve.members is not None:
                members = self._selection(entry.reserve.members, "reserve", "VM", self.vms, problems)
            return Rule(
                kind=RuleKind.RESERVE,
                members=members,
                scope=entry.reserve.scope,
                fail=entry.reserve.fail,
                name=entry.name,
                line=line,
            )
        scope = entry.scope or "host"
        if entry.scope is not None:
            self._check_scope(scope, ("scope",), problems, within_host=True)
        members = hosts = None
        if kind in _VM_KINDS:
            members = self._selection(getattr(entry, kind), kind, "VM", self.vms, problems)
        if kind == "drain":
            hosts = self._selection(entry.drain, kind, "host", self.hosts, problems)
        elif kind in ("within", "outside"):
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
            kind=RuleKind(kind),
            members=members,
            hosts=hosts,
            scope=scope,
            max_per=entry.max_per or 1,
            unless=unless,
            name=entry.name,
            line=line,
        )

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
            near = get_close_matches(scope, [*_OWN_SCOPES, *self.hosts.keys], n=1)
            problems.append((path, f"no host has a label {scope!r}", f"did you mean {near[0]}?" if near else None))
        elif lacking := len(self.hosts.names) - len(having):
            self.warnings.append(
                f"{lacking} of {len(self.hosts.names)} hosts have no label {scope!r}, the scope of a rule"
            )
