"""HA rules of Proxmox VE 9 as rules of an inventory: resources apart or together, and on which nodes they may be.

Source: ha-manager(1), section on rules; ``/cluster/ha/rules`` of the API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from placer.read.imports.entries import entry, said
from placer.read.text.located import LineMap

YES = ("1", "true")
"""How Proxmox writes what is true."""
_AFFINITY = {"negative": "anti_affinity", "positive": "affinity"}


def ha_rule_entries(
    listed: Sequence[LineMap], vms: Sequence[LineMap], hosts: Mapping[str, LineMap], warnings: list[str]
) -> list[LineMap]:
    """Return the rules; their resources, and the nodes of strict ones, get a label ``ha:<rule>``.

    Rules that only prefer nodes bind nothing and are named in `warnings`, as are those whose resources are not here.
    """
    by_id = {vm["manager_id"]: vm for vm in vms}
    rules = []
    for tree in listed:
        name, kind = said(tree, "rule") or "?", said(tree, "type")
        if said(tree, "disable") in YES:
            continue
        if name == "?" and (group := said(tree, "group")) is not None:
            warnings.append(f"HA group {group} of Proxmox VE 8 does not tell who is in it: not carried over")
            continue
        members = [
            by_id[number]
            for resource in (said(tree, "resources") or "").split(",")
            if (number := resource.strip().partition(":")[2]) in by_id
        ]
        if not members:
            warnings.append(f"HA rule {name}: none of its resources are in the inventory: not carried over")
            continue
        label = f"ha:{name}"
        if kind == "resource-affinity" and (said(tree, "affinity") or "") in _AFFINITY:
            rules.append(entry(**{_AFFINITY[said(tree, "affinity") or ""]: {label: "true"}}, scope="host", name=label))
        elif kind == "node-affinity" and said(tree, "strict") == "1":
            # "pve1:2,pve2": the highest priority is preferred, and all of them are allowed.
            nodes = [node.partition(":")[0].strip() for node in (said(tree, "nodes") or "").split(",")]
            known = [hosts[node] for node in nodes if node in hosts]
            if not known:
                warnings.append(f"HA rule {name}: none of its nodes are in the inventory: not carried over")
                continue
            for host in known:
                _label(host, label)
            rules.append(entry(within={label: "true"}, hosts={label: "true"}, name=label))
        else:
            warnings.append(f"HA rule {name} only prefers nodes, or is of a kind unknown here: not carried over")
            continue
        for vm in members:
            _label(vm, label)
    return rules


def _label(one: LineMap, label: str) -> None:
    one.setdefault("labels", LineMap())[label] = "true"
