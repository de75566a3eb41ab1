"""Runs in Nova's environment: fit instances to hosts one by one with Nova's own code, as its scheduler would.

``nova_child.py QUESTION ANSWER``. A host passes when `numa_fit_instance_to_host` finds a fit; those that pass are
ordered by Nova's CPU and RAM weighers (free vCPUs and free memory, each normalised over the hosts that pass), the first
one whose claim holds takes the instance. Packing turns both weighers around and sets
`packing_host_numa_cells_allocation_strategy`.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def main(question: dict[str, Any]) -> dict[str, Any]:
    """Place every VM of the question in order, and return where each went."""
    hardware = importlib.import_module("nova.virt.hardware")
    objects = importlib.import_module("nova.objects")
    objects.register_all()
    conf = importlib.import_module("nova.conf").CONF
    weights = importlib.import_module("nova.weights")
    pack = bool(question["pack"])
    was = conf.compute.packing_host_numa_cells_allocation_strategy
    conf.set_override("packing_host_numa_cells_allocation_strategy", pack, group="compute")
    hosts = [_host(objects, host) for host in question["hosts"]]
    began = time.perf_counter()
    placed: list[dict[str, Any] | None] = []
    refused = 0
    for vm in question["vms"]:
        fits = []
        for number, host in enumerate(hosts):
            fit = hardware.numa_fit_instance_to_host(host, _instance(objects, vm), {})
            if fit is not None:
                fits.append((number, fit))
        scores = [0.0] * len(fits)
        for free in (_free_cpus, _free_memory):
            told = weights.normalize([float(free(hosts[number])) for number, _ in fits]) if fits else []
            scores = [score + (-1.0 if pack else 1.0) * one for score, one in zip(scores, told, strict=True)]
        found = None
        for index in sorted(range(len(fits)), key=lambda index: (-scores[index], index)):
            number, fit = fits[index]
            try:
                hosts[number] = hardware.numa_usage_from_instance_numa(hosts[number], fit)
            except Exception:  # whatever a claim raises, Nova's scheduler goes on to the next host
                refused += 1
                continue
            pins = {str(vcpu): cpu for cell in fit.cells for vcpu, cpu in cell.cpu_pinning.items()}
            found = {"host": number, "nodes": [cell.id for cell in fit.cells], "pins": pins}
            break
        placed.append(found)
    return {
        "placed": placed,
        "refused_claims": refused,
        "seconds": time.perf_counter() - began,
        "packing_by_default": was,
    }


def _host(objects: Any, host: dict[str, Any]) -> Any:
    cells = []
    for cell in host["cells"]:
        cpus = set(cell["cpus"])
        cells.append(
            objects.NUMACell(
                id=cell["id"],
                # Equal sets are what a host with one pool of CPUs reports; Nova refuses `isolate` on others.
                cpuset=set(cpus),
                pcpuset=set(cpus),
                memory=cell["memory_mib"],
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=set(),
                siblings=[set(core) for core in cell["siblings"]],
                mempages=[
                    objects.NUMAPagesTopology(size_kb=int(size), total=total, used=0, reserved=0)
                    for size, total in sorted(cell["pages"].items(), key=lambda entry: int(entry[0]))
                ],
                socket=cell["socket"],
            )
        )
    return objects.NUMATopology(cells=cells)


def _instance(objects: Any, vm: dict[str, Any]) -> Any:
    cells = [
        objects.InstanceNUMACell(
            id=number,
            cpuset=set(),
            pcpuset=set(cell["vcpus"]),
            memory=cell["memory_mib"],
            pagesize=cell["page_kib"],
            cpu_policy="dedicated",
            cpu_thread_policy=vm["thread_policy"],
        )
        for number, cell in enumerate(vm["cells"])
    ]
    return objects.InstanceNUMATopology(cells=cells, emulator_threads_policy=None)


def _free_cpus(host: Any) -> int:
    return sum(len(cell.free_pcpus) for cell in host.cells)


def _free_memory(host: Any) -> int:
    return sum(int(cell.avail_memory) for cell in host.cells)


if __name__ == "__main__":
    answer = main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")
