"""Random live fleets of unequal hosts, as inventories: sizes, overcommit, racks, and VMs that are bound, float, or have
dedicated vCPUs.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import placer
from placer.model.fleet import Fleet


def unequal_fleet(folder: Path, seed: int, *, hosts: int = 4, vms: int = 8) -> Fleet:
    """Return a fleet of a seed in which every VM is somewhere."""
    rng = random.Random(seed)
    listed, room = [], []
    for number in range(hosts):
        nodes, cpus, gib = rng.choice((1, 1, 2)), rng.choice((4, 6, 8)), rng.choice((8, 12, 24))
        ratio = rng.choice((1, 1.5, 2, 4, 16))
        host: dict[str, Any] = {
            "name": f"h{number}",
            "overcommit": ratio,
            "nodes": [
                {"id": n, "cpus": f"{n * cpus}-{n * cpus + cpus - 1}", "memory": f"{gib}GiB"} for n in range(nodes)
            ],
        }
        if rng.random() < 0.8:
            host["labels"] = {"rack": f"r{rng.randrange(3)}"}
        listed.append(host)
        room.append([[cpus, gib - 1] for _ in range(nodes)])
    guests = []
    for number in range(vms):
        vcpus, gib = rng.choice((1, 1, 2, 4)), rng.choice((1, 1, 2, 4))
        dedicated = rng.random() < 0.3
        at = rng.randrange(hosts)
        ratio = float(listed[at]["overcommit"])
        need = vcpus if dedicated else vcpus / ratio
        width = len(listed[at]["nodes"]) * (8 if dedicated else 4)
        fits = [n for n, (cpus, free) in enumerate(room[at]) if cpus >= need and free >= gib + 0.5 and vcpus <= width]
        if not fits or (not dedicated and vcpus > sum(4 for _ in room[at])):
            continue
        node = rng.choice(fits)
        room[at][node][0] -= need
        room[at][node][1] -= gib + 0.25
        guest: dict[str, Any] = {"name": f"v{number}", "vcpus": vcpus, "memory": f"{gib}GiB", "host": f"h{at}"}
        guest |= {"cpu_policy": "dedicated" if dedicated else "shared", "overhead": "64MiB"}
        guest["labels"] = {"app": rng.choice("ab")}
        if dedicated or rng.random() < 0.6:
            guest["nodes"] = [node]
        if rng.random() < 0.4:
            guest["usage"] = {"cpu_p95": rng.choice((0.1, 0.35, 0.9))}
        guests.append(guest)
    rules: list[dict[str, Any]] = []
    if rng.random() < 0.3 and any(guest["labels"]["app"] == "a" for guest in guests):
        rules.append({"anti_affinity": {"app": "a"}, "scope": rng.choice(("host", "rack")), "soft": rng.random() < 0.5})
    path = folder / f"unequal-{seed}.json"
    path.write_text(
        json.dumps({"schema": "placer.inventory/v1", "hosts": listed, "vms": guests, "rules": rules}), encoding="utf-8"
    )
    return placer.read_fleet(path)
