"""What a file is, told by its content alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.read.hosts.host import parse_topology, read_topology
from placer.read.recognise import Format, recognise

FILES = {
    "aarch64.nodeinfo.txt": Format.NODEINFO,
    "asymmetric-unreachable.numactl.txt": Format.NUMACTL,
    "epyc-nps4.capabilities.xml": Format.CAPABILITIES,
    "four-socket.lstopo.xml": Format.HWLOC,
    "hbm-cxl-gpu.lstopo3.xml": Format.HWLOC,
    "hybrid-one-thread-offline.lscpu-e.json": Format.LSCPU_JSON,
    "no-kvm.nodeinfo-cpuinfo.txt": Format.NODEINFO,
    "offline-thread.lstopo1.xml": Format.HWLOC,
    "power9-gpus-quoted.numactl.txt": Format.NUMACTL,
    "snc-pmem.sys.tar.gz": Format.ARCHIVE,
    "two-node-40cpu.lscpu-p.txt": Format.LSCPU_PARSE,
    "two-node-40cpu.mlc.txt": Format.MLC,
}

QEMU = "/usr/bin/qemu-system-x86_64 -name guest=a -smp 4,sockets=4 -m 1024\n"
TEXTS = {
    "VCPU:           0\nCPU:            3\nState:          running\nCPU Affinity:   y---\n": Format.VCPUINFO,
    " VCPU   CPU Affinity\n----------------------\n 0      0-3\n": Format.VCPUPIN,
    "VCPU: CPU Affinity\n----------------------------------\n   0: 0-3\n": Format.VCPUPIN,
    QEMU: Format.QEMU,
    "LC_ALL=C \\\nPATH=/bin \\\n/usr/bin/qemu-system-x86_64 \\\n-smp 1\n": Format.QEMU,
    "CPU NODE SOCKET CORE ONLINE\n0 0 0 0 yes\n": Format.LSCPU_TABLE,
    "Architecture:        x86_64\nCPU(s): 4\n": Format.LSCPU_SUMMARY,
    '{"lscpu": []}': Format.LSCPU_JSON,
    "processor\t: 0\n": Format.CPUINFO,
    "processor 0: version = 00\n": Format.CPUINFO,
    "schema: placer.inventory/v1\nhosts: []\n": Format.INVENTORY,
    "# mine\nhosts:\n  - name: a\n": Format.INVENTORY,
    "vms:\n  - name: available: 2 nodes\n": Format.INVENTORY,
    '{"schema": "placer.inventory/v1", "hosts": []}': Format.INVENTORY,
    '{"goals": [], "schema": "placer.plan/v1", "vms": []}': Format.PLAN,
    '{"goals": [' + '"placer.", ' * 20000 + '1], "schema": "placer.plan/v1"}': Format.PLAN,
    "<domain type='kvm'><name>a</name></domain>": Format.DOMAIN,
    "<?xml version='1.0'?>\n<!-- <capabilities> -->\n<domain/>": Format.DOMAIN,
    "\ufeff<capabilities/>": Format.CAPABILITIES,
}


@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_files(repository: Path, name: str, kind: Format) -> None:
    """Every machine file of ours is recognised without its name."""
    assert recognise((repository / "data" / "hosts" / name).read_bytes(), "x") is kind


@pytest.mark.parametrize(("text", "kind"), TEXTS.items(), ids=[kind.name for kind in TEXTS.values()])
def test_texts(text: str, kind: Format) -> None:
    """Short texts of every kind are recognised."""
    assert recognise(text.encode(), "x") is kind


@pytest.mark.parametrize("data", [b"", b" \n\t", b"hello", b"<html><body/></html>", b"{}", b"\x7fELF\x02\x01", b"<!--"])
def test_unknown(data: bytes) -> None:
    """What is of no kind is refused, and the cure names the kinds."""
    with pytest.raises(InputError, match=r"the file is empty|libvirt capabilities XML, hwloc XML, tar archive"):
        recognise(data, "x")


def test_every_topology_format_has_a_reader() -> None:
    """Formats that describe a host are those that the door reads; others are refused by what they are."""
    examples = {kind: text for text, kind in TEXTS.items()}
    for kind in (Format.VCPUINFO, Format.QEMU, Format.INVENTORY, Format.PLAN, Format.DOMAIN):
        assert not kind.is_topology
        with pytest.raises(InputError, match=f"the content is {kind.value}, which does not describe a host"):
            parse_topology(examples[kind].encode(), "x")


def test_mlc_is_not_a_host(repository: Path) -> None:
    """A measurement is refused as a host with the way to use it."""
    with pytest.raises(InputError, match="give it with --distances"):
        read_topology(repository / "data/hosts/two-node-40cpu.mlc.txt")


def test_name_in_messages(repository: Path) -> None:
    """The name given stands in the topology and in messages."""
    path = repository / "data/hosts/two-node-40cpu.numactl.txt"
    assert read_topology(path, name="kvm-a").source == "kvm-a"
    assert read_topology(path.read_bytes()).source == "<input>"
    with pytest.raises(InputError, match=r"^kvm-b: "):
        parse_topology(b"available: 0 nodes ()", "kvm-b")
