"""Copies of /sys: a tar, a directory, and what old or odd trees leave out."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.host import Device, NodeKind, Topology
from placer.read.hosts.host import read_topology
from placer.read.hosts.sysfs import read_sysfs


class Memory:
    """A tree of files held in a dictionary."""

    source = "tree"

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files

    def names(self, path: str) -> frozenset[str]:
        """Return the names below a folder."""
        prefix = f"{path}/" if path else ""
        return frozenset(name[len(prefix) :].split("/")[0] for name in self._files if name.startswith(prefix))

    def text(self, path: str) -> str | None:
        """Return a file's content."""
        return self._files.get(path)


SYSTEM = "sys/devices/system"


def _tree(changes: dict[str, str | None] | None = None) -> Memory:
    """Return two nodes, 0 and 2, of two cores each, with changes below ``sys/devices/system``."""
    files: dict[str, str | None] = {"cpu/online": "0-3", "cpu/present": "0-3"}
    for cpu in range(4):
        files[f"cpu/cpu{cpu}/topology/thread_siblings_list"] = str(cpu)
        files[f"cpu/cpu{cpu}/topology/core_siblings_list"] = "0-1" if cpu < 2 else "2-3"
    for node, cpus in ((0, "0-1"), (2, "2-3")):
        files[f"node/node{node}/cpulist"] = cpus
        files[f"node/node{node}/meminfo"] = f"\nNode {node} MemTotal:  1048576 kB\nNode {node} MemFree: 1000 kB"
        files[f"node/node{node}/distance"] = "10 21" if node == 0 else "21 10"
    files |= changes or {}
    return Memory({f"{SYSTEM}/{name}" if not name.startswith(("sys/", "proc/")) else name: text
                   for name, text in files.items() if text is not None})  # fmt: skip


def _read(changes: dict[str, str | None] | None = None) -> Topology:
    return read_sysfs(_tree(changes))


def _check_snc_pmem(topology: Topology) -> None:
    assert topology.node_ids == (0, 3, 4)
    assert [node.kind for node in topology.nodes] == [NodeKind.NORMAL, NodeKind.NORMAL, NodeKind.MEMORY_ONLY]
    assert topology.node(3).cpus == {1, 3, 5}
    assert topology.offline == {7}
    assert topology.cores == ({0, 4}, {1, 5}, {2, 6}, {3})
    assert topology.packages == topology.l3 == (frozenset(range(7)),)
    assert topology.distances == ((10, 11, 17), (11, 10, 19), (17, 19, 10))
    assert topology.node(0).free_kib == 9 * 2**20 + 3 * 2**20 + 5 * 2**19 + 120000
    assert topology.node(3).pages == {2048: 512}
    assert topology.node(3).free_pages == {2048: 500}
    assert (topology.kvm, topology.arch) == (True, "x86_64")
    assert topology.devices == (
        Device(address="0000:3b:00.0", kind="nic", node=3, group="0000:3a:00.0"),
        Device(address="0000:3b:00.1", kind="storage", group="0000:3a:00.0"),
    )
    assert topology.bandwidth_mib_s is not None
    assert topology.bandwidth_mib_s[0][2] == pytest.approx(30000 * 10**6 / 2**20)
    assert any("node 0 to itself is not 10" in sentence for sentence in topology.assumptions)


def test_tar_of_sys(repository: Path) -> None:
    """The tar with sub-NUMA nodes, PMEM, an offline CPU, hex maps, links, pools and devices reads as it is."""
    _check_snc_pmem(read_topology(repository / "data/hosts/snc-pmem.sys.tar.gz"))


def test_directory_and_plain_tar(repository: Path, tmp_path: Path) -> None:
    """The same tree unpacked to a directory, and packed anew as a plain tar below no folder, reads the same."""
    with tarfile.open(repository / "data/hosts/snc-pmem.sys.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    _check_snc_pmem(read_topology(tmp_path))
    _check_snc_pmem(read_topology(tmp_path / "snc-pmem-host"))
    _check_snc_pmem(read_topology(str(tmp_path / "snc-pmem-host")))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tmp_path / "snc-pmem-host", arcname=".")
    _check_snc_pmem(read_topology(buffer.getvalue(), name="plain.tar"))


@pytest.mark.parametrize("mode", ["w:bz2", "w:xz", "w:gz"])
@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_packings_and_long_names(repository: Path, tmp_path: Path, mode: str, kind: int) -> None:
    """Every packing reads, and names too long for a header, as GNU and POSIX tar put them before it."""
    with tarfile.open(repository / "data/hosts/snc-pmem.sys.tar.gz") as archive:
        archive.extractall(tmp_path / "in", filter="data")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=kind) as archive:  # type: ignore[call-overload]
        archive.add(tmp_path / "in", arcname="a-host-of-a-very-long-name-" + "x" * 150)
    _check_snc_pmem(read_topology(buffer.getvalue(), name="long.tar"))


