"""Random rules over groups: VMs apart, alone, on hosts of their own, spread, evened out, in shares; hard or soft."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

_KINDS = ("apart", "apart", "pairs", "alone", "dedicated", "spread", "spread", "even", "share", "share")


def tying_rule(rng: random.Random, features: frozenset[str], inventory: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a rule over the groups that labels of VMs make, None where the draw has no groups for it."""
    apps = sorted({vm["labels"]["app"] for vm in inventory["vms"] if "app" in vm.get("labels", {})})
    if not apps:
        return None
    racks = sorted({host["labels"]["rack"] for host in inventory["hosts"] if "rack" in host.get("labels", {})})
    wide = rng.choice(["host", "host", *(["rack", "rack"] if racks else [])])
    near = rng.choice([wide, wide, "node"])
    members: Any = {"app": rng.choice(apps)}
    if rng.random() < 0.15:
        members = [vm["name"] for vm in rng.sample(inventory["vms"], rng.randint(1, min(3, len(inventory["vms"]))))]
    elif rng.random() < 0.15:
        members = {"app": apps}
    kind = rng.choice(_KINDS)
    match kind:
        case "apart":
            if len(apps) < 2:
                return None
            groups = [{"app": app} for app in rng.sample(apps, 2)]
            return {"apart": groups, "scope": near, "max_together": rng.choice((0, 0, 1, 2))}
        case "pairs":
            rows = [[rng.choice(apps), rng.choice(apps), rng.choice((0, 1, 1, 2))] for _ in range(rng.randint(1, 2))]
            rows = [[one, other, max(1, most) if one == other else most] for one, other, most in rows]
            return {"pairs": rows, "label": "app", "scope": near}
        case "alone":
            return {"alone": members, "scope": near}
        case "dedicated":
            hosts: Any = {"rack": rng.choice(racks)} if racks and rng.random() < 0.5 else None
            return {"dedicated": members, "hosts": hosts or rng.choice(inventory["hosts"])["name"]}
        case "spread":
            return {"spread": members, "scope": wide, "at_least": rng.choice((2, 2, 3))}
        case "even":
            return {"even": members, "scope": wide, "max_skew": rng.choice((1, 1, 2))}
        case _:
            limit: dict[str, Any] = rng.choice(
                [{"max_vcpus": rng.choice((2, 3, 5))}, {"max_memory": rng.choice(("512MiB", "2GiB"))}, {"max_hosts": 1}]
            )
            return {"share": members, "scope": wide, **limit}


def confining_rule(rng: random.Random, features: frozenset[str], inventory: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a rule that keeps VMs apart or together, or says where they may be; None where no VM has a label."""
    labels = [vm["labels"] for vm in inventory["vms"] if vm.get("labels")]
    if not labels:
        return None
    chosen = rng.choice(labels)
    key = rng.choice(sorted(chosen))
    members = {key: chosen[key]}
    racks = [host["labels"]["rack"] for host in inventory["hosts"] if "rack" in host.get("labels", {})]
    scopes = ["host", "node", "rack" if racks else "host", *(["l3", "l3"] if "l3" in features else [])]
    kind = rng.choice(("anti_affinity", "anti_affinity", "affinity", "within", "outside", "drain"))
    if kind == "anti_affinity":
        rule: dict[str, Any] = {kind: members, "scope": rng.choice(scopes), "max_per": rng.choice((1, 1, 2))}
        if rule["scope"] == "rack" and rng.random() < 0.4:
            rule["unless"] = {"rack": rng.choice(racks)}
        return rule
    if kind == "affinity":
        return {kind: members, "scope": rng.choice(scopes)}
    hosts: Any = {"rack": rng.choice(racks)} if racks and rng.random() < 0.5 else rng.choice(inventory["hosts"])["name"]
    if kind == "drain":
        return {kind: hosts} if len(inventory["hosts"]) > 1 else None
    return {kind: members, "hosts": hosts}


def drain_rule(rng: random.Random, inventory: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule that hosts are emptied: one by its name, some by a list, or those of a rack."""
    names = [host["name"] for host in inventory["hosts"]]
    racks = sorted({host["labels"]["rack"] for host in inventory["hosts"] if "rack" in host.get("labels", {})})
    some: list[Any] = [rng.choice(names), rng.choice(names), rng.sample(names, (len(names) + 1) // 2)]
    return {"drain": rng.choice([*some, *({"rack": rack} for rack in racks)])}


def reserve_rule(rng: random.Random, inventory: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule that failures are survived: of one host, of two, or of a rack, by all VMs or by some."""
    scope = "rack" if any("rack" in host.get("labels", {}) for host in inventory["hosts"]) else "host"
    reserve: dict[str, Any] = {"fail": 1, "scope": rng.choice(("host", "host", scope))}
    if len(inventory["hosts"]) > 2 and reserve["scope"] == "host" and rng.random() < 0.3:
        reserve["fail"] = 2
    if any("app" in vm.get("labels", {}) for vm in inventory["vms"]) and rng.random() < 0.4:
        apps = sorted({vm["labels"]["app"] for vm in inventory["vms"] if "app" in vm.get("labels", {})})
        reserve["members"] = {"app": rng.choice(apps)}
    return {"reserve": reserve}


def softened(rng: random.Random, features: frozenset[str], rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule that is soft, of a weight or a priority, in families of soft rules; most of theirs are."""
    if "soft" not in features or rule.get("scope") == "l3" or rng.random() < 0.3:
        return rule
    rule = {**rule, "soft": True} if rng.random() < 0.5 else {**rule, "weight": rng.choice((1, 2, 3, 5))}
    return {**rule, "priority": 2} if rng.random() < 0.3 else rule
