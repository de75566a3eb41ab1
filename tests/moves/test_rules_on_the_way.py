"""Orders of moves keep rules of every kind at every step: replayed by code of their own on small live fleets."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pytest

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy
from placer.moves.model import MoveLimits, Schedule
from placer.moves.schedule import schedule_moves

LIMITS = (RuleKind.ANTI_AFFINITY, RuleKind.APART, RuleKind.ALONE, RuleKind.SHARE)
TOGETHER = (RuleKind.AFFINITY, RuleKind.SPREAD, RuleKind.EVEN)
CONFINING = (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED, RuleKind.DRAIN)
KINDS = (*LIMITS, *TOGETHER, *CONFINING)
APPS = ("a", "b", "c")
Spot = tuple[str, int]
"""A host and a node."""
Where = Mapping[str, Sequence[Spot]]
"""VM -> where it counts: of one on its way both places."""


def drawn(build: Any, seed: int) -> tuple[Fleet, Plan] | None:
    """Return a live fleet with up to three rules, and a plan that moves most VMs and breaks no rule worse than now."""
    rng = random.Random(seed)
    racks = rng.choice((2, 3))
    topology = build.topology(nodes=rng.choice((1, 1, 2)), cpus=8, threads=1, memory_gib=rng.choice((5, 7, 12)))
    hosts = [build.host(f"h{n}", topology, labels={"rack": f"r{n % racks}"}) for n in range(rng.choice((3, 4, 5)))]
    nodes = len(topology.nodes)
    free = {(host.name, node): topology.nodes[node].memory_kib for host in hosts for node in range(nodes)}
    vms = []
    for number in range(rng.randint(4, 7)):
        gib = rng.choice((1, 2, 3))
        fits = [spot for spot, kib in free.items() if kib >= gib * build.GIB]
        if not fits:
            return None
        spec = build.spec(1, gib, cpu_policy=CpuPolicy.SHARED, labels={"app": rng.choice(APPS)})
        host, node = rng.choice(fits)
        free[host, node] -= gib * build.GIB
        vms.append(build.vm(f"v{number}", spec, current=build.now(host, (node,))))
    rules = [rule for _ in range(rng.randint(1, 3)) if (rule := _rule(rng, hosts, vms)) is not None]
    fleet = build.fleet(hosts, vms, rules)
    now = {vm.name: [(vm.current.host, vm.current.nodes[0])] for vm in vms}
    before = excess(fleet, now)
    for _ in range(300):
        at = {name: spots[0] for name, spots in now.items()}
        for name in rng.sample(sorted(at), rng.randint(2, min(6, len(at)))):
            at[name] = (rng.choice(hosts).name, rng.randrange(nodes))
        load: Counter[Spot] = Counter()
        for vm in vms:
            load[at[vm.name]] += vm.spec.memory_kib
        if at == {name: spots[0] for name, spots in now.items()}:
            continue
        after = excess(fleet, {name: [spot] for name, spot in at.items()})
        fits_all = all(load[spot] <= topology.nodes[spot[1]].memory_kib for spot in load)
        if fits_all and all(after[pair] <= before.get(pair, 0) for pair in after):
            return fleet, _plan(build, fleet, at)
    return None


def _plan(build: Any, fleet: Fleet, at: Mapping[str, Spot]) -> Plan:
    placed = []
    for vm in fleet.vms:
        assert vm.current is not None and vm.current.nodes is not None
        host, node = at[vm.name]
        topology = fleet.host_by_name[host].topology
        change = Change.NONE if vm.current.nodes[0] == node else Change.RENODE
        away = vm.current.host != host
        placed.append(
            build.placed(
                vm,
                [topology.node(node).cpus],
                [node],
                host,
                change=Change.MIGRATE if away else change,
                from_host=vm.current.host if away else None,
            )
        )
    return build.plan(*placed)


def _rule(rng: random.Random, hosts: Sequence[Host], vms: Sequence[Any]) -> Rule | None:
    kind = rng.choice(KINDS)
    apps = sorted({vm.spec.labels["app"] for vm in vms})
    app = rng.choice(apps)
    others = [one for one in apps if one != app]
    if kind is RuleKind.APART and not others:
        return None
    own = ("host", "node", "rack") if kind in (*LIMITS[:3], RuleKind.AFFINITY) else ("host", "rack")
    confines = kind in CONFINING
    of = rng.choice(("vcpus", "memory", "hosts")) if kind is RuleKind.SHARE else None
    return Rule(
        kind=kind,
        members=None if kind is RuleKind.DRAIN else {"app": app},
        others={"app": rng.choice(others)} if kind is RuleKind.APART else None,
        hosts={"name": frozenset(rng.sample([host.name for host in hosts], rng.randint(1, 2)))} if confines else None,
        scope="host" if confines else rng.choice(own),
        max_per={RuleKind.APART: rng.choice((0, 1)), RuleKind.ANTI_AFFINITY: rng.choice((1, 2))}.get(kind, 1),
        domains_used=2 if kind is RuleKind.SPREAD else 0,
        skew=rng.choice((1, 2)) if kind is RuleKind.EVEN else 0,
        of=of,
        most={"vcpus": 2, "memory": 3072, "hosts": 1}.get(of or "", 0),
    )


def excess(fleet: Fleet, where: Where) -> dict[tuple[int, Hashable], int]:
    """Return how far every rule is over, a domain each (None: as a whole)."""
    found: dict[tuple[int, Hashable], int] = {}
    for number, rule in enumerate(fleet.rules):
        for domain, over in _excess(fleet, rule, where):
            if over > 0:
                found[number, domain] = over
    return found


def _excess(fleet: Fleet, rule: Rule, where: Where) -> Iterable[tuple[Hashable, int]]:
    racks = {host.name: host.labels["rack"] for host in fleet.hosts}

    def domains(vm: str) -> set[Hashable]:
        if rule.scope == "node":
            return set(where[vm])
        return {host if rule.scope == "host" else racks[host] for host, _ in where[vm]}

    app = {vm.name: vm.spec.labels["app"] for vm in fleet.vms}
    mine = [vm for vm in app if rule.members and app[vm] == rule.members["app"]]
    count = Counter(domain for vm in mine for domain in domains(vm))
    rest = [vm for vm in app if vm not in mine]
    if rule.kind in CONFINING:
        chosen = (rule.hosts or {})["name"]
        for vm in app:
            for host in {host for host, _ in where[vm]}:
                inside = host in chosen
                if rule.kind is RuleKind.DRAIN:
                    yield (host, vm), inside
                elif rule.kind is RuleKind.DEDICATED:
                    yield (host, vm), inside is not (vm in mine)
                elif vm in mine:
                    yield (host, vm), inside is (rule.kind is RuleKind.OUTSIDE)
    elif rule.kind is RuleKind.ANTI_AFFINITY:
        yield from ((domain, many - rule.max_per) for domain, many in count.items())
    elif rule.kind in (RuleKind.APART, RuleKind.ALONE):
        if rule.kind is RuleKind.APART:
            rest = [vm for vm in app if app[vm] == (rule.others or {})["app"]]
        there = Counter(domain for vm in rest for domain in domains(vm))
        most = rule.max_per if rule.kind is RuleKind.APART else 0
        yield from ((domain, there[domain] - most) for domain in count)
    elif rule.kind is RuleKind.SHARE:
        for domain in count:
            here = [vm for vm in mine if domain in domains(vm)]
            size = {"vcpus": sum(fleet.vm_by_name[vm].spec.vcpus for vm in here)}
            size["memory"] = sum(fleet.vm_by_name[vm].spec.memory_kib // 1024 for vm in here)
            of_domain = [host for vm in here for host, _ in where[vm] if domain in (host, racks[host])]
            size["hosts"] = len(set(of_domain))
            yield domain, size[rule.of or ""] - rule.most
    elif rule.kind is RuleKind.AFFINITY:
        yield None, len(count) - 1
    elif rule.kind is RuleKind.SPREAD:
        yield None, min(rule.domains_used, len(mine)) - len(count)
    else:
        drained = fleet.drained
        open_ = {
            host.name if rule.scope == "host" else racks[host.name] for host in fleet.hosts if host.name not in drained
        }
        counts = [count[domain] for domain in open_]
        yield None, max(counts, default=0) - min(counts, default=0) - rule.skew


def worse(fleet: Fleet, where: Where, start: Mapping[tuple[int, Hashable], int]) -> set[int]:
    """Return the rules that are over further than at the start, whichever VMs on their way have arrived."""
    found = {
        number
        for (number, domain), over in excess(fleet, where).items()
        if over > start.get((number, domain), 0) and fleet.rules[number].kind not in TOGETHER
    }
    moving = [vm for vm, spots in where.items() if len(spots) > 1]
    for arrived in itertools.product((0, 1), repeat=len(moving)):
        just = {**where, **{vm: [where[vm][end]] for vm, end in zip(moving, arrived, strict=True)}}
        found |= {n for (n, domain), over in excess(fleet, just).items() if over > start.get((n, domain), 0)}
    return found


def replayed(fleet: Fleet, schedule: Schedule) -> dict[int, list[int]]:
    """Carry a schedule out and return the waves in which each rule is worse than at the start."""
    where: dict[str, list[Spot]] = {
        vm.name: [(vm.current.host, vm.current.nodes[0])] for vm in fleet.vms if vm.current and vm.current.nodes
    }
    start, found = excess(fleet, where), dict[int, list[int]]()
    for number, wave in enumerate(schedule.waves, start=1):
        for step in wave.steps:
            assert step.target.nodes is not None
            where[step.vm] = [*where[step.vm], (step.target.host, step.target.nodes[0])]
        for rule in worse(fleet, where, start):
            found.setdefault(rule, []).append(number)
        for step in wave.steps:
            where[step.vm] = where[step.vm][1:]
    return found


def keeping_order_exists(fleet: Fleet, plan: Plan) -> bool:
    """Tell whether the VMs can go to their places one after the other, each where there is room, and keep all rules."""
    now = {vm.name: (vm.current.host, vm.current.nodes[0]) for vm in fleet.vms if vm.current and vm.current.nodes}
    then = {vm.name: (vm.host, next(iter(vm.cells[0].nodes))) for vm in plan.vms}
    start = excess(fleet, {name: [spot] for name, spot in now.items()})
    todo = frozenset(name for name in now if now[name] != then[name])
    dead: set[frozenset[str]] = set()

    def search(left: frozenset[str]) -> bool:
        if not left:
            return True
        if left in dead:
            return False
        for vm in sorted(left):
            where: dict[str, list[Spot]] = {name: [now[name] if name in left else then[name]] for name in now}
            where[vm] = [now[vm], then[vm]]
            load: Counter[Spot] = Counter()
            for name, spots in where.items():
                for spot in spots:
                    load[spot] += fleet.vm_by_name[name].spec.memory_kib
            room = fleet.hosts[0].topology.nodes[0].memory_kib
            if all(kib <= room for kib in load.values()) and not worse(fleet, where, start) and search(left - {vm}):
                return True
        dead.add(left)
        return False

    return search(todo)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_every_rule_holds_at_every_step_or_is_named(build: Any, first: int) -> None:
    """What is broken in a wave is what the schedule names, and no rule is where an order exists that keeps all."""
    kinds: Counter[RuleKind] = Counter()
    plans = 0
    for seed in range(first, first + 100):
        if (found := drawn(build, seed)) is None:
            continue
        fleet, plan = found
        schedule = schedule_moves(fleet, plan, MoveLimits(per_host=1 + seed % 3))
        broken = replayed(fleet, schedule)
        named = {rule.rule: (rule.first, rule.last) for rule in schedule.broken}
        told = {fleet.rules[number].label: (waves[0], waves[-1]) for number, waves in broken.items()}
        assert named == told, seed
        if not schedule.blocked:
            plans += 1
            kinds.update({rule.kind for rule in fleet.rules})
        if schedule.broken or schedule.blocked:
            assert not keeping_order_exists(fleet, plan), seed
    assert plans >= 60 and kinds.keys() == set(KINDS)


def test_a_group_that_moves_together_is_apart_in_named_waves_and_no_window_ends_there(build: Any) -> None:
    """Two VMs of one host go to another, one at a time: apart for a wave, whatever the order; a VM alone never is."""
    topology = build.topology(nodes=1, cpus=8, threads=1)
    hosts = [build.host(name, topology) for name in "ab"]
    spec = build.spec(1, 8, cpu_policy=CpuPolicy.SHARED, labels={"app": "a"})
    vms = [build.vm(name, spec, current=build.now("a")) for name in "vw"]
    rules = [Rule(kind=RuleKind.AFFINITY, members={"app": "a"}, name="pair")]
    fleet = build.fleet(hosts, vms, rules)
    plan = _plan(build, fleet, {"v": ("b", 0), "w": ("b", 0)})
    schedule = schedule_moves(fleet, plan, MoveLimits(per_host=1, bandwidth_gib_s=1), window_minutes=0.2)
    assert not schedule.waves and len(schedule.remaining) == 2
    assert str(schedule.broken[0]) == (
        "rule 'pair' is broken from wave 1 to wave 2 (0.3 minutes of copying): every order of these moves breaks it"
    )
    one = build.fleet(hosts, vms[:1], rules)
    assert not schedule_moves(one, _plan(build, one, {"v": ("b", 0)})).broken


def test_a_rule_is_kept_by_who_goes_first(build: Any) -> None:
    """A tenant comes to a host that is empty, and a spread stays over two racks while its VMs change places."""
    topology = build.topology(nodes=1, cpus=8, threads=1)
    hosts = [build.host(f"h{n}", topology, labels={"rack": f"r{n % 3}"}) for n in range(3)]
    spec = build.spec(1, 1, cpu_policy=CpuPolicy.SHARED)

    def vm(name: str, host: str, app: str) -> Any:
        return build.vm(name, build.replace(spec, labels={"app": app}), current=build.now(host))

    alone = build.fleet(
        hosts, [vm("tenant", "h0", "t"), vm("guest", "h1", "g")], [Rule(kind=RuleKind.ALONE, members={"app": "t"})]
    )
    schedule = schedule_moves(alone, _plan(build, alone, {"tenant": ("h1", 0), "guest": ("h2", 0)}))
    assert [[step.vm for step in wave.steps] for wave in schedule.waves] == [["guest"], ["tenant"]]
    spread = build.fleet(
        hosts,
        [vm("a-1", "h0", "a"), vm("a-2", "h1", "a")],
        [Rule(kind=RuleKind.SPREAD, members={"app": "a"}, scope="rack", domains_used=2)],
    )
    schedule = schedule_moves(spread, _plan(build, spread, {"a-1": ("h1", 0), "a-2": ("h2", 0)}))
    assert [step.vm for step in schedule.steps] == ["a-2", "a-1"] and not schedule.broken
