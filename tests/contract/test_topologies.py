"""Every real machine of ``shared/topologies`` reads as its INDEX.tsv says, or is refused for a reason named here."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.cpuset import parse_cpuset
from placer.model.host import Topology
from placer.read.hosts.host import read_topology
from placer.read.hosts.mlc import read_matrices

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "topologies"
INDEX = FOLDER / "INDEX.tsv"
MEMORY_LIMIT_MIB = 300

pytestmark = pytest.mark.skipif(not INDEX.is_file(), reason="no folder shared/topologies beside the repository")

REFUSED = {
    "hwloc-sysfs/8em64t-2s2ca2c-buggynuma.tar.bz2": "CPUs 0-7 in NUMA node 0 and in node 1",
    "numactl-text/numa-fake-3U-interleaved-cpus-shared.txt": "in NUMA node 0 and in node 1",
    "numactl-text/docker-0-nodes.txt": "tells no NUMA node",
    "libvirt-caps/schema-caps-test2.xml": "do not tell the host's topology",
    # The tree of 224 CPUs has folders, and nodes, for eight of them.
    "libvirt-sysfs/hostcpu-linux-with-clusters.tar.xz": "CPUs 8-223 are online and in no NUMA node",
    "libvirt-sysfs/vircaps-linux-basic-clusters.tar.xz": "CPUs 8-223 are online and in no NUMA node",
    # thread_siblings_list of CPU 1 is "0", that of CPU 0 is "0" too.
    "libvirt-sysfs/hostcpu-linux-test1.tar.xz": "CPU 0 is in two cores, 0 and 0-1",
}

SHARED_CPUSET = "hwloc 2 gives a node without CPUs those near it (TRAPS.md); INDEX.tsv counts them as its own"
NO_LIST = "shared_cpu_list is empty or wrong and INDEX.tsv counts it; the maps, and lstopo under derived/, say this"
PROC_MEMINFO = "no node tells its memory, /proc/meminfo in the same tree tells the host's"

DIFFERENT: dict[tuple[str, str], tuple[int, str]] = {
    ("hwloc-xml/64intel64-heteromem.xml", "nodes_no_cpu"): (4, SHARED_CPUSET),
    ("hwloc-xml/doc-heteromem.xml", "nodes_no_cpu"): (3, SHARED_CPUSET),
    ("hwloc-xml/v29/8intel64-fakeKNL-A2A-hybrid.rootattachednumas.xml", "nodes_no_cpu"): (1, SHARED_CPUSET),
    ("hwloc-xml/v29/8intel64-fakeKNL-A2A-hybrid.rootattachednumas.v1tov2.xml", "nodes_no_cpu"): (1, SHARED_CPUSET),
    ("hwloc-sysfs/64fake-4n2s2ca2c2t.tar.bz2", "l3_groups"): (8, NO_LIST),
    ("hwloc-sysfs/8ia64-2n2s2c.tar.bz2", "l3_groups"): (8, NO_LIST),
    ("hwloc-sysfs/8ia64-2s2c2t.tar.bz2", "l3_groups"): (4, NO_LIST),
    ("hwloc-sysfs/v29-8ia64-4s2c.tar.bz2", "l3_groups"): (8, NO_LIST),
    ("hwloc-xml/linux-32amd64-4s2n4c-cgroup2.xml", "l3_groups"): (2, "four of its six L3 objects have no CPU left"),
    ("hwloc-sysfs/20s390-2g6s4c.tar.bz2", "mem_MiB"): (2005, PROC_MEMINFO),
    ("hwloc-sysfs/2arm-2c.tar.bz2", "mem_MiB"): (274, PROC_MEMINFO),
    ("hwloc-sysfs/2i386-2c-nohugepage.tar.bz2", "mem_MiB"): (2026, PROC_MEMINFO),
    ("hwloc-sysfs/2i386-2t-hugepagesizecount.tar.bz2", "mem_MiB"): (390641386, PROC_MEMINFO),
    ("hwloc-sysfs/v29-2s390-2c.tar.bz2", "mem_MiB"): (1001, PROC_MEMINFO),
    ("other-sysfs/ghw-linux-amd64-amd-ryzen-1600.tar.gz", "mem_MiB"): (32009, PROC_MEMINFO),
    ("hwloc-xml/v29/8em64t-2p2ca2co-nonodesets.v1.xml", "mem_MiB"): (32175, "the machine object has the memory"),
}

COLUMNS = ("numa_nodes", "nodes_no_cpu", "cores", "pus_online", "smt_max", "l3_groups", "mem_MiB", "dist_max")


def _rows() -> list[dict[str, str]]:
    if not INDEX.is_file():
        return []
    with INDEX.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [row for row in rows if row["kind"] not in ("libvirt-domain", "mlc")]


ROWS = _rows()


def _expected(row: dict[str, str]) -> dict[str, int]:
    """Return what the index says, in terms of placer's normal form; nothing for a column it leaves empty."""
    told = {column: int(float(row[column])) for column in COLUMNS if row[column]}
    if told.get("numa_nodes") == 0:
        told["numa_nodes"] = 1  # no node directory: one node
    if told.get("cores") == 0:
        told["cores"], told["smt_max"] = told["pus_online"], 1  # no Core objects: every PU is one
    if "dist_max" in told:
        told["dist_max"] = max(told["dist_max"], 10)  # a diagonal of 0, mended
    for (file, column), (value, _why) in DIFFERENT.items():
        if file == row["file"]:
            told[column] = value
    return told


