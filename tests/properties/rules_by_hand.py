"""Small fleets under rules of every kind, and the best of all plans for them by trying each; from the documents."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Cell, CellMode, Current, Movable, Vm, VmSpec

GIB = 1024 * 1024
APPS = ("a", "b", "c")
Place = tuple[int, int] | None
"""Host and node, None for a VM that is left out."""
Excess = dict[tuple[int, object], int]
Figure = Callable[[Fleet, Sequence[Place]], float]
"""What a plan is worth in a goal."""


def fleet_of(seed: int) -> Fleet:
    """Return up to three hosts of one or two nodes, four VMs of one node each, and one to three rules of any kinds."""
    rng = random.Random(seed)
    hosts = tuple(_host(rng, number) for number in range(rng.randint(2, 3)))
    live = rng.random() < 0.5
    free = {(h, n): 3 for h, host in enumerate(hosts) for n in range(len(host.topology.nodes))}
    vms = []
    for number in range(4):
        vcpus = rng.choice((1, 1, 2))
        fits = [place for place, cpus in free.items() if cpus >= vcpus]
        current, movable = None, Movable.LIVE
        if live and fits and rng.random() < 0.8:
            h, n = rng.choice(fits)
            free[h, n] -= vcpus
            current = Current(host=hosts[h].name, nodes=(n,))
            movable = rng.choice((Movable.LIVE, Movable.LIVE, Movable.DRAIN, Movable.NO))
        size = rng.choice((1, 2)) * GIB
        spec = VmSpec(
            vcpus=vcpus,
            memory_kib=size,
            overhead_kib=0,
            cell_mode=CellMode.NONE,
            cells=(Cell(vcpus=frozenset(range(vcpus)), memory_kib=size),),
            labels={"app": rng.choice(APPS)},
        )
        vms.append(Vm(name=f"v{number}", spec=spec, current=current, movable=movable))
    gens = random.Random(f"generations {seed}")
    hosts = tuple(replace(host, gen=gens.choice((0, 0, 1))) for host in hosts)
    rules = tuple(_rule(rng, hosts, vms) for _ in range(rng.randint(1, 3)))
    return Fleet(hosts=hosts, vms=tuple(vms), rules=rules)


def _host(rng: random.Random, number: int) -> Host:
    count = rng.choice((1, 2))
    nodes = tuple(Node(id=n, cpus=frozenset(range(3 * n, 3 * n + 3)), memory_kib=8 * GIB) for n in range(count))
    distances = tuple(tuple(10.0 if i == j else 20.0 for j in range(count)) for i in range(count))
    cores = tuple(frozenset({cpu}) for cpu in range(3 * count))
    labels = {"rack": f"r{number % 2}"} if rng.random() < 0.85 else {}
    return Host(
        name=f"h{number}",
        topology=Topology(nodes=nodes, distances=distances, cores=cores, packages=(frozenset(range(3 * count)),)),
        cost=rng.choice((1.0, 1.0, 2.0)),
        labels=labels,
    )


def _rule(rng: random.Random, hosts: Sequence[Host], vms: Sequence[Vm]) -> Rule:
    kind = rng.choice([kind for kind in RuleKind if kind not in (RuleKind.RESERVE, RuleKind.GROUP)])
    apps = sorted({vm.spec.labels["app"] for vm in vms})
    app = rng.choice(apps)
    others = [one for one in apps if one != app]
    if kind is RuleKind.APART and not others:
        kind = RuleKind.ALONE
    scopes = {
        RuleKind.ANTI_AFFINITY: ("host", "node", "rack"),
        RuleKind.AFFINITY: ("host", "node", "rack"),
        RuleKind.APART: ("host", "node", "rack"),
        RuleKind.ALONE: ("host", "node", "rack"),
        RuleKind.SPREAD: ("host", "rack"),
        RuleKind.EVEN: ("host", "rack"),
        RuleKind.SHARE: ("host", "rack"),
    }.get(kind, ("host",))
    scope = rng.choice(scopes)
    if not any(scope in host.labels for host in hosts):
        scope = "host"
    named = rng.random() < 0.3
    chosen = {"name": frozenset(rng.sample([host.name for host in hosts], rng.randint(1, len(hosts) - 1)))}
    confines = kind in (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED, RuleKind.DRAIN)
    of = rng.choice(("vcpus", "memory", "hosts")) if kind is RuleKind.SHARE else None
    members = {"name": frozenset(vm.name for vm in vms if vm.spec.labels["app"] == app)} if named else {"app": app}
    return Rule(
        kind=kind,
        members=None if kind is RuleKind.DRAIN else members,
        others={"app": rng.choice(others)} if kind is RuleKind.APART else None,
        hosts=chosen if confines else None,
        scope=scope,
        max_per={RuleKind.APART: rng.choice((0, 0, 1)), RuleKind.ANTI_AFFINITY: rng.choice((1, 2))}.get(kind, 1),
        domains_used=rng.choice((2, 3)) if kind is RuleKind.SPREAD else 0,
        skew=rng.choice((0, 1)) if kind is RuleKind.EVEN else 0,
        of=of,
        most={"vcpus": 2, "memory": 2048, "hosts": 1}.get(of or "", 0),
        weight=rng.choice((1, 3)) if rng.random() < 0.4 else None,
        priority=0,
    )


def with_priorities(fleet: Fleet, seed: int) -> Fleet:
    """Return the fleet with soft rules of two priorities."""
    rng = random.Random(seed)
    rules = [
        rule if rule.weight is None else Rule(**{**_fields(rule), "priority": rng.choice((0, 7))})
        for rule in fleet.rules
    ]
    return Fleet(hosts=fleet.hosts, vms=fleet.vms, rules=tuple(rules))


def _fields(rule: Rule) -> dict[str, object]:
    return {name: getattr(rule, name) for name in Rule.__slots__}


def best(fleet: Fleet, max_moves: int, figure: Figure | None = None) -> tuple[float, ...]:
    """Return the least vector: vCPUs and VMs left out, excess of rules, of soft ones from the highest priority, then
    the cost of hosts; on a live fleet the VMs that change host, and host or node. `figure` takes the place of the last.
    """
    live = any(vm.current is not None for vm in fleet.vms)
    start = [now(fleet, vm) for vm in fleet.vms]
    before = excess(fleet, start)
    levels = sorted({rule.priority for rule in fleet.rules if rule.weight is not None}, reverse=True)
    everywhere = [(h, n) for h, host in enumerate(fleet.hosts) for n in range(len(host.topology.nodes))]
    found: tuple[float, ...] | None = None
    choices: list[list[Place]] = [
        [now] if now is not None and _held(fleet, vm) else [*everywhere, *([None] if now is None else [])]
        for vm, now in zip(fleet.vms, start, strict=True)
    ]
    for plan in itertools.product(*choices):
        changed = [one for one, now in zip(plan, start, strict=True) if now is not None and one != now]
        if len(changed) > max_moves or not _fits(fleet, plan) or _barred(fleet, start, plan):
            continue
        over = excess(fleet, plan)
        hard = {pair: many for pair, many in over.items() if fleet.rules[pair[0]].weight is None}
        if any(many > before.get(pair, 0) for pair, many in hard.items() if not _confines(fleet.rules[pair[0]])):
            continue
        out = [vm for vm, one in zip(fleet.vms, plan, strict=True) if one is None]
        soft = [
            sum(
                many * (fleet.rules[n].weight or 0)
                for (n, _), many in over.items()
                if fleet.rules[n].priority == level and (n, _) not in hard
            )
            for level in levels
        ]
        last: tuple[float, ...]
        if figure is not None:
            last = (round(figure(fleet, plan), 6),)
        elif live:
            away = sum(
                one[0] != now[0] for one, now in zip(plan, start, strict=True) if now is not None and one is not None
            )
            last = (away, len(changed))
        else:
            last = (sum(fleet.hosts[h].cost for h in {one[0] for one in plan if one is not None}),)
        vector = (sum(vm.spec.vcpus for vm in out), len(out), sum(hard.values()), *soft, *last)
        found = vector if found is None else min(found, vector)
    assert found is not None
    return found


def now(fleet: Fleet, vm: Vm) -> Place:
    """Return where a VM is."""
    if vm.current is None or vm.current.nodes is None:
        return None
    return [host.name for host in fleet.hosts].index(vm.current.host), vm.current.nodes[0]


def _held(fleet: Fleet, vm: Vm) -> bool:
    if vm.movable is Movable.DRAIN and vm.current is not None:
        drains = [r for r in fleet.rules if r.kind is RuleKind.DRAIN and r.weight is None and r.hosts]
        return not any(vm.current.host in rule.hosts["name"] for rule in drains if rule.hosts)
    return vm.movable is Movable.NO


def _fits(fleet: Fleet, plan: Sequence[Place]) -> bool:
    used: Counter[Place] = Counter()
    memory: Counter[Place] = Counter()
    for vm, place in zip(fleet.vms, plan, strict=True):
        if place is not None:
            used[place] += vm.spec.vcpus
            memory[place] += vm.spec.memory_kib
    return all(many <= 3 for many in used.values()) and all(kib <= 8 * GIB for kib in memory.values())


def _barred(fleet: Fleet, start: Sequence[Place], plan: Sequence[Place]) -> bool:
    """Tell whether a VM comes to an older host, or where a rule that is not soft does not let it be."""
    for n, (now, place) in enumerate(zip(start, plan, strict=True)):
        if place is None or (now is not None and now[0] == place[0]):
            continue
        if now is not None and fleet.hosts[now[0]].gen > fleet.hosts[place[0]].gen:
            return True
        for number, rule in enumerate(fleet.rules):
            if rule.weight is None and _confines(rule) and _misplaced(fleet, number, n, place):
                return True
    return False


def _confines(rule: Rule) -> bool:
    return rule.kind in (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED, RuleKind.DRAIN)


def _chosen(selection: Mapping[str, str | frozenset[str]] | None, vm: Vm) -> bool:
    if selection is None:
        return False
    named = selection.get("name", ())
    return vm.name in named if named else vm.spec.labels["app"] == selection["app"]


def _misplaced(fleet: Fleet, number: int, vm: int, place: tuple[int, int]) -> bool:
    rule = fleet.rules[number]
    assert rule.hosts is not None
    inside = fleet.hosts[place[0]].name in rule.hosts["name"]
    member = _chosen(rule.members, fleet.vms[vm])
    return {
        RuleKind.DRAIN: inside,
        RuleKind.WITHIN: member and not inside,
        RuleKind.OUTSIDE: member and inside,
        RuleKind.DEDICATED: member != inside,
    }[rule.kind]


def excess(fleet: Fleet, plan: Sequence[Place]) -> Excess:
    """Return the excess of every rule and domain."""
    found: Excess = {}
    for number, rule in enumerate(fleet.rules):
        if _confines(rule):
            for vm, place in enumerate(plan):
                if place is not None and _misplaced(fleet, number, vm, place):
                    found[number, place[0]] = found.get((number, place[0]), 0) + 1
            continue
        at: list[tuple[Vm, object, int]] = []
        for vm_, place in zip(fleet.vms, plan, strict=True):
            if place is not None and (domain := _domain(fleet, rule, place)) is not None:
                at.append((vm_, domain, place[0]))
        for domain, many in _of_rule(fleet, rule, at).items():
            if many > 0:
                found[number, domain] = many
    return found


def _domain(fleet: Fleet, rule: Rule, place: tuple[int, int]) -> object:
    if rule.scope == "host":
        return place[0]
    return place if rule.scope == "node" else fleet.hosts[place[0]].labels.get("rack")


def _of_rule(fleet: Fleet, rule: Rule, at: Sequence[tuple[Vm, object, int]]) -> dict[object, int]:
    own = [(vm, domain, host) for vm, domain, host in at if _chosen(rule.members, vm)]
    count = Counter(domain for _, domain, _ in own)
    domains = set(count)
    if rule.kind is RuleKind.ANTI_AFFINITY:
        return {domain: count[domain] - rule.max_per for domain in domains}
    if rule.kind is RuleKind.AFFINITY:
        return {None: len(domains) - 1}
    if rule.kind is RuleKind.SPREAD:
        return {None: min(rule.domains_used, len(own)) - len(domains)}
    if rule.kind is RuleKind.EVEN:
        drained = {
            name
            for one in fleet.rules
            if one.kind is RuleKind.DRAIN and one.weight is None and one.hosts
            for name in one.hosts["name"]
        }
        open_ = {_domain(fleet, rule, (h, 0)) for h, host in enumerate(fleet.hosts) if host.name not in drained} - {
            None
        }
        counts = [sum(domain == one for _, domain, h in own) for one in open_]
        return {None: max(counts) - min(counts) - rule.skew} if counts else {}
    if rule.kind is RuleKind.SHARE:
        taken: Counter[object] = Counter()
        for vm, domain, _ in own:
            taken[domain] += vm.spec.vcpus if rule.of == "vcpus" else vm.spec.memory_kib // 1024
        if rule.of == "hosts":
            taken = Counter(domain for domain, _ in {(domain, host) for _, domain, host in own})
        return {domain: taken[domain] - rule.most for domain in taken}
    second = [
        domain
        for vm, domain, _ in at
        if (_chosen(rule.others, vm) if rule.kind is RuleKind.APART else not _chosen(rule.members, vm))
    ]
    most = rule.max_per if rule.kind is RuleKind.APART else 0
    return {domain: second.count(domain) - most for domain in domains}


def used(fleet: Fleet, plan: Sequence[Place], app: str | None = None) -> set[int]:
    """Return the hosts that hold a VM, or one of an app."""
    pairs = zip(fleet.vms, plan, strict=True)
    return {place[0] for vm, place in pairs if place is not None and app in (None, vm.spec.labels["app"])}


FIGURES: dict[str, Figure] = {
    "hosts:rack=r0": lambda fleet, plan: sum(fleet.hosts[h].labels.get("rack") == "r0" for h in used(fleet, plan)),
    "cores:rack=r0": lambda fleet, plan: sum(
        3 * len(fleet.hosts[h].topology.nodes) for h in used(fleet, plan) if fleet.hosts[h].labels.get("rack") == "r0"
    ),
    "hosts:app=a": lambda fleet, plan: len(used(fleet, plan, "a")),
    "cores:app=a": lambda fleet, plan: sum(3 * len(fleet.hosts[h].topology.nodes) for h in used(fleet, plan, "a")),
    "power": lambda fleet, plan: (
        sum(fleet.hosts[h].idle_watts or 0 for h in used(fleet, plan))
        + sum(
            vm.spec.vcpus * _more_watts(fleet.hosts[place[0]])
            for vm, place in zip(fleet.vms, plan, strict=True)
            if place is not None
        )
    ),
}
"""Goals that count hosts in use, each by what its documents say."""


def _more_watts(host: Host) -> float:
    return ((host.busy_watts or host.idle_watts or 0) - (host.idle_watts or 0)) / len(host.topology.cpus)
