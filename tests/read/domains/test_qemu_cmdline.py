"""QEMU command lines as VMs."""

from __future__ import annotations

import random

import pytest

from placer.errors import InputError, PlacerError
from placer.model.vm import CellMode, Movable
from placer.read.domains.memory import MemoryPolicy
from placer.read.domains.qemu_cmdline import read_qemu_cmdline
from placer.read.domains.reading import DomainReading

LIBVIRT_LOG = r"""2024-01-01 10:00:00.000+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.0
LC_ALL=C \
PATH=/usr/bin \
/usr/bin/qemu-system-x86_64 \
-name guest=a,,b,debug-threads=on \
-machine pc-q35-7.2,usb=off \
-accel kvm \
-m size=1024000k,slots=16,maxmem=8388608k \
-smp 8,sockets=8,cores=1,threads=1 \
-object '{"qom-type":"iothread","id":"iothread4"}' \
-object '{"qom-type":"memory-backend-memfd","id":"ram-node0","share":true,
"size":524288000,"host-nodes":[0],"policy":"bind"}' \
-numa node,nodeid=0,cpus=0-3,memdev=ram-node0 \
-object '{"qom-type":"memory-backend-ram","id":"ram-node1","size":524288000,"host-nodes":[1,3],"policy":"interleave"}' \
-numa node,nodeid=1,cpus=4,cpus=5-7,memdev=ram-node1 \
-object memory-backend-ram,id=dimm0,size=1G \
-device pc-dimm,node=1,memdev=dimm0,id=dimm0 \
-uuid C7A5FDBD-edaf-9455-926a-d65c16db1809 -nographic
"""


def read(text: str) -> DomainReading:
    """Read a command line."""
    return read_qemu_cmdline(text.encode(), "line")


def test_a_line_of_libvirts_log() -> None:
    """Name with a comma, UUID, cells, backends in JSON with their host nodes, a DIMM, IOThread ids, KVM."""
    reading = read(LIBVIRT_LOG)
    spec = reading.spec
    assert (reading.name, reading.uuid) == ("a,b", "c7a5fdbd-edaf-9455-926a-d65c16db1809")
    assert (spec.vcpus, spec.vcpus_current, spec.kvm, spec.iothreads) == (8, None, True, (4,))
    assert [(sorted(cell.vcpus), cell.memory_kib, cell.mem_access) for cell in spec.cells] == [
        ([0, 1, 2, 3], 512_000, "shared"),
        ([4, 5, 6, 7], 512_000 + (1 << 20), None),
    ]
    assert reading.numatune.memnodes == {
        0: MemoryPolicy(mode="strict", nodeset=frozenset({0})),
        1: MemoryPolicy(mode="interleave", nodeset=frozenset({1, 3})),
    }


def test_the_same_line_from_proc_and_from_ps() -> None:
    """NUL between the words, or JSON without the shell's quotes, make no difference."""
    words = ["qemu-system-x86_64", "-smp", "2", "-m", "1G", "-object"]
    json = '{"qom-type":"memory-backend-ram","id":"m","size":1073741824,"host-nodes":[1],"policy":"bind"}'
    rest = ["-numa", "node,memdev=m", "-name", "a"]
    from_proc = read_qemu_cmdline("\0".join([*words, json, *rest, ""]).encode(), "line")
    from_ps = read_qemu_cmdline(" ".join([*words, json, *rest]).encode(), "line")
    assert from_proc == from_ps
    assert from_proc.numatune.memnodes[0].nodeset == {1}


def test_a_flat_guest() -> None:
    """Without -numa there is one flat guest, its memory where the machine's backend is bound."""
    plain = read("qemu-system-x86_64 -smp 5 -m 2G")
    assert (plain.spec.vcpus, plain.spec.memory_kib, plain.spec.cell_mode) == (5, 2 << 20, CellMode.NONE)
    assert not plain.spec.kvm
    backend = "memory-backend-memfd,id=m,size=1G,hugetlb=on,hugetlbsize=1G,host-nodes=1,policy=bind"
    bound = read(f"kvm -enable-kvm -object {backend} -machine q35,memory-backend=m -m 1024 -name x")
    assert bound.numatune.memory == MemoryPolicy(mode="strict", nodeset=frozenset({1}))
    assert (bound.spec.page_kib, bound.spec.kvm) == (1 << 20, True)
    spread = backend.replace("host-nodes=1,policy=bind", "host-nodes=0-1,policy=interleave")
    assert read(f"kvm -smp 4 -object {spread} -machine memory-backend=m -m 1G").spec.interleave == 2


