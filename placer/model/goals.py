"""The goals a person may ask for, in order, and how their text is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from placer.errors import Fault, InputError, nearest
from placer.model.balance import HOSTS, NODES, USAGE, Balance, is_label, parse_balance
from placer.model.fleet import Fleet
from placer.model.rules import soft_goal
from placer.model.units import parse_kib
from placer.model.usage_levels import usage_known

GOAL_NAMES = (
    "placed",
    "excess",
    "rules",
    "soft",
    "remote",
    "hosts",
    "power",
    "cores",
    "l3",
    "balance",
    "moves",
    "repins",
    "headroom",
)
EMPTY_FLEET_GOALS = ("placed", "rules", "remote", "hosts", "moves")
LIVE_FLEET_GOALS = ("placed", "excess", "rules", "remote", "moves", "repins")

PART_WORDS = {
    "memory": "KiB of memory",
    "CPUs": "dedicated vCPUs",
    "vCPUs": "CPUs for shared vCPUs",
    "others": "devices and free resources",
}
"""Parts of the goal ``excess``, in their order, and what is counted."""

UNBOUND, REMOTE_ACCESS = "VMs that shall be bound and are not", "remote access"
"""Parts of the goal ``remote`` where VMs that float shall be bound to nodes; its value is the second."""

_TOLERANCE = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_PRIORITY = re.compile(r"-?[1-9]\d{0,8}")
_FLAVOR = re.compile(r"(\d{1,6})x(0|\d+(?:\.\d+)?[A-Za-z]+)(?:/(\d))?(?::(shared|dedicated|floating))?")

Policy = Literal["shared", "dedicated", "floating"]
"""Of the vCPUs of a flavor: they share the CPUs of nodes, have CPUs of their own, or float over their host, shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadroomFlavor:
    """A flavor written like ``16x64GiB/2:shared``: vCPUs, memory (KiB), cells (1 unless said), policy; None where it
    does not say.
    """

    text: str
    vcpus: int
    memory_kib: int
    cells: int = 1
    policy: Policy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One goal of the ordered list: its name as written without tolerance, and how much worse later goals may make
    it. `chosen` is the label and value of the hosts or VMs that it is about, of a goal of kind ``hosts of`` or
    ``cores of``; `balance` what one of kind ``balance`` is of.
    """

    name: str
    kind: str
    tolerance: float = 0.0
    flavor: HeadroomFlavor | None = None
    chosen: tuple[str, str] | None = None
    balance: Balance | None = None

    @property
    def by_usage(self) -> bool:
        """Tell whether it looks at what VMs use in place of what they ask for."""
        return self.balance is not None and USAGE in self.balance.resources


def parse_flavor(text: str) -> HeadroomFlavor:
    """Read ``16x64GiB``, ``16x64GiB/2`` (two cells), ``16x0`` (CPU slots whatever the memory), ``1x2GiB:shared``.

    Raises
    ------
    InputError
        The text is no flavor, the cells do not divide vCPUs and memory, or they float.
    """
    match = _FLAVOR.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{text[:60]!r} is not a flavor",
            cure='write vCPUs x memory, like "16x64GiB", "16x64GiB/2" for two cells, "1x2GiB:shared", or "16x0"',
        )
    vcpus, cells = int(match[1]), int(match[3] or 1)
    memory = 0 if match[2] == "0" else parse_kib(match[2])
    if vcpus < 1 or cells < 1 or vcpus % cells or memory % cells:
        raise InputError(f"flavor {text!r}: {cells} cells do not divide {vcpus} vCPUs and {memory} KiB")
    policy = cast("Policy | None", match[4])
    if policy == "floating" and cells > 1:
        raise InputError(f"flavor {text!r}: what floats over a host is in no cells", cure="leave the cells away")
    return HeadroomFlavor(text=text.strip(), vcpus=vcpus, memory_kib=memory, cells=cells, policy=policy)


def as_most(fleet: Fleet, flavor: HeadroomFlavor) -> HeadroomFlavor:
    """Return a flavor that does not say its policy with that of most of the fleet's VMs: shared or floating is then in
    its text.

    A flavor in cells does not float: where most VMs do, it shares CPUs.
    """
    if flavor.policy is not None:
        return flavor
    policy: Policy = "dedicated"
    if fleet.most_float:
        policy = "floating" if flavor.cells == 1 else "shared"
    elif fleet.most_share:
        policy = "shared"
    return replace(flavor, policy=policy, text=flavor.text if policy == "dedicated" else f"{flavor.text}:{policy}")


def with_policy(fleet: Fleet, text: str) -> str:
    """Return a flavor as written with its policy, whoever says it: ``1x2GiB:dedicated``."""
    flavor = as_most(fleet, parse_flavor(text))
    return flavor.text if ":" in flavor.text else f"{flavor.text}:{flavor.policy}"


def parse_goals(goals: str | Sequence[str] | None, fleet: Fleet) -> tuple[Goal, ...]:
    """Read an ordered goal list such as ``placed,rules,remote~1%,hosts``; None gives the default for the fleet.

    Raises
    ------
    InputError
        Unknown or repeated goals, or a tolerance that is no share; every fault of the list at once.
    """
    if goals is None:
        texts: Sequence[str] = LIVE_FLEET_GOALS if fleet.is_live else EMPTY_FLEET_GOALS
    else:
        texts = goals.split(",") if isinstance(goals, str) else goals
    faults: list[Fault] = []
    found: list[Goal] = []
    for text in _with_soft(texts, fleet):
        try:
            goal = _parse_goal(text.strip(), fleet)
        except InputError as error:
            faults.extend(error.faults)
            continue
        if any(goal.name == other.name for other in found):
            faults.append(Fault(message=f"goal {goal.name!r} is named twice", field="goals"))
        if goal.chosen is not None and not _anybody(fleet, *goal.chosen):
            message = f"goal {goal.name!r}: no host and no VM has {goal.chosen[0]}: {goal.chosen[1]}"
            faults.append(Fault(message=message, field="goals", cure="name a label of hosts or of VMs, and its value"))
        if goal.kind == "power" and (unknown := [host.name for host in fleet.hosts if host.idle_watts is None]):
            named = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
            message = f"goal 'power': what hosts take idle is not known: {named}"
            faults.append(Fault(message=message, field="goals", cure="say idle_watts and busy_watts of every host"))
        if goal.balance is not None and not _has_places(fleet, goal.balance.places):
            message = f"goal {goal.name!r}: no host has the label {goal.balance.places!r}"
            cure = f"places are {NODES} (where nothing is said), {HOSTS}, or a label of hosts"
            faults.append(Fault(message=message, field="goals", cure=cure))
        if goal.by_usage and fleet.vms and not usage_known(fleet.vms):
            message = f"goal {goal.name!r}: the CPU use of no VM is known"
            cure = "say usage: {cpu_p95: 0.25} of VMs, or join it: placer usage FLEET --from FILE -o NEW"
            faults.append(Fault(message=message, field="goals", cure=cure))
        found.append(goal)
    if not texts or not any(text.strip() for text in texts):
        faults = [
            Fault(message="the list of goals is empty", field="goals", cure=f"name some of {', '.join(GOAL_NAMES)}")
        ]
    if faults:
        raise InputError(faults)
    return tuple(found)


def _with_soft(texts: Sequence[str], fleet: Fleet) -> list[str]:
    """Return the list with a goal for each priority of soft rules: where ``soft`` stands, else behind ``rules``."""
    named = [text.strip() for text in texts]
    levels = sorted({rule.priority for rule in fleet.rules if rule.is_soft}, reverse=True)
    kinds = [text.partition("~")[0].partition(":")[0] for text in named]
    where = next((n for n, text in enumerate(named) if text.partition("~")[0] == "soft"), None)
    if not levels or ("soft" in kinds and where is None):
        return named
    if where is None:
        if "rules" not in kinds:
            return named
        where = kinds.index("rules") + 1
        named.insert(where, "soft")
    slack = named[where].partition("~")[2]
    goals = [soft_goal(level) for level in levels]
    missing = [f"{goal}~{slack}" if slack else goal for goal in goals if goal == "soft" or goal not in named]
    return [*named[:where], *missing, *named[where + 1 :]]


def _parse_goal(text: str, fleet: Fleet) -> Goal:
    name, _, slack = text.partition("~")
    balance = parse_balance(name)
    kind, _, argument = ("balance", "", "") if balance is not None else name.partition(":")
    label, _, value = argument.partition("=")
    chosen = (label, value) if kind in ("hosts", "cores") and label and value else None
    plain = chosen is not None or not argument or (kind == "soft" and _PRIORITY.fullmatch(argument) is not None)
    if kind not in GOAL_NAMES or (kind == "headroom") == plain:
        near = nearest(kind, GOAL_NAMES)
        cure = (
            f"did you mean {near}?"
            if near and near != kind
            else f"goals are {', '.join(GOAL_NAMES[:-1])}, balance[:cpus|memory|usage][:hosts|<label>][>80%], "
            "soft:<priority>, hosts:<label>=<value>, cores:<label>=<value>, headroom:<flavor>"
        )
        raise InputError(f"unknown goal {text[:60]!r}", field="goals", cure=cure)
    tolerance = 0.0
    if slack:
        match = _TOLERANCE.fullmatch(slack)
        if match is None:
            raise InputError(
                f"goal {text[:60]!r}: {slack!r} is no tolerance", field="goals", cure='write it like "remote~1%"'
            )
        tolerance = float(match[1]) / (100 if match[2] else 1)
    flavor = as_most(fleet, parse_flavor(argument)) if kind == "headroom" else None
    if chosen is not None:
        return Goal(name=name, kind=f"{kind} of", tolerance=tolerance, chosen=chosen)
    return Goal(name=name, kind=kind, tolerance=tolerance, flavor=flavor, balance=balance)


def _has_places(fleet: Fleet, places: str) -> bool:
    return not is_label(places) or not fleet.hosts or any(places in host.labels for host in fleet.hosts)


def _anybody(fleet: Fleet, label: str, value: str) -> bool:
    return any(host.labels.get(label) == value for host in fleet.hosts) or any(
        vm.spec.labels.get(label) == value for vm in fleet.vms
    )
