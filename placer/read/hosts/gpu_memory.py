"""Which nodes without CPUs hold a GPU's memory: they look like CXL memory and must never be planned for."""

from __future__ import annotations

from placer.read.hosts.raw_host import RawHost, node_names

_POWER9_GPU_IDS = range(240, 256)
_GRACE_EMPTY_NODES = 7


def device_nodes(raw: RawHost, assumptions: list[str]) -> frozenset[int]:
    """Return the ids of the nodes whose memory is a device's.

    What the file itself says comes first: hwloc's subtype ``GPUMemory``, the node in ``/proc/driver/nvidia/gpus``, and
    on the other side a DAX device, which is PMEM or CXL. Where it says nothing, two numberings give GPUs away:

    - the firmware of POWER9 numbers the memory of its GPUs downwards from node 255;
    - Grace has seven empty nodes for the partitions of each GPU, beside the one with its memory. A CXL node of such
      a host is then taken for a GPU's too: to leave out some memory does less harm than to plan for a GPU's.
    """
    silent = {i for i, node in raw.nodes.items() if not node.cpus and node.device_memory is None}
    told = {i for i, node in raw.nodes.items() if not node.cpus and node.device_memory}
    power = {i for i in silent if i in _POWER9_GPU_IDS}
    if any(node.cpus and i in _POWER9_GPU_IDS for i, node in raw.nodes.items()):
        power = set()
    empty = {i for i in silent if not raw.nodes[i].memory_kib}
    grace = silent if len(empty) >= _GRACE_EMPTY_NODES else set()
    if told:
        verb = "holds" if len(told) == 1 else "hold"
        assumptions.append(f"{node_names(sorted(told))} {verb} a device's memory: never planned for")
    if power or grace:
        why = "Grace gives a GPU seven empty nodes" if grace else "POWER9 numbers it so"
        names = node_names(sorted(power | grace))
        assumptions.append(f"{names} without CPUs taken as GPU memory ({why}): never planned for")
    return frozenset(told | power | grace)