def test_zeros_behind_a_file() -> None:
    """tar fills up files of a live /sys, which announce 4,096 bytes, with NULs: they are no content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (("online", b"0-1\n"), ("cpu0/topology/core_id", b"0\n"), ("cpu1/topology/core_id", b"1\n")):
            member = tarfile.TarInfo(f"{SYSTEM}/cpu/{name}")
            member.size = 4096
            archive.addfile(member, io.BytesIO(text.ljust(4096, b"\0")))
    assert read_topology(buffer.getvalue()).cpus == {0, 1}


def test_plain_tree() -> None:
    """A tree that tells everything leaves nothing to assume; ids keep their hole, distance columns are positional."""
    topology = _read()
    assert topology.node_ids == (0, 2)
    assert topology.distances == ((10, 21), (21, 10))
    assert topology.assumptions == ()
    assert topology.kvm is None


def test_no_online_file() -> None:
    """Without cpu/online the folders count, but for CPUs that say 0 themselves."""
    topology = _read({"cpu/online": None, "cpu/cpu3/online": "0"})
    assert topology.cpus == {0, 1, 2}
    assert topology.offline == {3}


def test_no_online_file_and_no_topology_of_an_offline_cpu() -> None:
    """Without cpu/online a CPU that alone has no topology/ is offline; where none has one all are online."""
    siblings: dict[str, str | None] = {"cpu/online": None, "cpu/cpu3/crash_notes": ""}
    siblings |= {f"cpu/cpu3/topology/{file}": None for file in ("thread_siblings_list", "core_siblings_list")}
    assert _read(siblings).offline == {3}
    for cpu in range(3):
        siblings |= {f"cpu/cpu{cpu}/topology/{file}": None for file in ("thread_siblings_list", "core_siblings_list")}
        siblings[f"cpu/cpu{cpu}/crash_notes"] = ""
    assert _read(siblings).cpus == {0, 1, 2, 3}


def test_no_nodes() -> None:
    """Without a node directory it is one node, with the memory and the pools of /proc and /sys/kernel."""
    changes: dict[str, str | None] = {
        f"node/node{node}/{file}": None for node in (0, 2) for file in ("cpulist", "meminfo", "distance")
    }
    changes |= {
        "proc/meminfo": "MemTotal:  8388608 kB\nMemFree: 5 kB",
        "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "16",
    }
    topology = _read(changes)
    assert [(node.id, node.memory_kib, dict(node.pages)) for node in topology.nodes] == [(0, 8388608, {2048: 16})]
    assert any("no NUMA nodes" in sentence for sentence in topology.assumptions)


def test_nodes_by_links_alone() -> None:
    """Old trees tell a node's CPUs only by the names of links in it, or by a map."""
    changes: dict[str, str | None] = {"node/node0/cpulist": None, "node/node0/cpu0": "", "node/node0/cpu1": ""}
    changes |= {"node/node2/cpulist": None, "node/node2/cpumap": "00000000,0000000c"}
    topology = _read(changes)
    assert {node.id: set(node.cpus) for node in topology.nodes} == {0: {0, 1}, 2: {2, 3}}


def test_offline_cpu_in_a_nodes_list() -> None:
    """A node may list CPUs that are offline; they are left out of it."""
    topology = _read({"cpu/online": "0-2"})
    assert topology.node(2).cpus == {2}
    assert topology.offline == {3}


def test_hybrid() -> None:
    """Cores of two threads and of one stand beside each other."""
    topology = _read({"cpu/cpu0/topology/thread_siblings_list": "0-1", "cpu/cpu1/topology/thread_siblings_list": "0-1"})
    assert topology.cores == ({0, 1}, {2}, {3})


def test_lists_and_maps_that_disagree() -> None:
    """Of a cache's list and map the one without contradiction is taken; an empty one means the core's own."""
    wrong: dict[str, str | None] = {f"cpu/cpu{cpu}/cache/index3/level": "3" for cpu in range(4)}
    for cpu in range(4):
        wrong[f"cpu/cpu{cpu}/cache/index3/shared_cpu_list"] = "0-1"
        wrong[f"cpu/cpu{cpu}/cache/index3/shared_cpu_map"] = "3" if cpu < 2 else "c"
    assert _read(wrong).l3 == ({0, 1}, {2, 3})
    for cpu in range(4):
        wrong[f"cpu/cpu{cpu}/cache/index3/shared_cpu_list"] = ""
        wrong[f"cpu/cpu{cpu}/cache/index3/shared_cpu_map"] = None
    assert _read(wrong).l3 == ({0}, {1}, {2}, {3})


def test_l3_over_several_nodes() -> None:
    """With sub-NUMA clustering one L3 lies over two nodes."""
    caches: dict[str, str | None] = {}
    for cpu in range(4):
        caches[f"cpu/cpu{cpu}/cache/index3/level"] = "3"
        caches[f"cpu/cpu{cpu}/cache/index3/shared_cpu_list"] = "0-3"
        caches[f"cpu/cpu{cpu}/cache/index2/level"] = "2"
        caches[f"cpu/cpu{cpu}/cache/index2/shared_cpu_list"] = str(cpu)
    assert _read(caches).l3 == ({0, 1, 2, 3},)


