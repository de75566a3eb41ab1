"""Where a running VM's pages lie: the kernel's figures of its cgroup, and of its huge pages, which are not in them."""

from __future__ import annotations

import re

_NODE = re.compile(r"N(\d{1,4})=(\d{1,16})\b")
_HUGE = re.compile(r" huge (?:.* )?kernelpagesize_kB=(\d{1,7})\b")
_BASE_PAGE_KIB = 4
_V2 = ("anon", "shmem")
"""Guest memory is anonymous or shared; page cache of disks is the cgroup's too, and is no memory of the guest."""
_V1 = ("hierarchical_anon", "hierarchical_unevictable")
_MIB = 1024


def pages_by_node(text: str) -> dict[int, int]:
    """Return node id -> KiB, in whole MiB; empty where the text tells nothing.

    Parameters
    ----------
    text
        ``memory.numa_stat`` of a cgroup of version 2 (bytes) or 1 (pages), and lines of ``numa_maps`` of huge pages.
    """
    found: dict[int, int] = {}
    for line in text.splitlines():
        name, factor = _kind(line)
        if factor:
            for node, count in _NODE.findall(line.removeprefix(name)):
                found[int(node)] = found.get(int(node), 0) + int(int(count) * factor * 1024)
    whole = {node: amount // 1024 // _MIB * _MIB for node, amount in sorted(found.items())}
    return {node: kib for node, kib in whole.items() if kib}


def _kind(line: str) -> tuple[str, float]:
    """Return what a line counts and the KiB of one unit of it; 0 where it is no memory of a guest."""
    name = re.split(r"[ =]", line, maxsplit=1)[0]
    if name in _V2 and line.startswith(f"{name} N"):
        return name, 1 / 1024
    if name in _V1:
        return name, _BASE_PAGE_KIB
    huge = _HUGE.search(line)
    return name, float(huge[1]) if huge is not None else 0.0