def _found(topology: Topology) -> dict[str, float]:
    return {
        "numa_nodes": len(topology.nodes),
        "nodes_no_cpu": sum(not node.cpus for node in topology.nodes),
        "cores": len(topology.cores),
        "pus_online": len(topology.cpus),
        "smt_max": max(map(len, topology.cores)),
        "l3_groups": len(topology.l3),
        "mem_MiB": sum(node.memory_kib for node in topology.nodes) / 1024,
        "dist_max": max(map(max, topology.distances)),
    }


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_machine_is_as_the_index_says(row: dict[str, str]) -> None:
    """A real machine file gives what is known of it, or one line that says why not."""
    path = FOLDER / row["file"]
    if row["file"] in REFUSED:
        with pytest.raises(InputError, match=re.escape(REFUSED[row["file"]])) as refusal:
            read_topology(path)
        assert "\n" not in str(refusal.value)
        assert str(refusal.value).startswith(str(path))
    else:
        found = _found(read_topology(path))
        for column, value in _expected(row).items():
            # The index adds up whole MiB of each node.
            slack = found["numa_nodes"] if column == "mem_MiB" else 0
            assert abs(found[column] - value) <= slack, f"{column} is {found[column]}, the index says {value}"


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["node_ids"] and row["file"] not in REFUSED], ids=lambda row: row["file"]
)
def test_node_ids_and_memory_only_nodes(row: dict[str, str]) -> None:
    """Nodes keep their real ids, and those with memory alone are the ones that the index names."""
    topology = read_topology(FOLDER / row["file"])
    assert set(topology.node_ids) == parse_cpuset(row["node_ids"])
    if (row["file"], "nodes_no_cpu") not in DIFFERENT and row["memory_only_nodes"]:
        found = {node.id for node in topology.nodes if not node.cpus and node.memory_kib}
        assert found == parse_cpuset(row["memory_only_nodes"])


def test_every_exception_is_of_a_file_there() -> None:
    """The lists of refusals and differences name no file that is gone."""
    files = {row["file"] for row in ROWS}
    assert REFUSED.keys() <= files
    assert {file for file, _column in DIFFERENT} <= files


@pytest.mark.parametrize(
    ("file", "cpus", "memory_kib"),
    [
        ("1cell-24cpu.txt", 24, 62324512),
        ("2cell-40cpu.txt", 40, 264037316),
        ("2socket-1cell-8cpu.txt", 8, 16772028),
        ("aarch64-no-frequency.txt", 128, 133893760),
    ],
)
def test_nodeinfo(file: str, cpus: int, memory_kib: int) -> None:
    """Nodeinfo gives one node with the CPUs and the memory that the text counts."""
    topology = read_topology(FOLDER / "nodeinfo-text" / file)
    assert [(len(node.cpus), node.memory_kib) for node in topology.nodes] == [(cpus, memory_kib)]


@pytest.mark.parametrize(
    ("file", "latencies", "bandwidths"),
    [
        ("spr-2s-latency.txt", {(0, 0): 113.0, (0, 1): 167.9, (1, 0): 169.6, (1, 1): 106.4}, {}),
        ("cxl-1s-latency-nonsquare.txt", {(0, 0): 84.5, (0, 1): 564.5}, {}),
        ("cxl-1s-bandwidth-nonsquare.txt", {}, {(0, 0): 30562.8, (0, 1): 4795.3}),
    ],
)
def test_mlc(file: str, latencies: dict[tuple[int, int], float], bandwidths: dict[tuple[int, int], float]) -> None:
    """MLC's matrices are read by node ids, square or not."""
    assert read_matrices((FOLDER / "mlc-text" / file).read_bytes(), file) == (latencies, bandwidths)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of memory is read from /proc")
def test_memory_of_the_largest_files() -> None:
    """A process that reads the largest files one after the other stays under 300 MB."""
    files = sorted((FOLDER / row["file"] for row in ROWS), key=lambda path: path.stat().st_size)[-12:]
    # Not getrusage: its peak begins with what the parent had when it forked.
    script = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from placer.read.hosts.host import read_topology\n"
        "for file in sys.argv[1:]: read_topology(file)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *map(str, files)], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < MEMORY_LIMIT_MIB
