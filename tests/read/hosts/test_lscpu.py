"""``lscpu`` by CPU (-p, -e, JSON) and as a summary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.read.hosts.host import parse_topology
from placer.read.hosts.lscpu import parse_lscpu_json, parse_lscpu_parse, parse_lscpu_table
from placer.read.hosts.lscpu_summary import parse_lscpu_summary, parse_summary

SUMMARY = {
    "Architecture": "x86_64",
    "CPU(s)": "16",
    "On-line CPU(s) list": "0-15",
    "Thread(s) per core": "2",
    "Core(s) per socket": "4",
    "Socket(s)": "2",
    "Model name": "Some CPU",
    "Flags": "fpu vme vmx",
    "NUMA node0 CPU(s)": "0-3,8-11",
    "NUMA node1 CPU(s)": "4-7,12-15",
}


def test_two_node_server(repository: Path) -> None:
    """``lscpu -p`` tells cores, sockets, L3 and nodes of the 40-CPU server, but no memory and no distances."""
    data = (repository / "data/hosts/two-node-40cpu.lscpu-p.txt").read_bytes()
    topology = parse_topology(data, "lscpu")
    assert topology.nodes[1].cpus == set(range(1, 40, 2))
    assert topology.core_of_cpu[0] == topology.core_of_cpu[20] != topology.core_of_cpu[2]
    assert len(topology.cores) == 20
    assert topology.packages == topology.l3 == (frozenset(range(0, 40, 2)), frozenset(range(1, 40, 2)))
    assert [node.memory_kib for node in topology.nodes] == [0, 0]
    assert {sentence.split(":")[0] for sentence in topology.assumptions} == {
        "distances are not told", "memory of nodes 0-1 is not told",
    }  # fmt: skip


def test_hybrid_with_an_offline_thread(repository: Path) -> None:
    """A bare ``-`` for an offline CPU, which is no JSON, is nothing told; cores of one and two threads are kept."""
    data = (repository / "data/hosts/hybrid-one-thread-offline.lscpu-e.json").read_bytes()
    with pytest.raises(json.JSONDecodeError):
        json.loads(data)
    topology = parse_lscpu_json(data, "hybrid")
    assert topology.offline == {3}
    assert topology.cores == ({0, 1}, {2}, {4}, {5}, {6}, {7})
    assert len(topology.l3) == 1


def test_columns_in_any_order() -> None:
    """The header says what the columns are; caches may come joined in one; blank rows are no CPUs."""
    rows = ("0,4,0,Y,0:0:0:0", "1,4,0,Y,0:0:0:0", "2,6,1,Y,1:1:1:1", "3,6,1,N,", ",,,,")
    text = "\n".join(("# comment", "# CPU,Node,Core,Online,L1d:L1i:L2:L3", *rows))
    topology = parse_lscpu_parse(text.encode(), "x")
    assert topology.node_ids == (4, 6)
    assert topology.cores == ({0, 1}, {2})
    assert topology.l3 == ({0, 1}, {2})
    assert topology.offline == {3}


def test_physical_ids_repeat_in_sockets() -> None:
    """With --physical a core's number is unique in its socket only."""
    text = "# CPU,Core,Socket,Node\n0,0,0,0\n1,0,36,0\n2,0,36,0\n"
    assert parse_lscpu_parse(text.encode(), "x").cores == ({0}, {1, 2})


def test_no_node_column_and_blank_nodes() -> None:
    """Without a node for any CPU it is one node; with one for some only, the others are refused."""
    topology = parse_lscpu_parse(b"# CPU,Core\n0,0\n1,1\n", "x")
    assert topology.node_ids == (0,)
    assert any("no NUMA nodes are told" in sentence for sentence in topology.assumptions)
    assert parse_lscpu_parse(b"# CPU,Core,Socket,Node\n0,0,0,\n1,1,0,\n", "x").node_ids == (0,)
    with pytest.raises(InputError, match="CPUs 1 are online and in no NUMA node"):
        parse_lscpu_parse(b"# CPU,Core,Socket,Node\n0,0,0,0\n1,1,0,\n", "x")


def test_table() -> None:
    """``lscpu -e`` is read by its header, with dashes for what is not there."""
    text = """CPU NODE SOCKET CORE L1d:L1i:L2:L3 ONLINE MAXMHZ
  0    0      0    0 0:0:0:0          yes 3600.0
  1    0      0    0 0:0:0:0          yes 3600.0
  2    -      -    - -                 no      -
"""
    topology = parse_lscpu_table(text.encode(), "x")
    assert topology.cores == ({0, 1},)
    assert topology.offline == {2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0,0,0\n", "no line names the columns"),
        ("# CPU,Core\n0,0,0\n", "x:2: the row has 3 values for 2 columns"),
        ("# CPU,Core\n0,0\n0,1\n", "x:3: CPU 0 stands there twice"),
        ("# CPU,Core\n99999,0\n", "x:2: CPU 99999 is not between 0 and 65535"),
        ("# CPU,Node\n0,x\n", "x:2: the node is 'x', not a whole number"),
        ("# CPU,Online\n0,maybe\n", "x:2: online is 'maybe', neither yes nor no"),
        ("# CPU,Core\n,\n", "tells no CPU that is online"),
    ],
)
def test_damaged_rows(text: str, message: str) -> None:
    """What is damaged is refused with the line and the reason."""
    with pytest.raises(InputError, match=message):
        parse_lscpu_parse(text.encode(), "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cpus": [', "x:1: this is not JSON"),
        ('{"cpus": [1]}', "an entry of cpus is no object"),
        ('{"other": 1}', "this is no output of lscpu -J"),
        ("[1]", "this is no output of lscpu -J"),
        ('{"cpus": [{"cpu": "zero"}]}', "the CPU is 'zero'"),
    ],
)
def test_damaged_json(text: str, message: str) -> None:
    """JSON that is none, or not lscpu's, is refused."""
    with pytest.raises(InputError, match=message):
        parse_lscpu_json(text.encode(), "x")


