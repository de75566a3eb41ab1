"""Rules of an inventory as the reference reads them, from docs/reference/inventory.md."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol


class Named(Protocol):
    """What is chosen by its name and labels: a host or a VM."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that ties VMs or confines them (`within`, `outside`, `dedicated`, `drain`).

    `others` are the VMs of the second group (`apart`) or all but the members (`alone`, `dedicated`). `most` is what a
    domain may hold, of members (`anti_affinity`), of others (`apart`) or of what a `share` is `of`; `least` how many
    domains members use (`spread`), `skew` how uneven they may be (`even`). A soft rule has a `weight`, and counts
    towards the goal `soft`, or `soft:<priority>`.
    """

    kind: str
    members: frozenset[str]
    hosts: frozenset[str]
    scope: str = "host"
    most: int = 1
    exempt: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    least: int = 0
    skew: int = 0
    of: str = ""
    weight: int | None = None
    priority: int = 0

    @property
    def soft_goal(self) -> str:
        """The goal that counts it where it is soft."""
        return f"soft:{self.priority}" if self.priority else "soft"


def selected(selection: Any, objects: Sequence[Named]) -> frozenset[str]:
    """Return the names of the objects that a selection chooses: by a name, names, or labels that all match."""
    if isinstance(selection, (str, list)):
        names = [selection] if isinstance(selection, str) else selection
        return frozenset(one.name for one in objects if one.name in names)
    wanted = {key: value if isinstance(value, list) else [value] for key, value in selection.items()}
    return frozenset(
        one.name
        for one in objects
        if wanted and all((one.name if key == "name" else one.labels.get(key)) in v for key, v in wanted.items())
    )


def drain_of(host: str, vms: Sequence[Named]) -> Rule:
    """Return the rule that a host which is to be emptied stands for."""
    return Rule(kind="drain", members=frozenset(vm.name for vm in vms), hosts=frozenset({host}))


_KINDS = (
    *("anti_affinity", "affinity", "within", "outside", "drain", "maintenance"),
    *("apart", "pairs", "alone", "dedicated", "spread", "even", "share"),
)


def read_rules(data: Mapping[str, Any], hosts: Sequence[Named], vms: Sequence[Named]) -> Iterator[Rule]:
    """Yield the rules that one entry stands for: of `apart` and `pairs` one a pair of groups."""
    kind = next(key for key in _KINDS if key in data)
    soft = data.get("soft", False) or "weight" in data
    says: dict[str, Any] = {
        "hosts": selected(data["hosts"], hosts) if "hosts" in data else frozenset(),
        "scope": data.get("scope", "host"),
        "weight": data.get("weight", 1) if soft else None,
        "priority": data.get("priority", 0),
    }
    if kind in ("drain", "maintenance"):
        everyone = frozenset(vm.name for vm in vms)
        yield Rule(**{**says, "kind": "drain", "members": everyone, "hosts": selected(data[kind], hosts)})
        return
    if kind == "apart":
        for one, other in itertools.combinations([selected(group, vms) for group in data["apart"]], 2):
            yield Rule(**says, kind=kind, members=one, others=other, most=data.get("max_together", 0))
        return
    if kind == "pairs":
        for first, second, most in data["pairs"]:
            one, other = (selected({data["label"]: value}, vms) for value in (first, second))
            if first == second:
                yield Rule(**says, kind="anti_affinity", members=one, most=most)
            else:
                yield Rule(**says, kind="apart", members=one, others=other, most=most)
        return
    members = selected(data[kind], vms)
    of = next((name for name in ("vcpus", "memory", "hosts") if f"max_{name}" in data), "")
    most = data.get("max_per", 1)
    if of:
        most = data[f"max_{of}"] if of != "memory" else _mib(data["max_memory"])
    yield Rule(
        **says,
        kind=kind,
        members=members,
        others=frozenset(vm.name for vm in vms) - members if kind in ("alone", "dedicated") else frozenset(),
        most=most,
        exempt=selected(data["unless"], hosts) if "unless" in data else frozenset(),
        least=data.get("at_least", 2),
        skew=data.get("max_skew", 1),
        of=of,
    )


def _mib(text: str) -> int:
    return int(Fraction(text[:-3]) * {"MiB": 1, "GiB": 1024}[text[-3:]])
