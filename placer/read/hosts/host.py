"""The one door for topologies: any machine file, or a copy of /sys, becomes a `Topology`."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from placer.errors import InputError
from placer.model.host import Topology
from placer.read.documents.kinds import cure_of_missing, refuse_directory
from placer.read.hosts.capabilities import parse_capabilities
from placer.read.hosts.cpuinfo import parse_cpuinfo
from placer.read.hosts.hwloc import parse_hwloc
from placer.read.hosts.lscpu import parse_lscpu_json, parse_lscpu_parse, parse_lscpu_table
from placer.read.hosts.lscpu_summary import parse_lscpu_summary
from placer.read.hosts.nodeinfo import parse_nodeinfo
from placer.read.hosts.numactl import parse_numactl
from placer.read.hosts.sysfs import parse_sysfs_archive, parse_sysfs_directory
from placer.read.recognise import Format, recognise

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Larger files are refused unread; only an archive comes near a tenth of it."""

_PARSERS: dict[Format, Callable[[bytes, str], Topology]] = {
    Format.CAPABILITIES: parse_capabilities,
    Format.HWLOC: parse_hwloc,
    Format.ARCHIVE: parse_sysfs_archive,
    Format.NUMACTL: parse_numactl,
    Format.LSCPU_PARSE: parse_lscpu_parse,
    Format.LSCPU_TABLE: parse_lscpu_table,
    Format.LSCPU_JSON: parse_lscpu_json,
    Format.LSCPU_SUMMARY: parse_lscpu_summary,
    Format.NODEINFO: parse_nodeinfo,
    Format.CPUINFO: parse_cpuinfo,
}


def read_topology(source: str | Path | bytes, *, name: str | None = None) -> Topology:
    """Read a host from a file, a directory that holds a copy of /sys (or /sys itself), or bytes.

    Parameters
    ----------
    source
        A path, or the content of a file.
    name
        What messages and `Topology.source` call it; by default the path.

    Raises
    ------
    InputError
        It cannot be read, is of no kind that describes a host, is damaged or contradicts itself.
    """
    if isinstance(source, bytes):
        return parse_topology(source, name or "<input>")
    path = Path(source)
    name = name or str(source)
    if path.is_dir():
        return parse_sysfs_directory(path, name)
    return parse_topology(read_file(path, name), name)


def parse_topology(data: bytes, source: str) -> Topology:
    """Read a host from the content of one file; `source` is its name in messages.

    Raises
    ------
    InputError
        As `read_topology`.
    """
    kind = recognise(data, source)
    parser = _PARSERS.get(kind)
    if parser is None:
        cure = "give it with --distances beside the host's own file" if kind is Format.MLC else None
        raise InputError(f"the content is {kind.value}, which does not describe a host", file=source, cure=cure)
    return parser(data, source)


def read_file(path: Path, name: str) -> bytes:
    """Return the content of a regular file of sane size.

    Raises
    ------
    InputError
        No such file, not a regular one (a device or a pipe may never end), too large, or not readable.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            refuse_directory(name)
        if not stat.S_ISREG(status.st_mode):
            raise InputError("this is no regular file", file=name)
        if status.st_size > MAX_FILE_BYTES:
            raise InputError(f"the file has {status.st_size} bytes, more than {MAX_FILE_BYTES}", file=name)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"the file cannot be read: {reason}", file=name, cure=cure_of_missing(path)) from None
