"""Which GPUs are near one another, as ``nvidia-smi topo -m`` prints it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from placer.errors import InputError
from placer.model.host import Topology
from placer.read.hosts.host import read_file

_GPU = re.compile(r"GPU([0-9]{1,3})")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_NVLINK = re.compile(r"NV[0-9]{1,3}")
_ONE_SWITCH = ("PIX", "PXB")


def with_links(topology: Topology, path: Path) -> Topology:
    """Return a host whose GPUs are in groups: islands of NVLink where there are several, else PCIe switches.

    The matrix names GPUs by number alone, in the order of their PCI addresses. Of GPUs that all have links to one
    another, PCIe switches tell more. Network cards and drives that were in one group with a GPU, as those below one
    root port are, stay in one with it.

    Raises
    ------
    InputError
        It is no such matrix, or has other GPUs than the host.
    """
    source = str(path)
    rows = _rows(read_file(path, source).decode("utf-8", "replace"), source)
    gpus = sorted((device for device in topology.devices if device.kind == "gpu"), key=lambda one: one.address)
    if len(gpus) != len(rows):
        raise InputError(
            f"the matrix has {len(rows)} GPUs, and the host tells {len(gpus)}",
            file=source,
            cure="list the host's GPUs under devices, with their addresses",
        )
    islands = _groups([[bool(_NVLINK.fullmatch(word)) for word in row] for row in rows])
    switches = _groups([[word in _ONE_SWITCH for word in row] for row in rows])
    kind, groups = ("nvlink", islands) if len(islands) > 1 or not switches else ("switch", switches)
    group_of = {number: f"{kind}-{n}" for n, members in enumerate(groups) for number in members}
    found = {gpu.address: group_of.get(number, gpu.group) for number, gpu in enumerate(gpus)}
    joined: dict[str | None, str | None] = {}
    for gpu in gpus:
        joined.setdefault(gpu.group, found[gpu.address])
    joined[None] = None
    devices = tuple(
        replace(device, group=found.get(device.address, joined.get(device.group, device.group)))
        for device in topology.devices
    )
    return replace(topology, devices=devices)


def _rows(text: str, source: str) -> list[list[str]]:
    """Return, a GPU, how it is linked to each GPU."""
    lines = [_ESCAPES.sub("", line).split() for line in text.splitlines()]
    head = next((words for words in lines if len(words) > 1 and words[0] == "GPU0" and words[1] != "X"), None)
    columns = [word for word in head or () if _GPU.fullmatch(word)]
    rows = [words[1 : 1 + len(columns)] for words in lines if words and words is not head and _GPU.fullmatch(words[0])]
    if not columns and any(words[:2] == ["GPU0", "X"] for words in lines):
        columns, rows = ["GPU0"], [["X"]]
    if not columns or len(rows) != len(columns) or any(len(row) != len(columns) for row in rows):
        raise InputError(
            "this is no matrix of links between GPUs", file=source, cure="write it by nvidia-smi topo -m > FILE"
        )
    return rows


def _groups(linked: list[list[bool]]) -> list[list[int]]:
    """Return the sets of GPUs that are linked to one another, by way of others too; without those that are alone."""
    import networkx as nx

    graph = nx.Graph((i, j) for i, row in enumerate(linked) for j, one in enumerate(row) if one and i != j)
    return sorted(sorted(part) for part in nx.connected_components(graph))