def test_vcpus_by_topology_id() -> None:
    """``-numa cpu`` names sockets and cores; without any cpus QEMU deals out sockets in turn."""
    by_core = "-smp 8,sockets=2,cores=2,threads=2 -numa node -numa node"
    named = read(f"qemu-kvm {by_core} -numa cpu,node-id=0,socket-id=0 -numa cpu,node-id=1,socket-id=1,core-id=1")
    assert [sorted(cell.vcpus) for cell in named.spec.cells] == [[0, 1, 2, 3, 4, 5], [6, 7]]
    dealt = read(f"qemu-kvm {by_core}")
    assert [sorted(cell.vcpus) for cell in dealt.spec.cells] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_memory_of_nodes() -> None:
    """Nodes without a size share -m equally; old ``mem=`` is in MiB."""
    assert [cell.memory_kib for cell in read("kvm -m 1G -numa node -numa node -smp 2").spec.cells] == [1 << 19] * 2
    old = read("kvm -m 3072 -smp 2 -numa node,mem=1024,cpus=0 -numa node,mem=2048,cpus=1")
    assert [cell.memory_kib for cell in old.spec.cells] == [1 << 20, 2 << 20]


def test_host_devices_bind() -> None:
    """A VFIO device binds the VM to its host."""
    reading = read("kvm -smp 1 -device vfio-pci,host=0000:3b:00.0 -device virtio-net-pci")
    assert (reading.movable, reading.movable_why) == (Movable.NO, ("device vfio-pci",))


def test_what_is_not_understood_is_named() -> None:
    """Distances, a path of huge pages and the want of pins are said."""
    line = "kvm -smp 2 -mem-path /dev/hugepages -numa node -numa node -numa dist,src=0,dst=1,val=21"
    reading = read(line)
    assert reading.spec.page_kib == 2048
    assert len(reading.notes) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "empty"),
        ("ls -la", "no -smp"),
        ("hello world", "no QEMU option"),
        ("kvm 'oops -smp 2", "has no end"),
        ("kvm -smp many", "no count"),
        ("kvm -smp 2 -m lots", "no size"),
        ("kvm -smp 2 -m 9999999999P", "no machine has"),
        ("kvm -smp 2 -uuid 5", "no UUID"),
        ("kvm -smp 4 -numa node,cpus=0-2 -numa node,cpus=2-3", "vCPU 2 is in the NUMA nodes 0 and 1"),
        ("kvm -smp 4 -numa node,cpus=0-9", "names vCPU 4"),
        ("kvm -smp 4 -numa node,cpus=a", "not a CPU list"),
        ("kvm -smp 4 -numa node,nodeid=0 -numa node,nodeid=0", "twice"),
        ("kvm -smp 4 -numa node,memdev=m", "names the backend"),
        ("kvm -smp 4 -numa node -numa cpu,node-id=3,socket-id=0", "names node 3"),
        ("kvm -smp 4 -object {", "no JSON"),
    ],
)
def test_refuses(line: str, message: str) -> None:
    """What QEMU would not take either is refused in a line."""
    with pytest.raises(InputError, match=message):
        read(line)


def test_damaged_lines_raise_only_placer_errors() -> None:
    """Characters put in, changed and cut: the line is read or refused, never a traceback."""
    chance = random.Random(7)
    signs = " ,=-:{}\"'\\\n\0" + "0123456789abmekGnuodcpsz"
    refused = 0
    for _ in range(2000):
        text = list(LIBVIRT_LOG)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(text))
            text[at : at + chance.randint(0, 3)] = chance.choices(signs, k=chance.randint(0, 3))
        try:
            read("".join(text))
        except PlacerError:
            refused += 1
    assert 0 < refused < 2000
