"""Random small fleets as people write them, family by family: each family draws on features, mixtures on all."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.truth.cases import Case, Pin
from benchmarks.truth.draws.ties import confining_rule, drain_rule, reserve_rule, softened, tying_rule
from benchmarks.truth.draws.vms import random_vm

BASIC_GOALS = ("placed,rules,remote,hosts", "placed,remote", "placed,hosts,remote", "placed,rules,hosts,remote,moves")
MANY = 8
"""A family of more features is a mixture: each of its fleets has some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the fleets of a family have that is not in every fleet, and which goals they are raced under."""

    features: frozenset[str]
    goals: tuple[str, ...] = BASIC_GOALS


def _family(text: str, *goals: str) -> Family:
    return Family(features=frozenset(text.split()), goals=goals or BASIC_GOALS)


_HEADROOM = (
    "placed,headroom:2x512MiB/2:dedicated",
    "placed,rules,headroom:1x0:dedicated,remote",
    "placed,headroom:2x512MiB:dedicated,hosts",
)
_RULES = ("placed,rules,remote", "placed,rules,hosts", "rules,placed,hosts", "placed,rules")
_SOFT = ("placed,rules,soft,remote", "placed,soft,rules,hosts", "placed,rules,soft", "soft,placed,rules")
_LIVE_SOFT = ("placed,rules,soft,moves", "soft,rules,moves", "placed,soft,rules,moves", "rules,soft,remote,moves")
_POWER = ("placed,power", "placed,power,remote", "placed,rules,power,hosts", "placed,hosts,power", "power,placed")
_LICENCES = (
    "placed,hosts:app=a",
    "placed,cores:app=a,hosts",
    "placed,hosts:zone=a,remote",
    "placed,cores:zone=a",
    "placed,hosts,cores:app=b",
    "placed,rules,hosts:app=a,power",
)
_LIVE = ("placed,rules,remote,moves", "placed,rules,hosts,moves", "placed,moves,remote", "rules,moves", "placed,rules")
_BINDS = (
    "placed,remote",
    "remote,placed",
    "placed,rules,remote,moves",
    "placed,remote,hosts",
    "placed,excess,remote,moves",
    "excess,remote",
)
_EXCESS = (
    "placed,excess,rules,moves",
    "placed,rules,remote,moves",
    "placed,excess,moves",
    "excess,moves",
    "excess,hosts",
    "placed,rules,moves",
)
_EVEN = (
    "balance",
    "balance:cpus",
    "balance:memory",
    "balance:hosts",
    "balance:cpus:rack",
    "balance:rack",
    "balance>60%",
    "balance:memory:hosts>40%",
)
_REPINS = (
    "placed,excess,rules,remote,moves,repins",
    "placed,excess,rules,remote,moves,repins",
    "placed,rules,hosts,moves,repins",
    "placed,repins",
    "repins,placed,hosts",
    "placed,hosts,repins,moves",
)
_BALANCE = tuple(f"placed,rules,{even},remote" for even in _EVEN)
_LIVE_BALANCE = tuple(f"placed,{even},moves" for even in _EVEN)
_EVEN_IN_EVERY_WAY = {
    what: tuple(
        goals.replace("balance", f"balance{what}{places}{above}")
        for places in ("", ":hosts", ":rack")
        for above in ("", "", "", ">30%", ">60%", ">80%")
        for goals in ("placed,rules,soft,balance,moves", "rules,balance,soft,moves", "soft,placed,balance,moves")
    )
    for what in ("", ":cpus", ":memory", ":usage")
}
FAMILIES: Mapping[str, Family] = {
    "basic": _family(""),
    "smt": _family("smt"),
    "ragged": _family("smt ragged"),
    "isol": _family("smt isolated"),
    "split": _family("smt split"),
    "pages": _family("pages"),
    "dist": _family("distances memory", "placed,remote", "remote,placed", "placed,rules,remote~5%,hosts"),
    "dev": _family("devices resources"),
    "guests": _family("smt devices pages memory guests"),
    "hybrid": _family("smt hybrid devices isolated guests"),
    "hybrid-live": _family("live smt hybrid labels guests", *_LIVE),
    "prio": _family("priorities costs", "placed,hosts", "placed,hosts,remote", "placed,rules,hosts"),
    "rules": _family("rules labels", "placed,rules,remote", "placed,rules,hosts", "rules,placed,hosts"),
    "l3": _family("smt l3 rules labels", "placed,rules,l3", "placed,rules,remote,cores", "placed,rules,hosts,cores,l3"),
    "balance": _family("smt labels pages memory", *_BALANCE),
    "live-balance": _family("live floats labels pages", *_LIVE_BALANCE),
    "headroom": _family("smt memory distances", *_HEADROOM),
    "live": _family("live smt labels", *_LIVE),
    "live-rules": _family("live rules labels failed", *_LIVE),
    "live-pins": _family("live smt fixed ragged devices isolated", *_LIVE),
    "floats": _family("live memory labels pages floats", *_EXCESS),
    "scarce": _family("live pages labels resources scarce", *_EXCESS),
    "copies": _family("live labels copies scarce repins", *_EXCESS),
    "floats-scarce": _family("live memory pages floats scarce copies", *_EXCESS),
    "floats-apart": _family("live smt isolated split floats copies", *_EXCESS),
    "floats-rules": _family("live floats scarce rules labels failed", *_EXCESS),
    "binds": _family("live memory labels floats binds", *_BINDS),
    "binds-scarce": _family("live memory distances floats scarce copies binds", *_BINDS),
    "usage": _family("live usage floats", "placed,balance:usage", "placed,excess,balance:usage", "balance,moves"),
    "rules-new": _family("ties labels", *_RULES),
    "soft": _family("ties labels soft", *_SOFT),
    "live-rules-new": _family("live ties labels failed", *_LIVE),
    "live-soft": _family("live ties labels soft", *_LIVE_SOFT),
    "floats-rules-new": _family("live floats ties labels", *_EXCESS),
    "gen": _family("live labels gens ties rules", *_LIVE),
    "gen-balance": _family(
        "live gens labels ties soft shares priorities",
        *(f"placed,rules,soft,{even},moves" for even in _EVEN),
    ),
    "reserves": _family("labels smt reserves"),
    "live-reserves": _family("live labels floats reserves ties", "placed,rules,moves", "placed,rules,remote,moves"),
    "shares": _family("smt shares labels"),
    "live-shares": _family("live shares floats labels", *_EXCESS),
    "even": _family("live labels gens ties soft priorities drains", *_EVEN_IN_EVERY_WAY[""]),
    "even-cpus": _family("live labels gens ties soft priorities drains", *_EVEN_IN_EVERY_WAY[":cpus"]),
    "even-memory": _family("live labels gens ties soft priorities drains", *_EVEN_IN_EVERY_WAY[":memory"]),
    "even-usage": _family("live labels gens ties soft usage drains", *_EVEN_IN_EVERY_WAY[":usage"]),
    "kvmless": _family("live kvmless rules labels failed", *_LIVE, "placed,hosts", "placed,excess,rules,remote,moves"),
    "soft-drains": _family("live rules labels soft", *_LIVE_SOFT),
    "live-l3": _family("live smt l3 rules labels", "placed,rules", "rules,moves", "placed,rules,l3,moves"),
    "repins": _family("live smt ragged labels fixed", *_REPINS),
    "repins-floats": _family("live floats binds labels copies scarce", *_REPINS),
    "power": _family("labels watts costs", *_POWER),
    "licences": _family("labels smt watts", *_LICENCES),
    "live-costs": _family("live labels smt watts failed", *(f"{goals},moves" for goals in (*_POWER, *_LICENCES))),
    "wide": _family(
        "live floats scarce copies binds smt isolated split pages memory distances devices resources priorities costs"
        " rules ties soft gens labels shares kvmless repins watts usage failed l3",
        "placed,excess,rules,remote,moves,repins",
        "placed,excess,rules,soft,remote,hosts,moves",
        "placed,rules,soft,balance,moves,repins",
        "placed,excess,power,remote,moves",
        "placed,rules,cores:zone=a,remote,moves",
        "excess,rules,hosts,moves",
    ),
    "mixed": _family(
        "smt ragged isolated split pages distances memory devices resources priorities costs rules labels l3",
        *BASIC_GOALS,
        *_HEADROOM,
        "placed,rules,balance,hosts",
        "placed,rules,l3,cores",
    ),
    "live-mixed": _family(
        "smt ragged isolated split pages distances memory devices priorities costs rules labels l3 live fixed failed",
        *_LIVE,
        "placed,rules,balance,moves",
        "placed,rules,headroom:2x512MiB:dedicated,moves",
    ),
}


def draw(family: str, seed: int) -> Case:
    """Return the case of a family and a seed."""
    rng = random.Random(f"{family} {seed}")
    spec = FAMILIES[family]
    features = spec.features if len(spec.features) < MANY else frozenset(_few(rng, spec.features))
    inventory = random_inventory(rng, features)
    max_moves = max_migrations = max_repins = None
    if "live" in spec.features:
        from benchmarks.truth.live import settle

        inventory = settle(rng, inventory, features)
        if rng.random() < 0.8:
            max_moves = rng.choice((0, 1, 1, 2, 3, 9))
        if rng.random() < 0.4:
            max_migrations = rng.choice((0, 1, 2))
        if some(rng, spec.features, "repins", 0.5):
            max_repins = 0
    goals = rng.choice(spec.goals)
    if not any("rack" in host.get("labels", {}) for host in inventory["hosts"]):
        goals = goals.replace(":rack", ":hosts")
    if any("idle_watts" not in host for host in inventory["hosts"]):
        goals = goals.replace("power", "hosts")
    goals = with_soft(goals, inventory)
    if "=" in goals:
        # What a licence is counted by has to be there.
        hosts, vms = inventory["hosts"], inventory["vms"]
        hosts[0] = {**hosts[0], "labels": {**hosts[0].get("labels", {}), "zone": "a"}}
        for vm, app in zip(vms, "ab", strict=False):
            vm["labels"] = {**vm.get("labels", {}), "app": app}
    pin: Pin = rng.choice(("none", "worth", "worth", "all", "all")) if "binds" in spec.features else "none"
    if "remote" not in goals:
        pin = "none"
    return Case(
        inventory=inventory,
        goals=goals,
        pin=pin,
        max_moves=max_moves,
        max_migrations=max_migrations,
        max_repins=max_repins,
    )


def with_soft(goals: str, inventory: Mapping[str, Any]) -> str:
    """Return a list of goals in which `soft` is one goal a priority of the soft rules, those of higher ones first."""
    soft = [rule for rule in inventory.get("rules", ()) if rule.get("soft") or "weight" in rule]
    own = [f"soft:{level}" if level else "soft" for level in sorted({r.get("priority", 0) for r in soft}, reverse=True)]
    parts = [part for name in goals.split(",") for part in (own if name == "soft" else [name])]
    return ",".join(parts + [name for name in own if name not in parts])


def _few(rng: random.Random, features: frozenset[str]) -> list[str]:
    """Return some of the features of a mixture, in which few VMs would find a place with all at once."""
    return [name for name in sorted(features) if name == "live" or rng.random() < 0.4]


def some(rng: random.Random, features: frozenset[str], name: str, share: float) -> bool:
    """Tell whether a feature is used here: never outside its families."""
    return name in features and rng.random() < share


def random_inventory(rng: random.Random, features: frozenset[str]) -> dict[str, Any]:
    """Return hosts, VMs to come and rules."""
    kinds = [_machine(rng, features) for _ in range(rng.choice((1, 1, 2)))]
    hosts = [_host(rng, features, kinds[n % len(kinds)], n) for n in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    vms = [random_vm(rng, features, number) for number in range(rng.randint(2, 7 if len(hosts) > 1 else 6))]
    inventory: dict[str, Any] = {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms}
    if "rules" in features or "ties" in features:
        rules = []
        for _ in range(rng.randint(1, 3)):
            ties = "ties" in features and ("rules" not in features or rng.random() < 0.5)
            rules.append((tying_rule if ties else confining_rule)(rng, features, inventory))
        inventory["rules"] = [softened(rng, features, rule) for rule in rules if rule is not None]
    if some(rng, features, "drains", 0.4) and len(hosts) > 1:
        drain = softened(rng, features, drain_rule(rng, inventory))
        inventory["rules"] = [*inventory.get("rules", ()), drain]
    if some(rng, features, "reserves", 0.95):
        inventory["rules"] = [*inventory.get("rules", ()), reserve_rule(rng, inventory)]
    return inventory


def cpu_text(cpus: list[int]) -> str:
    """Return CPUs as a list."""
    return ",".join(map(str, sorted(cpus)))


def _machine(rng: random.Random, features: frozenset[str]) -> dict[str, Any]:
    """Return nodes, cores and distances of a kind of host: 1 to 3 nodes of 1 to 8 CPUs."""
    width = rng.choice((1, 2, 2, 4)) if "smt" in features else 1
    nodes: list[dict[str, Any]] = []
    siblings: list[str] = []
    l3: list[str] = []
    efficient: list[int] = []
    first, number = rng.choice((0, 0, 3)), rng.choice((0, 0, 2))
    for _ in range(rng.choice((1, 2, 2, 3))):
        own: list[int] = []
        for _ in range(max(1, rng.choice((1, 2, 3, 4, 6)) // (1 if width < 3 else 2))):
            threads = rng.choice((1, 2, 3, 4)) if some(rng, features, "ragged", 0.5) else width
            core = list(range(first, first + threads))
            first += threads
            siblings.append(cpu_text(core))
            own += core
            if not l3 or len(own) == threads or rng.random() < 0.5:
                l3.append(cpu_text(core))
            else:
                l3[-1] += "," + cpu_text(core)
        if some(rng, features, "hybrid", 0.8):
            slow = list(range(first, first + rng.choice((1, 2, 3))))
            first += len(slow)
            siblings += map(str, slow)
            l3.append(cpu_text(slow))
            own += slow
            efficient += slow
        nodes.append({"id": number, "cpus": cpu_text(own), "memory": f"{rng.choice((1536, 3072, 4096, 8192))}MiB"})
        number += rng.choice((1, 1, 2))
        first += rng.choice((0, 0, 2))
    machine: dict[str, Any] = {"nodes": nodes}
    if "smt" in features:
        machine["siblings"] = siblings
    if efficient:
        machine["efficiency"] = cpu_text(efficient)
    if some(rng, features, "l3", 0.9):
        machine["l3"] = l3
    _memory(rng, features, nodes, number)
    if some(rng, features, "distances", 0.9) or rng.random() < 0.2:
        figures = (11, 12, 16, 20, 21, 28, 32, 40, *((255,) if "distances" in features else ()))
        machine["distances"] = [[10 if i == j else rng.choice(figures) for j in nodes] for i in nodes]
    if "devices" in features:
        machine["devices"] = [
            {"address": f"0000:{n:02x}:00.0", "kind": rng.choice(("nic", "gpu")), "count": rng.choice((1, 2))}
            | ({"node": rng.choice(nodes)["id"]} if rng.random() < 0.8 else {})
            for n in range(rng.randint(0, 3))
        ]
    return machine


def _memory(rng: random.Random, features: frozenset[str], nodes: list[dict[str, Any]], number: int) -> None:
    if "pages" in features:
        for node in nodes:
            if rng.random() < 0.7:
                node["pages"] = {"2MiB": rng.choice((128, 256, 512, 640))}
            if rng.random() < 0.2:
                node.setdefault("pages", {})["1GiB"] = 1
                node["memory"] = "8192MiB"
    if some(rng, features, "memory", 0.2) and len(nodes) > 1:
        empty = rng.choice(nodes)
        empty["memory"] = "0MiB"
        empty.pop("pages", None)
    if some(rng, features, "memory", 0.25):
        nodes.append({"id": number, "memory": "4096MiB"})
    if "resources" in features and rng.random() < 0.3:
        for node in nodes:
            node["resources"] = {"vf": rng.choice((1, 2, 4))}


def _host(rng: random.Random, features: frozenset[str], machine: Mapping[str, Any], number: int) -> dict[str, Any]:
    host: dict[str, Any] = {"name": f"h{number}", **machine}
    cpus = [int(cpu) for node in machine["nodes"] for cpu in node.get("cpus", "").split(",") if cpu]
    free = list(cpus)
    reserve: dict[str, Any] = {}
    if rng.random() < 0.25 and len(cpus) > 2:
        kept = rng.sample(cpus, 1)
        reserve["cpus"] = cpu_text(kept)
        free = [cpu for cpu in cpus if cpu not in kept]
    if rng.random() < 0.25 and "pages" not in features:
        reserve["memory"] = f"{rng.choice((240, 480, 960))}MiB"
    if any("2MiB" in node.get("pages", {}) for node in machine["nodes"]) and rng.random() < 0.25:
        reserve["pages"] = {"2MiB": 12}
    if rng.random() < 0.1 and machine["nodes"][0]["memory"] not in ("0MiB", "1536MiB"):
        reserve["nodes"] = {machine["nodes"][0]["id"]: {"memory": "256MiB"}}
    if some(rng, features, "shares", 0.7):
        reserve, free = _shares(rng, machine["nodes"]), []
    if reserve:
        host["reserve"] = reserve
    if some(rng, features, "split", 0.7) and len(free) > 1:
        part = rng.sample(free, rng.randint(1, len(free) - 1))
        which = rng.choice(("dedicated_cpus", "shared_cpus", "both"))
        if which == "both":
            cut = rng.randint(1, len(part))
            host["dedicated_cpus"] = cpu_text(part[:cut])
            rest = [cpu for cpu in free if cpu not in part]
            host["shared_cpus"] = cpu_text(rest)
        else:
            host[which] = cpu_text(part)
    if some(rng, features, "isolated", 0.7):
        host["isolated_cpus"] = cpu_text(rng.sample(cpus, rng.randint(1, max(1, len(cpus) // 2))))
    if rng.random() < 0.5:
        host["overcommit"] = rng.choice((2, 1.5, 4, {"cpu": 2, "memory": 1.25}))
    if "watts" in features:
        host["idle_watts"] = rng.choice((50, 80, 120.5))
        host["busy_watts"] = rng.choice((100, 240, 300))
    if some(rng, features, "gens", 0.8):
        host["gen"] = rng.choice((0, 1, 2))
    if some(rng, features, "gens", 0.15) or some(rng, features, "kvmless", 0.15):
        host["kvm"] = False
    if some(rng, features, "costs", 0.6):
        host["cost"] = rng.choice((1, 2, 2.5, 0.5))
    if "labels" in features:
        labels = {"rack": f"r{rng.randint(1, 2)}", "zone": rng.choice("ab")}
        host["labels"] = {key: value for key, value in labels.items() if rng.random() < 0.8}
    if some(rng, features, "resources", 0.7):
        host["resources"] = {"disk": rng.choice((2, 4, 8))}
    return host


def _shares(rng: random.Random, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a reserve in shares, of the host or of a node, or of both."""
    reserve: dict[str, Any] = {}
    if rng.random() < 0.7:
        reserve["cpus"] = rng.choice(("10%", "25%", "50%"))
    if any("pages" in node for node in nodes):
        # The reader refuses a host that reserves more of a node than it has beside its pools.
        return reserve
    if rng.random() < 0.7:
        reserve["memory"] = rng.choice(("5%", "12.5%", "33%"))
    if rng.random() < 0.5:
        node = rng.choice([node for node in nodes if node.get("cpus")])
        reserve["nodes"] = {node["id"]: {"memory": "10%"} | ({"cpus": "34%"} if rng.random() < 0.5 else {})}
    return reserve
