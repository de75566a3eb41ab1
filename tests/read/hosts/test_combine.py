"""Several texts about one host, and texts of tools that are known by name alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.read.hosts.combine import combine
from placer.read.hosts.host import parse_topology
from placer.read.inventory.inventory import parse_fleet
from placer.read.recognise import recognise

LSCPU = """> root@h:~# lscpu -e
> CPU NODE SOCKET CORE L1d:L1i:L2:L3 ONLINE
>   0    0      0    0 0:0:0:0          yes
>   1    0      0    0 0:0:0:0          yes
>   2    1      1    1 1:1:1:1          yes
>   3    1      1    1 1:1:1:1          yes
"""
NUMACTL = """<blockquote><pre>user@h ~ $ numactl --hardware
available: 3 nodes (0-2)
node 0 cpus: 0 1
node 0 size: 64135 MB
node 1 cpus: 2 3
node 1 size: 64000 MB
node 2 cpus:
node 2 size: 32000 MB
node distances:
node   0   1   2
  0:  10  21  24
  1:  21  10  14
  2:  24  14  10</pre></blockquote>
"""


@pytest.mark.parametrize("turned", [False, True])
def test_siblings_of_one_text_and_memory_of_the_other(turned: bool) -> None:
    """A table pasted with prompt and quotes tells cores and L3, another out of a page memory, nodes and distances."""
    texts = [parse_topology(LSCPU.encode(), "e.txt"), parse_topology(NUMACTL.encode(), "n.txt")]
    host = combine(texts[::-1] if turned else texts)
    assert host.cores == (frozenset({0, 1}), frozenset({2, 3})) and len(host.l3) == 2
    assert [node.memory_kib // 1024 for node in host.nodes] == [64135, 64000, 32000]
    assert host.distances[1] == (21, 10, 14)
    assert host.assumptions == ()


def test_texts_of_two_hosts_are_refused() -> None:
    """Other CPUs, or a CPU in another node, are of another host: the CPU is named."""
    one = parse_topology(LSCPU.encode(), "e.txt")
    with pytest.raises(InputError, match="CPUs 2-3 are online in e"):
        combine([one, parse_topology(b"node 0 cpus: 0 1\nnode 0 size: 100 MB\n", "n.txt")])
    swapped = NUMACTL.replace("cpus: 0 1", "cpus: 0 2").replace("cpus: 2 3", "cpus: 1 3")
    with pytest.raises(InputError, match="CPU 1 is in node 0 of one text and in node 1"):
        combine([one, parse_topology(swapped.encode(), "n.txt")])


def test_an_inventory_names_several_files(tmp_path: Path) -> None:
    """``topology`` takes a list; what is wrong with one of them is told of that one."""
    (tmp_path / "e.txt").write_text(LSCPU)
    (tmp_path / "n.txt").write_text(NUMACTL)
    head = "schema: placer.inventory/v1\n"
    text = head + "hosts: [{name: h, topology: [e.txt, n.txt]}]\nvms: [{name: v, vcpus: 2, memory: 4GiB}]\n"
    host = parse_fleet(text.encode(), "f.yaml", tmp_path).hosts[0]
    assert len(host.topology.nodes) == 3 and len(host.topology.cores) == 2
    with pytest.raises(InputError, match=r"'gone\.txt' is not there"):
        parse_fleet(text.replace("n.txt", "gone.txt").encode(), "f.yaml", tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "cure"),
    [
        ("# lstopo -\nMachine (380GB total)\n  Package L#0 + L3 L#0 (60MB)\n", "drawing of lstopo", "--of xml"),
        ("Per-node system memory usage (in MBs):\n   Node 0\nMemTotal  515478.25\n", "numastat", "numactl --hardware"),
        ("host : dom0\nxen_major : 4\nnr_nodes : 2\n", "xl info", "lstopo"),
        (
            "Name  ID  VCPU   CPU State   Time(s) Affinity\nDomain-0  0  0  0  -b-  445.8  0 / all\n",
            "xl vcpu-list",
            "KVM",
        ),
        ("apiVersion: kubevirt.io/v1\nkind: VirtualMachine\n", "KubeVirt", "virsh dumpxml"),
        ("kind: VirtualMachineInstance\napiVersion: kubevirt.io/v1\n", "import alone", "import kubevirt"),
        ("config:\n  limits.cpu: 12,36\n", "LXD", "import incus"),
        ("agent: 1\ncores: 16\nostype: l26\n", "qm config", "import proxmox"),
        ("HOST 32 INFORMATION\nID : 32\n", "onehost show", "numactl"),
    ],
)
def test_other_tools_are_told_by_name(text: str, name: str, cure: str) -> None:
    """What placer cannot use is named, with the command that gives what it needs."""
    with pytest.raises(InputError, match=name) as refusal:
        recognise(text.encode(), "a.txt")
    assert cure in (refusal.value.faults[0].cure or "")
