"""Random VMs of a raced fleet."""

from __future__ import annotations

import random
from typing import Any


def random_vm(rng: random.Random, features: frozenset[str], number: int) -> dict[str, Any]:
    """Return a VM to come: 1 to 6 vCPUs, every CPU policy, cells, and what its family's features bring."""
    vcpus = rng.choice((1, 1, 2, 2, 2, 3, 4, 4, 6))
    vm: dict[str, Any] = {"name": f"v{number}", "vcpus": vcpus}
    memory = rng.choice((256, 256, 512, 1024, 2048, 3072))
    _cells(rng, features, vm, memory)
    policy = rng.choice(("dedicated", "dedicated", "dedicated", "shared", "mixed"))
    if policy == "mixed" and vcpus > 1:
        vm["cpu_policy"] = "mixed"
        vm["dedicated_vcpus"] = rng.choice(("0", f"1-{vcpus - 1}"))
    elif policy == "shared":
        vm["cpu_policy"] = "shared"
    if "smt" in features and vm.get("cpu_policy") != "shared" and rng.random() < 0.5:
        vm["thread_policy"] = rng.choice(("isolate", "require", "pairs", "prefer"))
    if rng.random() < 0.25:
        vm["emulator_threads"] = rng.choice(("isolate", "isolate", "share", "housekeeping"))
    if rng.random() < 0.1:
        vm["iothreads"] = rng.choice((1, 2))
    if rng.random() < 0.2:
        vm["overhead"] = rng.choice(("0MiB", "64MiB", "100MiB"))
    if rng.random() < 0.2:
        vm["weight"] = rng.choice((2, 1.5, 0.5))
    if "pages" in features and rng.random() < 0.5:
        vm["page_size"] = "1GiB" if _whole_gib(vm) and rng.random() < 0.5 else "2MiB"
    if "memory" in features and rng.random() < 0.25:
        vm["memory_tier"] = "any"
    if "priorities" in features and rng.random() < 0.5:
        vm["priority"] = rng.choice((0, 1, 5))
    if "labels" in features and rng.random() < 0.7:
        vm["labels"] = {"app": rng.choice("ab")} | ({"tier": "x"} if rng.random() < 0.4 else {})
    if "devices" in features and rng.random() < 0.4:
        vm["devices"] = [
            {
                "kind": rng.choice(("nic", "nic", "gpu")),
                "policy": rng.choice(("required", "preferred")),
                "count": rng.choice((1, 1, 2)),
            }
            for _ in range(rng.choice((1, 1, 2)))
        ]
        if "guests" in features and rng.random() < 0.4:
            vm["devices"][0] |= {"policy": "required", "per": "cell"}
    if "hybrid" in features and vm.get("cpu_policy") != "shared" and rng.random() < 0.4:
        vm["core_kind"] = rng.choice(("performance", "efficiency", "any"))
    if "kvmless" in features and rng.random() < 0.3:
        vm["kvm"] = False
    if "resources" in features and rng.random() < 0.4:
        vm["resources"] = {rng.choice(("disk", "vf")): rng.choice((1, 2, 3))}
    return vm


def _cells(rng: random.Random, features: frozenset[str], vm: dict[str, Any], memory: int) -> None:
    vcpus = vm["vcpus"]
    kind = rng.choice(("auto", "auto", "none", "count", "list"))
    if kind == "list" and vcpus > 1:
        count = rng.randint(2, min(3, vcpus))
        sizes = [1] * count
        for _ in range(vcpus - count):
            sizes[rng.randrange(count)] += 1
        cells = [{"vcpus": size, "memory": f"{rng.choice((256, 512, 1024))}MiB"} for size in sizes]
        if "guests" in features:
            _kinds_of_cells(rng, features, cells)
        vm["cells"] = cells
        vm["memory"] = f"{sum(int(str(cell['memory'])[:-3]) for cell in cells)}MiB"
    else:
        vm["memory"] = f"{memory}MiB"
        if kind == "none":
            vm["cells"] = "none"
            if vcpus > 1 and rng.random() < 0.4:
                vm["interleave"] = rng.choice((2, 2, 3)) if vcpus > 2 and memory % 3 == 0 else 2
        elif kind == "count":
            vm["cells"] = rng.choice([k for k in (1, 2, 3) if vcpus % k == 0 and memory % k == 0])
    if kind != "none" and vcpus < 5 and rng.random() < 0.1:
        vm["share_node"] = True
    if rng.random() < 0.25:
        vm["locality"] = rng.choice((0, 0.5, 1, "uniform"))


def _kinds_of_cells(rng: random.Random, features: frozenset[str], cells: list[dict[str, Any]]) -> None:
    """Add cells of memory alone behind those with vCPUs, and give some a page size of their own."""
    while len(cells) < 4 and rng.random() < 0.4:
        cells.append({"vcpus": 0, "memory": f"{rng.choice((256, 512, 1024))}MiB"})
    for cell in cells:
        if "pages" in features and rng.random() < 0.3:
            cell["page_size"] = rng.choice(("2MiB", "4KiB"))


def _whole_gib(vm: dict[str, Any]) -> bool:
    """Tell whether pages of 1 GiB fill the VM's cells: others would not start."""
    cells = vm.get("cells", "auto")
    count = cells if isinstance(cells, int) else vm.get("interleave", 1)
    sizes = [cell["memory"] for cell in cells] if isinstance(cells, list) else [vm["memory"]]
    return all(int(size[:-3]) % (1024 * count) == 0 for size in sizes)
