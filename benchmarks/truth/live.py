"""From a fleet of VMs to come to one that runs: places that fit, then what administrators and time do to them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from benchmarks.truth.reference import Placed, solve


def settle(rng: random.Random, inventory: Mapping[str, Any], features: frozenset[str]) -> dict[str, Any]:
    """Put most VMs somewhere they fit, on known nodes, some with fixed pins; then hosts fail or are drained.

    Rules and labels come after the places, so that some are broken at the start.
    """
    free = {key: value for key, value in inventory.items() if key != "rules"}
    order = list(free["vms"])
    rng.shuffle(order)
    # By turns VMs are spread over the hosts, or fill one after the other.
    found = solve(
        {**free, "vms": order[: rng.randint(1, len(order))]}, rng.choice(("placed", "placed,balance", "placed,hosts"))
    )
    vms = [_placed(rng, vm, found.plan.get(vm["name"]), features) for vm in inventory["vms"]]
    hosts = [_changed(rng, host, features) for host in inventory["hosts"]]
    return {**inventory, "hosts": hosts, "vms": vms}


def _placed(rng: random.Random, vm: dict[str, Any], where: Placed | None, features: frozenset[str]) -> dict[str, Any]:
    if where is None:
        return vm
    vm = {**vm, "host": where.host}
    vm["nodes"] = list(where.cpu_nodes)
    if where.memory_nodes != where.cpu_nodes:
        vm["memory_nodes"] = list(where.memory_nodes)
    pins = {
        str(vcpu): str(cpu)
        for vcpus, cpus in zip(where.vcpus, where.cpus, strict=True)
        for vcpu, cpu in zip(vcpus, cpus, strict=False)
    }
    whole = len(pins) == vm["vcpus"]
    if whole and rng.random() < 0.5:
        vm["pins"] = pins
        if where.emulator is not None:
            vm["emulator"] = str(where.emulator)
        if "fixed" in features and rng.random() < 0.4:
            vm["pins_fixed"] = True
    if rng.random() < 0.3:
        vm["movable"] = rng.choice(("cold", "false", "live"))
    if vm.get("cells", "auto") == "auto" and rng.random() < 0.15:
        vm["reshape"] = True
    if rng.random() < 0.1:
        vm["running"] = False
    return vm


def _changed(rng: random.Random, host: dict[str, Any], features: frozenset[str]) -> dict[str, Any]:
    host = dict(host)
    draw = rng.random()
    if draw < 0.15:
        host["state"] = "drain"
    elif draw < 0.25 and "failed" in features:
        host["state"] = "failed"
    if rng.random() < 0.3:
        host["migration_domain"] = rng.choice(("m1", "m2"))
    return host
