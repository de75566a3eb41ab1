"""A host as plain data: what ``placer show --format json`` prints of it."""

from __future__ import annotations

from typing import Any

from placer.model.cpuset import format_cpuset
from placer.model.host import Topology


def host_data(topology: Topology, name: str) -> dict[str, Any]:
    """Return a host with what was assumed of it; memory in KiB, CPU sets as text, distances as SLIT figures.

    What the source did not tell is null (`kvm`, `free_kib`) or empty (`l3`, `devices`); `assumptions` are the sentences
    that the picture prints.
    """
    return {
        "kind": "host",
        "name": name,
        "arch": topology.arch,
        "model": topology.model,
        "kvm": topology.kvm,
        "page_kib": topology.page_kib,
        "cpus": format_cpuset(topology.cpus),
        "offline": format_cpuset(topology.offline),
        "nodes": [
            {
                "id": node.id,
                "kind": str(node.kind),
                "cpus": format_cpuset(node.cpus),
                "memory_kib": node.memory_kib,
                "free_kib": node.free_kib,
                "pages": [
                    {"size_kib": size, "total": total, "free": node.free_pages.get(size)}
                    for size, total in sorted(node.pages.items())
                ],
            }
            for node in topology.nodes
        ],
        "distances": [list(row) for row in topology.distances],
        "bandwidth_mib_s": None
        if topology.bandwidth_mib_s is None
        else [list(row) for row in topology.bandwidth_mib_s],
        **{
            name: [format_cpuset(cpus) for cpus in getattr(topology, name)]
            for name in ("packages", "dies", "l3", "clusters", "cores")
        },
        "devices": [
            {
                "address": device.address,
                "kind": device.kind,
                "node": device.node,
                "count": device.count,
                **({"functions": list(device.functions)} if device.functions else {}),
                **({"group": device.group} if device.group is not None else {}),
            }
            for device in topology.devices
        ],
        "assumptions": list(topology.assumptions),
    }