def test_summary() -> None:
    """A summary tells nodes and the number of threads; siblings follow the kernel's numbering, and that is said."""
    topology = parse_summary(SUMMARY, "x")
    assert topology.cores[0] == {0, 8}
    assert topology.node_of_cpu[12] == 1
    assert (topology.kvm, topology.arch, topology.model) == (True, "x86_64", "Some CPU")
    assert any("2 threads per core are told, but not which" in sentence for sentence in topology.assumptions)


def test_summary_as_text_and_as_nested_json() -> None:
    """The same summary as text, and as JSON with the nesting of newer versions, is the same host."""
    text = "".join(f"{name + ':':<24} {value}\n" for name, value in SUMMARY.items())
    fields = [{"field": f"{name}:", "data": value} for name, value in SUMMARY.items()]
    nested = {"lscpu": [fields[0], {"field": "Group:", "data": None, "children": fields[1:]}]}
    expected = parse_summary(SUMMARY, "x")
    assert parse_lscpu_summary(text.encode(), "x") == expected
    assert parse_lscpu_json(json.dumps(nested).encode(), "x") == expected


def test_summary_of_a_hybrid() -> None:
    """Counts that do not multiply to the CPUs are those of the first core: no siblings are made of them."""
    topology = parse_summary({**SUMMARY, "Socket(s)": "1", "Core(s) per socket": "12"}, "x")
    assert [len(core) for core in topology.cores] == [1] * 16


def test_summary_with_memory_only_node_and_strides() -> None:
    """A node without CPUs has null; lists may have strides."""
    told = {"On-line CPU(s) list": "0-6:2", "NUMA node0 CPU(s)": "0-6:2", "NUMA node2 CPU(s)": None}
    fields = [{"field": f"{name}:", "data": value} for name, value in told.items()]
    topology = parse_lscpu_json(json.dumps({"lscpu": fields}).encode(), "x")
    assert topology.cpus == {0, 2, 4, 6}
    assert [len(node.cpus) for node in topology.nodes] == [4, 0]


def test_summary_on_power() -> None:
    """POWER numbers the threads of a core one after the other."""
    topology = parse_summary({**SUMMARY, "Architecture": "ppc64le", "Flags": ""}, "x")
    assert topology.cores[0] == {0, 1}
    assert topology.kvm is None


@pytest.mark.parametrize(
    ("flags", "virtualization", "kvm"),
    [("fpu svm", None, True), ("fpu", None, False), ("", "VT-x", True), ("", None, None)],
)
def test_summary_kvm(flags: str, virtualization: str | None, kvm: bool | None) -> None:
    """Flags or the virtualization line say whether KVM can run; without either nothing does."""
    fields = {**SUMMARY, "Flags": flags}
    if virtualization:
        fields["Virtualization"] = virtualization
    assert parse_summary(fields, "x").kvm is kvm


@pytest.mark.parametrize("lead", ["", "0x"])
def test_summary_with_masks(lead: str) -> None:
    """``lscpu -x`` prints masks in place of lists, new versions without a leading 0x."""
    plain = {**SUMMARY, "Off-line CPU(s) list": "16"}
    masks = {name: text for name, text in SUMMARY.items() if "list" not in name}
    masks |= {"On-line CPU(s) mask": f"{lead}ffff", "Off-line CPU(s) mask": f"{lead}10000"}
    masks |= {"NUMA node0 CPU(s)": f"{lead}f0f", "NUMA node1 CPU(s)": f"{lead}f0f0"}
    assert parse_summary(masks, "a") == parse_summary(plain, "a")


def test_words_of_another_language() -> None:
    """The column ONLINE in another language is refused with the way to get it in English."""
    with pytest.raises(InputError, match="LC_ALL=C"):
        parse_lscpu_table(b"CPU NODE SOCKET CORE ONLINE\n0 0 0 0 ja\n", "a")


def test_a_row_of_a_number_alone_is_a_cpu_that_is_offline() -> None:
    """So does ``lscpu -a -p`` tell them, beside rows that say more; where no row says more all are online."""
    topology = parse_lscpu_parse(b"# CPU,Core,Socket,Node,,L3\n0,0,0,0,,0\n1,0,0,0,,0\n2,,,,,\n", "l")
    assert (topology.cpus, topology.offline) == ({0, 1}, {2})
    bare = parse_lscpu_parse(b"# CPU,Core,Socket,Node\n0,,,\n1,,,\n", "l")
    assert (bare.cpus, bare.offline) == ({0, 1}, frozenset())
