"""One machine told in several formats reads as one machine, within what each format can say.

What a format says (the copy of /sys that a machine of ``derived/`` was made from says all of it):

| format | nodes | CPUs of nodes | siblings | distances | memory | L3, packages | kinds of nodes, page pools |
|---|---|---|---|---|---|---|---|
| lstopo 2 | yes | yes | yes | yes | yes | yes | yes |
| numactl -H | yes | yes | no | yes | in MiB | no | no |
| lscpu -J | yes | yes | number of threads only | no | no | no | no |
| lscpu -p, -e -J | those with CPUs | yes | yes | no | no | no | no |
"""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import PlacerError
from placer.model.host import Topology
from placer.read.hosts.host import read_topology

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "topologies"
DERIVED = FOLDER / "derived"

pytestmark = pytest.mark.skipif(not DERIVED.is_dir(), reason="no folder shared/topologies beside the repository")

LSTOPO, NUMACTL, SUMMARY = "lstopo-2.9.v2.xml", "numactl-H.rendered.txt", "lscpu-J.json"
ROWS = ("lscpu-p.txt", "lscpu-p-online.txt", "lscpu-e-a-J.json")

SAYS = {
    LSTOPO: {"nodes", "cpus", "cores", "distances", "memory", "l3", "packages", "kinds", "pages"},
    NUMACTL: {"nodes", "cpus", "distances", "memory"},
    SUMMARY: {"nodes", "cpus", "threads"},
    **{name: {"cpu nodes", "cpus", "cores"} for name in ROWS},
}

REFUSED = {
    ("hwloc-sysfs__8em64t-2s2ca2c-buggynuma", "sysfs"): "is in one node",
    ("hwloc-sysfs__8em64t-2s2ca2c-buggynuma", NUMACTL): "is in one node",
    ("hwloc-sysfs__8em64t-2s2ca2c-buggynuma", SUMMARY): "is in one node",
    ("hwloc-sysfs__16amd64-4n4c-cgroup-distance-merge", LSTOPO): "CPUs 0-3 are online and in no NUMA node",
    **{
        (machine, file): "tells no CPU that is online"
        for machine in ("lscpu-dumps__rv64-linux", "lscpu-dumps__rv64-visionfive2")
        for file in ROWS
    },
}

CGROUP = "hwloc tells only what the process that made the file was allowed to use"
ARM_CORES = "lscpu numbers cores by core_id, which repeats from cluster to cluster on this machine"
DIFFERENT: dict[tuple[str, str], tuple[set[str], str]] = {
    ("hwloc-sysfs__16em64t-4s2ca2c-cpusetreorder", LSTOPO): ({"cpus", "cores", "l3", "packages"}, CGROUP),
    ("hwloc-sysfs__32amd64-4s2n4c-cgroup2", LSTOPO): (SAYS[LSTOPO], CGROUP),
    ("hwloc-sysfs__4fake-4gr1nu1pu", LSTOPO): (SAYS[LSTOPO] - {"l3"}, CGROUP),
    ("hwloc-sysfs__40intel64-4n10c+pci-conflicts", LSTOPO): ({"l3"}, "hwloc read a damaged map of CPU 2, not its list"),
    ("hwloc-sysfs__v29-64intel64-fakeKNL-A2A-cache", LSTOPO): ({"l3"}, "hwloc shows MCDRAM as an L3"),
    ("other-sysfs__ghw-linux-amd64-amd-ryzen-1600", LSTOPO): ({"memory"}, "hwloc does not take it from /proc/meminfo"),
    ("other-sysfs__ghw-linux-amd64-amd-ryzen-1600", NUMACTL): (
        {"memory"},
        "numactl does not take it from /proc/meminfo",
    ),
    **{
        (machine, file): ({"cores"}, ARM_CORES)
        for machine in ("hwloc-sysfs__nvidia-dgx-gb10", "lscpu-dumps__arm-A510-A710-A715-X3")
        for file in ROWS
    },
    ("lscpu-dumps__rv64-linux", SUMMARY): ({"threads"}, "the summary has no line on threads"),
    ("other-sysfs__nri-1s-hybrid-8p-sample1", SUMMARY): (
        {"threads"},
        "cores of one and of two threads: one count says nothing",
    ),
}

MACHINES = sorted(path.name for path in DERIVED.iterdir()) if DERIVED.is_dir() else []


def _sources(machine: str) -> dict[str, Path]:
    """Return every file of a machine by what it is called in the tables above."""
    folder, name = machine.split("__", 1)
    archives = [path for path in (FOLDER / folder).iterdir() if path.name.split(".tar")[0] == name]
    assert len(archives) == 1
    return {"sysfs": archives[0], **{path.name: path for path in sorted((DERIVED / machine).iterdir())}}


def _facts(topology: Topology) -> dict[str, object]:
    with_cpus = {node.id: node.cpus for node in topology.nodes if node.cpus}
    return {
        "nodes": topology.node_ids,
        "cpu nodes": tuple(with_cpus),
        "cpus": with_cpus,
        "cores": set(topology.cores),
        "threads": sorted(map(len, topology.cores)),
        "distances": topology.distances,
        "memory": [node.memory_kib // 1024 for node in topology.nodes],
        "l3": set(topology.l3),
        "packages": set(topology.packages),
        "kinds": [node.kind for node in topology.nodes],
        "pages": [node.pages for node in topology.nodes],
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_formats_agree(machine: str) -> None:
    """All files of a machine give the same facts as its copy of /sys, apart from the differences named above."""
    facts: dict[str, dict[str, object]] = {}
    for name, path in _sources(machine).items():
        refusal = REFUSED.get((machine, name))
        if refusal is None:
            facts[name] = _facts(read_topology(path))
        else:
            with pytest.raises(PlacerError, match=refusal):
                read_topology(path)
    reference = facts.pop("sysfs", None)
    if reference is None:
        return
    for name, told in facts.items():
        known = DIFFERENT.get((machine, name), (set(), ""))[0]
        differing = {fact for fact in SAYS[name] if told[fact] != reference[fact]}
        assert differing == known, f"{name}: {sorted(differing)} differ, {sorted(known)} were known to"


def test_every_exception_is_of_a_machine_there() -> None:
    """The lists of refusals and differences name no machine that is gone."""
    assert {machine for machine, _file in (*REFUSED, *DIFFERENT)} <= set(MACHINES)