def test_dies_and_clusters() -> None:
    """Dies are told by their CPUs; a cluster of id -1 or 65535 is none."""
    told: dict[str, str | None] = {}
    for cpu in range(4):
        told[f"cpu/cpu{cpu}/topology/die_cpus_list"] = "0-1" if cpu < 2 else "2-3"
        told[f"cpu/cpu{cpu}/topology/cluster_cpus_list"] = str(cpu)
        told[f"cpu/cpu{cpu}/topology/cluster_id"] = ("7", "8", "-1", "65535")[cpu]
    topology = _read(told)
    assert topology.dies == ({0, 1}, {2, 3})
    assert topology.clusters == ({0}, {1})


def test_hmat_of_one_socket() -> None:
    """With one node of CPUs access1 tells all latencies, and they replace the SLIT figures; access0 is not read."""
    changes: dict[str, str | None] = {"node/node0/cpulist": "0-3", "node/node2/cpulist": ""}
    for node, latency in ((0, 90), (2, 270)):
        changes[f"node/node{node}/access0/initiators/node2"] = ""
        changes[f"node/node{node}/access0/initiators/read_latency"] = "1"
        changes[f"node/node{node}/access1/initiators/node0"] = ""
        changes[f"node/node{node}/access1/initiators/read_latency"] = str(latency)
    assert _read(changes).distance(0, 2) == 3.0


def test_distances_of_another_number_of_nodes() -> None:
    """A row that does not fit the nodes is not taken, and that is said."""
    topology = _read({"node/node2/distance": "21 10 30"})
    assert topology.distances == ((10, 21), (21, 10))
    assert any("do not fit the 2 nodes" in sentence for sentence in topology.assumptions)


@pytest.mark.parametrize(("flags", "kvm"), [("fpu lm vmx", True), ("fpu lm svm", True), ("fpu lm", False)])
def test_kvm_by_flags(flags: str, kvm: bool) -> None:
    """vmx or svm in /proc/cpuinfo says that KVM can run, their absence that it cannot."""
    assert _read({"proc/cpuinfo": f"processor : 0\nflags : {flags}\n"}).kvm is kvm


def test_gpu_memory_by_the_driver() -> None:
    """The NVIDIA driver says which node is a GPU's memory; a DAX device says of another that it is not."""
    topology = _read({"node/node7/cpulist": "", "node/node8/cpulist": "", "node/node7/meminfo": "Node 7 MemTotal: 9 kB",
                      "node/node8/meminfo": "Node 8 MemTotal: 9 kB", "sys/bus/dax/devices/dax0.0/target_node": "8",
                      "proc/driver/nvidia/gpus/0009:01:00.0/numa_status": "Node:   7\nStatus: online"})  # fmt: skip
    assert topology.node(7).kind is NodeKind.DEVICE
    assert topology.node(8).kind is NodeKind.MEMORY_ONLY


@pytest.mark.parametrize(
    ("pci_class", "vendor", "kind"),
    [
        ("0x020000", "0x8086", "nic"), ("0x030200", "0x10de", "gpu"), ("0x030000", "0x10de", "gpu"),
        ("0x030000", "0x1a03", None), ("0x010802", "0x144d", "storage"), ("0x120000", "0x1234", "accelerator"),
        ("0x060400", "0x8086", None), ("garbage", "0x8086", None),
    ],
)  # fmt: skip
def test_kinds_of_devices(pci_class: str, vendor: str, kind: str | None) -> None:
    """Only what a VM may want near is a device: a management controller's VGA and bridges are not."""
    folder = "sys/devices/pci0000:00/0000:00:01.0"
    topology = _read({f"{folder}/class": pci_class, f"{folder}/vendor": vendor, f"{folder}/numa_node": "2"})
    assert topology.devices == (() if kind is None else (Device(address="0000:00:01.0", kind=kind, node=2),))


def test_refused_trees(tmp_path: Path) -> None:
    """No CPUs, CPUs of no node, several hosts in one tree, and a list that is none are refused by name."""
    with pytest.raises(InputError, match="no copy of /sys"):
        read_topology(tmp_path)
    with pytest.raises(InputError, match="CPUs 4-7 are online and in no NUMA node"):
        _read({"cpu/online": "0-7"})
    with pytest.raises(InputError, match=r"node/node0/cpulist: .* is not a CPU list"):
        _read({"node/node0/cpulist": "0-x"})
    two = {f"{host}/sys/devices/system/cpu/cpu0/topology/core_id": "0" for host in ("kvm-a", "kvm-b")}
    with pytest.raises(InputError, match=r"it holds 2 hosts, .*kvm-a.* and .*kvm-b"):
        read_sysfs(Memory(two))


def test_a_memory_figure_too_long_to_be_one() -> None:
    """A figure of more digits than any memory has is not taken for its first ones."""
    topology = _read({"node/node0/meminfo": "Node 0 MemTotal: 99999999999999999999 kB"})
    assert topology.node(0).memory_kib == 0
    assert "memory of node 0 is not told: it counts as 0" in topology.assumptions
