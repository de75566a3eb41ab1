"""Ganeti's htools on one-node hosts with shared storage: hspace (how many more fit), hroller (reboots in groups).

htools count memory in MiB and CPUs, know no NUMA node, and survive failures by memory alone: CPUs may be short after
one. They are looked for on the PATH (Debian's package ganeti-htools).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environment import PeerMissingError

METHOD = "Ganeti {} 3.0"
LIMIT_S = 120.0
MIB = 1024
_DISK_MIB, _SMALL_DISK_MIB = 100_000_000, 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """A host: CPUs and GiB of memory, all of it for VMs."""

    cpus: int
    gib: int


@dataclass(frozen=True, slots=True)
class Guest:
    """A VM: vCPUs, each a CPU of its own, GiB of memory, and the number of its host."""

    vcpus: int
    gib: int
    host: int


def cluster_text(machines: Sequence[Machine], guests: Sequence[Guest]) -> str:
    """Return the cluster in the text form that htools read."""
    nodes = []
    for number, one in enumerate(machines):
        free = one.gib - sum(guest.gib for guest in guests if guest.host == number)
        # One MiB is the node's own: htools refuse a node that has none.
        memory = f"{one.gib * MIB + 1}|0|{free * MIB + 1}|{_DISK_MIB}|{_DISK_MIB}"
        role = "M" if number == 0 else "N"  # hroller asks for a master
        nodes.append(f"n{number}|{memory}|{one.cpus}|{role}|group|1||N|0|0|1.0")
    instances = [
        f"v{number}|{one.gib * MIB}|{_SMALL_DISK_MIB}|{one.vcpus}|running|Y|n{one.host}||rbd||1|-|N"
        for number, one in enumerate(guests)
    ]
    policy = "|1024,1,1024,1,1,1|128,1,1,1,1,1;1048576,64,1048576,16,8,12|rbd,plain,ext,sharedfile|1.0|32.0|1.0"
    return "\n".join(["g|group|preferred||", "", *nodes, "", *instances, "", "", policy]) + "\n"


def hspace(machines: Sequence[Machine], guests: Sequence[Guest], vcpus: int, gib: int) -> list[Guest]:
    """Return the VMs after as many more of a size as hspace finds room for such that a node may fail.

    Raises
    ------
    PeerMissingError
        It is not on the PATH, or it failed.
    """
    with tempfile.TemporaryDirectory(prefix="placer-peer-") as folder:
        saved = Path(folder) / "after"
        asked = [
            f"--standard-alloc=1g,{gib}g,{vcpus}",
            f"--tiered-alloc=1g,{gib}g,{vcpus}",
            "--disk-template=rbd",
            "--max-cpu=1",
            "-S",
            str(saved),
        ]
        _run("hspace", folder, machines, guests, asked)
        text = Path(f"{saved}.standard").read_text(encoding="utf-8")
    after = [line.split("|") for line in text.split("\n\n")[2].splitlines() if line]
    return [Guest(int(one[3]), int(one[1]) // MIB, int(one[6].removeprefix("n"))) for one in after]


def hroller(machines: Sequence[Machine], guests: Sequence[Guest]) -> list[list[int]]:
    """Return the hosts in the groups that hroller reboots together, each evacuated first.

    Raises
    ------
    PeerMissingError
        It is not on the PATH, or it failed.
    """
    with tempfile.TemporaryDirectory(prefix="placer-peer-") as folder:
        told = _run("hroller", folder, machines, guests, ["--full-evacuation", "--no-headers"])
    return [[int(name) for name in re.findall(r"\bn(\d+)\b", line)] for line in told.splitlines() if line.strip()]


def _run(tool: str, folder: str, machines: Sequence[Machine], guests: Sequence[Guest], asked: Sequence[str]) -> str:
    path = shutil.which(tool)
    if path is None:
        raise PeerMissingError(f"{tool} is not on the PATH")
    cluster = Path(folder) / "cluster.txt"
    cluster.write_text(cluster_text(machines, guests), encoding="utf-8")
    try:
        done = subprocess.run(
            [path, "-t", str(cluster), *asked], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissingError(f"{tool}: {error}") from error
    if done.returncode:
        raise PeerMissingError(f"{tool} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout
