"""What only the host itself tells: free memory and page cache of each node, QEMU's threads and where their pages are.

One read-only shell script gathers it, on this machine or over ssh. Every line that comes from a process begins with a
blank, so that nothing a guest or its owner can name is ever taken for a line of ours.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from placer.errors import InputError
from placer.live.connect import HostError
from placer.model.cpuset import parse_cpuset
from placer.read.domains.pages import pages_by_node
from placer.read.imports.collect import shell_function

READ_TIMEOUT_S = 60.0
"""How long a host may take to tell; walking the page tables of a VM of a TiB takes seconds."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MEMINFO = re.compile(r"Node \d+ (?P<name>[^:]+):\s+(?P<kib>\d+)(?: kB)?")
_DESTINATION = re.compile(r"[A-Za-z0-9_.:%@\[\]-]+")
_SCRIPT = r"""
LC_ALL=C; export LC_ALL
for dir in /sys/devices/system/node/node[0-9]*; do
    [ -r "$dir/meminfo" ] || continue
    echo "@node ${dir##*/node}"
    sed 's/^/ /' "$dir/meminfo"
done
wanted=" $* "; seen=
look() {
    for pid in "$@"; do
        dir=/proc/$pid
        uuid=$(tr '\0\n' '\n ' <"$dir/cmdline" 2>/dev/null | sed -n '/^-uuid$/{n;p;q;}')
        [ -n "$uuid" ] || continue
        case $wanted in *" $uuid "*) ;; *) continue ;; esac
        seen=yes
        echo "@process $uuid $pid"
        echo "@pages"; pages "$pid" | sed 's/^/ /'
        [ "$deep" = yes ] || continue
        for task in "$dir"/task/*; do
            echo "@thread ${task##*/}"
            grep -E '^(Name|Cpus_allowed_list):' "$task/status" 2>/dev/null | sed 's/^/ /'
        done
        echo "@maps"; sed 's/^/ /' "$dir/maps" 2>/dev/null
        echo "@numa_maps"; sed 's/^/ /' "$dir/numa_maps" 2>/dev/null
    done
}
if [ $# -gt 0 ]; then
    # These files hold a number without a line end.
    look $(for file in /run/libvirt/qemu/*.pid; do cat "$file" 2>/dev/null; echo; done)
    # A session daemon, or one in a container, keeps its pid files elsewhere.
    [ -n "$seen" ] || look $(cd /proc && echo [0-9]*)
fi
echo "@end"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How hosts are read beside libvirt: over ssh or not, and with what configuration of it."""

    ssh: bool = False
    ssh_config: str | None = None


LIBVIRT_ALONE = Reach()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """Ordinary memory of one node (KiB): all of it, what nobody uses, and what the kernel gives back when asked."""

    total_kib: int
    free_kib: int
    reclaimable_kib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One thread: its name and the CPUs that the kernel lets it run on."""

    id: int
    name: str
    cpus: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryArea:
    """One mapped area of a process: its size, memory policy and pages (KiB) a node. `file` is the file's name."""

    size_kib: int
    policy: str
    nodes_kib: Mapping[int, int]
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """QEMU of one domain: its threads and its mapped areas, both empty where we may or need not look.

    `pages_kib` is its memory by node as its cgroup tells it.
    """

    pid: int
    pages_kib: Mapping[int, int] = field(default_factory=dict)
    threads: tuple[Thread, ...] = ()
    areas: tuple[MemoryArea, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFiles:
    """What a host's own files tell. `processes` are QEMU's by the domain's UUID."""

    memory: Mapping[int, NodeMemory] = field(default_factory=dict)
    processes: Mapping[str, tuple[Process, ...]] = field(default_factory=dict)


def is_local(uri: str) -> bool:
    """Tell whether a libvirt URI is of this very machine: no host in it, and no other transport than a socket."""
    parts = urlsplit(uri)
    return parts.scheme in ("qemu", "qemu+unix") and not parts.netloc


def ssh_destination(uri: str) -> tuple[str, int | None]:
    """Return where ssh reaches the host of a libvirt URI, and the port if the URI is itself one over ssh.

    Raises
    ------
    InputError
        The URI names no host, or one that ssh could take for an option.
    """
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    user = parts.username
    over_ssh = parts.scheme.endswith(("+ssh", "+libssh", "+libssh2"))
    name = parts.hostname or ""
    destination = f"{user}@{name}" if user and over_ssh else name
    if not name or destination.startswith("-") or not _DESTINATION.fullmatch(destination):
        raise InputError(f"the URI {uri!r} names no host that ssh could reach ({host!r})", field="--ssh")
    return destination, parts.port if over_ssh else None


def read_host_files(uuids: Iterable[str], *, uri: str, reach: Reach, deep: bool = True) -> HostFiles | None:
    """Read a host's own files, those of QEMU for the domains with these UUIDs; None where the host cannot be read.

    Parameters
    ----------
    deep
        Also threads and mapped areas: the kernel walks a guest's page tables for these.
    uri
        The libvirt URI of the host; one without a host in it is this machine, and read without ssh.

    Raises
    ------
    HostError
        ssh was asked for and does not get there.
    """
    if not is_local(uri) and not reach.ssh:
        return None
    known = [uuid.lower() for uuid in uuids if _UUID.fullmatch(uuid.lower())]
    script = f"deep={'yes' if deep else 'no'}\nset -- {' '.join(known)}\n{shell_function('pages')}{_SCRIPT}"
    return parse_host_files(_run(_command(uri, reach.ssh_config), script, uri))


def _command(uri: str, ssh_config: str | None) -> list[str]:
    if is_local(uri):
        return ["sh", "-s"]
    destination, port = ssh_destination(uri)
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]
    if ssh_config is not None:
        options = ["-F", ssh_config, *options]
    if port is not None:
        options += ["-p", str(port)]
    return ["ssh", *options, "--", destination, "sh -s"]


