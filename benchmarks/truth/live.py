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
    if "floats" in features:
        kinds = {host["name"]: host["nodes"] for host in inventory["hosts"]}
        vms = [_loose(rng, vm, kinds[vm["host"]]) if "host" in vm else _newcomer(rng, vm) for vm in vms]
    if "binds" in features:
        vms = [_says(rng, vm) for vm in vms]
    if "copies" in features:
        vms += [_copy(vm, number) for number, vm in enumerate(vms) if "host" in vm and rng.random() < 0.25]
    if "usage" in features:
        vms = [_measured(rng, vm) for vm in vms]
        vms[0] = {**vms[0], "usage": {"cpu_p95": 0.5}}
    hosts = [_changed(rng, host, features) for host in inventory["hosts"]]
    if "scarce" in features:
        hosts = [_scarce(rng, host) if rng.random() < 0.5 else host for host in hosts]
    return {**inventory, "hosts": hosts, "vms": vms}


def _loose(rng: random.Random, vm: dict[str, Any], nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Bind a VM that is somewhere to sets of nodes in place of one a cell, or to nothing; or leave it as it is."""
    # One CPU alone, said by no pin, is taken for the VM's own: there are several, whatever a host reserves.
    wide = [node["id"] for node in nodes if str(node.get("cpus", "")).count(",") > 1]
    if rng.random() < 0.35 or vm.get("pins_fixed") or vm.get("devices") or vm.get("interleave") or not wide:
        return vm
    vm = {key: value for key, value in vm.items() if key not in _OF_NODES}
    if rng.random() < 0.6 and vm.get("cpu_policy") != "shared":
        vm = {key: value for key, value in vm.items() if key not in ("thread_policy", "dedicated_vcpus")}
        vm["cpu_policy"] = "shared"
    vm.pop("emulator_threads", None)
    vm.pop("resources", None)
    vm["nodes"] = []
    runs = [node["id"] for node in nodes if node.get("cpus")]
    holds = [node["id"] for node in nodes if node["memory"] != "0MiB"]
    draw = rng.random()
    if draw < 0.35:
        return vm
    if draw < 0.5 and not isinstance(vm.get("cells"), (int, list)):
        vm["memory_nodes"] = [rng.choice(holds)]
        return vm
    cells = vm.get("cells")
    count = cells if isinstance(cells, int) else len(cells) if isinstance(cells, list) else 1
    bound = [
        {
            "cpus": rng.choice(("host", sorted({rng.choice(wide), *rng.sample(runs, rng.randint(0, len(runs) - 1))}))),
            "memory": rng.choice(("host", sorted(rng.sample(holds, rng.randint(1, len(holds)))))),
        }
        for _ in range(count if rng.random() < 0.5 else 1)
    ]
    del vm["nodes"]
    vm["bound"] = bound if len(bound) > 1 else bound[0]
    return vm


_OF_NODES = ("nodes", "memory_nodes", "pins", "emulator", "reshape")


def _newcomer(rng: random.Random, vm: dict[str, Any]) -> dict[str, Any]:
    """Let some VMs to come float."""
    if rng.random() < 0.6 or vm.get("devices") or vm.get("interleave") or vm.get("emulator_threads") == "isolate":
        return vm
    return {**{key: value for key, value in vm.items() if key != "resources"}, "pin": "never"}


def _says(rng: random.Random, vm: dict[str, Any]) -> dict[str, Any]:
    """Let some VMs say whether they are bound, and pin most of those that float nowhere."""
    if rng.random() < 0.8 and (vm.get("nodes") == [] or "bound" in vm):
        vm = {**{key: value for key, value in vm.items() if key not in ("bound", "memory_nodes")}, "nodes": []}
    return {**vm, "pin": rng.choice(("must", "must", "never", "allowed"))} if rng.random() < 0.4 else vm


def _copy(vm: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a VM that somebody copied with its place and pins."""
    return {**vm, "name": f"copy{number}"}


def _measured(rng: random.Random, vm: dict[str, Any]) -> dict[str, Any]:
    """Say of most VMs what they use."""
    return {**vm, "usage": {"cpu_p95": rng.choice((0.1, 0.25, 0.5, 0.9))}} if rng.random() < 0.7 else vm


def _scarce(rng: random.Random, host: dict[str, Any]) -> dict[str, Any]:
    """Take something away from a host that holds VMs: memory, CPUs or a pool."""
    reserve = dict(host.get("reserve", {}))
    if "%" in str(reserve):
        return host
    nodes = dict(reserve.get("nodes", {}))
    node = rng.choice([node for node in host["nodes"] if node.get("cpus")])
    own = dict(nodes.get(node["id"], {}))
    what = rng.choice(("memory", "memory", "cpus", "pages", "overcommit"))
    if what == "memory" and node["memory"] != "0MiB":
        pools = sum(
            int(size[:-3]) * many * (1024 if size == "1GiB" else 1) for size, many in node.get("pages", {}).items()
        )
        # The reader refuses a host that reserves more of a node than it has, its own part included.
        left = int(node["memory"][:-3]) - pools - 300 - int(str(reserve.get("memory", "0MiB"))[:-3])
        own["memory"] = f"{max(0, min(left, rng.choice((512, 1024, 2048))))}MiB"
    elif what == "cpus":
        kept = str(reserve.get("cpus", "")).split(",")
        cpus = [cpu for cpu in str(node["cpus"]).split(",") if cpu not in kept]
        lost = rng.choice(cpus) if len(cpus) > 1 else None
        split = ",".join(str(host.get(pool, "")) for pool in ("dedicated_cpus", "shared_cpus")).split(",")
        # The reader refuses a host that reserves CPUs which it gives to VMs by name.
        if lost is not None and lost not in split:
            own["cpus"] = lost
    elif what == "pages" and "2MiB" in node.get("pages", {}):
        own["pages"] = {"2MiB": rng.choice((64, 100))}
    elif what == "overcommit":
        host = {**host, "overcommit": 1}
    if own:
        nodes[node["id"]] = own
        host = {**host, "reserve": {**reserve, "nodes": nodes}}
    return host


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
    if "drains" in features and rng.random() < 0.2:
        vm["movable"] = "drain"
    elif rng.random() < 0.3:
        vm["movable"] = rng.choice(("cold", "false", "live", *(("drain",) if "gens" in features else ())))
    if vm.get("cells", "auto") == "auto" and rng.random() < 0.15:
        vm["reshape"] = True
    if rng.random() < 0.1:
        vm["running"] = False
    return vm


def _changed(rng: random.Random, host: dict[str, Any], features: frozenset[str]) -> dict[str, Any]:
    host = dict(host)
    draw = rng.random()
    if draw < (0.3 if "drains" in features else 0.15):
        host["state"] = "drain"
    elif draw < 0.25 and "failed" in features:
        host["state"] = "failed"
    if "kvmless" in features and rng.random() < 0.3:
        host["kvm"] = False
    if rng.random() < 0.3:
        host["migration_domain"] = rng.choice(("m1", "m2"))
    return host