def _run(command: list[str], script: str, uri: str) -> str:
    cure = "see that `ssh HOST true` works without a password, or leave --ssh out"
    try:
        done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=READ_TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise HostError(f"{command[0]} is not here, and {uri} cannot be read without it") from None
    except subprocess.TimeoutExpired:
        raise HostError(f"the files of {uri} were not read within {READ_TIMEOUT_S:g} s", cure=cure) from None
    text = done.stdout.decode(errors="replace")
    if not text.endswith("@end\n"):
        said = " ".join(done.stderr.decode(errors="replace").split())[:300]
        raise HostError(f"the files of {uri} cannot be read: {said or f'exit {done.returncode}'}", cure=cure)
    return text


def parse_host_files(text: str) -> HostFiles:
    """Return what the script printed as values; lines that are none are left out."""
    memory: dict[int, NodeMemory] = {}
    processes: dict[str, list[Process]] = {}
    sections = _sections(text)
    position = 0
    while position < len(sections):
        words, lines = sections[position]
        position += 1
        if words[0] == "node" and len(words) == 2 and words[1].isdigit():
            memory[int(words[1])] = _node_memory(lines)
        elif words[0] == "process" and len(words) == 3:
            below = []
            while position < len(sections) and sections[position][0][0] in ("pages", "thread", "maps", "numa_maps"):
                below.append(sections[position])
                position += 1
            processes.setdefault(words[1], []).append(_process(int(words[2]), below))
    return HostFiles(memory=memory, processes={uuid: tuple(found) for uuid, found in processes.items()})


def _sections(text: str) -> list[tuple[list[str], list[str]]]:
    found: list[tuple[list[str], list[str]]] = []
    for line in text.split("\n"):
        if line.startswith("@"):
            found.append((line[1:].split() or [""], []))
        elif found and line.startswith(" "):
            found[-1][1].append(line[1:])
    return found


def _node_memory(lines: Iterable[str]) -> NodeMemory:
    values = {match["name"]: int(match["kib"]) for match in map(_MEMINFO.fullmatch, lines) if match}
    return NodeMemory(
        total_kib=values.get("MemTotal", 0),
        free_kib=values.get("MemFree", 0),
        reclaimable_kib=sum(values.get(name, 0) for name in ("Active(file)", "Inactive(file)", "SReclaimable")),
    )


def _process(pid: int, sections: Iterable[tuple[list[str], list[str]]]) -> Process:
    threads: list[Thread] = []
    sizes: dict[int, int] = {}
    areas: list[MemoryArea] = []
    pages: dict[int, int] = {}
    for words, lines in sections:
        if words[0] == "thread":
            thread = _thread(int(words[1]), lines)
            if thread is not None:
                threads.append(thread)
        elif words[0] == "pages":
            pages = pages_by_node("\n".join(lines))
        elif words[0] == "maps":
            sizes = dict(filter(None, map(_size, lines)))
        else:
            areas = [mapping for line in lines if (mapping := _mapping(line, sizes)) is not None]
    return Process(pid=pid, pages_kib=pages, threads=tuple(threads), areas=tuple(areas))


def _thread(number: int, lines: Iterable[str]) -> Thread | None:
    values = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    if "Cpus_allowed_list" not in values:
        return None  # it ended while we looked
    return Thread(id=number, name=values.get("Name", ""), cpus=parse_cpuset(values["Cpus_allowed_list"]))


def _size(line: str) -> tuple[int, int] | None:
    first, dash, rest = line.partition("-")
    last = rest.partition(" ")[0]
    try:
        return (int(first, 16), (int(last, 16) - int(first, 16)) // 1024) if dash else None
    except ValueError:
        return None


def _mapping(line: str, sizes: Mapping[int, int]) -> MemoryArea | None:
    """Read one line of numa_maps: ``7f12… bind:1 anon=5 N1=5 kernelpagesize_kB=4``."""
    words = line.split()
    if len(words) < 2:
        return None
    values = dict(word.split("=", 1) for word in words[2:] if "=" in word)
    try:
        size = sizes.get(int(words[0], 16))
        page_kib = int(values.get("kernelpagesize_kB", "4"))
        nodes = {
            int(name[1:]): int(pages) * page_kib
            for name, pages in values.items()
            if name.startswith("N") and name[1:].isdigit()
        }
    except ValueError:
        return None
    if size is None:
        return None
    return MemoryArea(size_kib=size, policy=words[1], nodes_kib=nodes, file=values.get("file", ""))
