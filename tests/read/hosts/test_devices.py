"""Devices of a host: virtual functions with their addresses, and what is near what."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer import read_fleet
from placer.errors import InputError
from placer.read.hosts.hwloc import parse_hwloc
from placer.read.hosts.nodedev import parse_nodedev
from placer.read.hosts.sysfs_devices import pci_devices

NIC = {"class": "0x020000", "vendor": "0x8086", "numa_node": "1"}
PORT = "sys/devices/pci0000:3a/0000:3a:02.0"
FILES = {
    PORT: {"class": "0x060400"},
    f"{PORT}/0000:3b:00.0": {**NIC, "sriov_numvfs": "3", "sriov_offset": "254", "sriov_stride": "1"},
    f"{PORT}/0000:3c:00.0": {**NIC, "physfn": ""},
    f"{PORT}/0000:3b:00.1": {**NIC, "sriov_numvfs": "0", "sriov_offset": "0", "sriov_stride": "0"},
    "sys/devices/pci0000:3a/0000:3a:01.0": NIC,
}


class FakeTree:
    """A tree of the files above."""

    source = "fake"

    def names(self, path: str) -> frozenset[str]:
        """Return what is in a folder."""
        below = (folder[len(path) + 1 :].split("/")[0] for folder in FILES if folder.startswith(path + "/"))
        return frozenset(below) | frozenset(FILES.get(path, ()))

    def text(self, path: str) -> str | None:
        """Return the content of a file."""
        folder, _, name = path.rpartition("/")
        return FILES.get(folder, {}).get(name)


def test_virtual_functions_of_sysfs_have_addresses() -> None:
    """Number, first offset and stride tell them, over the end of a bus too; the function itself is no device more."""
    found = {device.address: device for device in pci_devices(FakeTree(), "sys/")}
    assert found.keys() == {"0000:3b:00.0", "0000:3b:00.1", "0000:3a:01.0"}
    assert found["0000:3b:00.0"].addresses == ("0000:3b:1f.6", "0000:3b:1f.7", "0000:3c:00.0")
    assert found["0000:3b:00.0"].count == 3
    assert found["0000:3b:00.1"].addresses == ("0000:3b:00.1",)
    assert [found[name].group for name in sorted(found)] == [None, "0000:3a:02.0", "0000:3a:02.0"]


def test_virtual_functions_of_libvirt_have_addresses() -> None:
    """Those that are there count, not those that there could be; a damaged address is left out."""
    device = parse_nodedev(
        b"<device><capability type='pci'><class>0x020000</class><domain>0</domain><bus>59</bus><slot>0</slot>"
        b"<function>0</function><capability type='virt_functions' maxCount='64'>"
        b"<address domain='0x0000' bus='0x3b' slot='0x02' function='0x0'/><address bus='x'/>"
        b"<address domain='0x0000' bus='0x3b' slot='0x02' function='0x1'/></capability></capability></device>",
        "d.xml",
    )
    assert device is not None
    assert (device.count, device.functions) == (2, ("0000:3b:02.0", "0000:3b:02.1"))


def test_devices_behind_one_bridge_of_hwloc_are_a_group() -> None:
    """The outermost bridge with an address counts, and only with several devices behind."""
    gpu = '<object type="PCIDev" pci_busid="0000:{}:00.0" pci_type="0302 [10de:20b0] [10de:0000] a1"/>'
    switch = '<object type="Bridge" bridge_type="1-1" pci_busid="0000:0{}:00.0">{}</object>'
    inner = switch.format(2, gpu.format("03")) + switch.format(4, gpu.format("05"))
    alone = switch.format(6, gpu.format("07"))
    text = (
        '<topology version="2.0"><object type="Machine" os_index="0" cpuset="0x1" nodeset="0x1">'
        '<object type="NUMANode" os_index="0" cpuset="0x1" nodeset="0x1" local_memory="1073741824"/>'
        '<object type="PU" os_index="0" cpuset="0x1" nodeset="0x1"/>'
        f'<object type="Bridge" bridge_type="0-1">{switch.format(1, inner)}{alone}</object></object></topology>'
    )
    assert [device.group for device in parse_hwloc(text.encode(), "h.xml").devices] == [
        "0000:01:00.0",
        "0000:01:00.0",
        None,
    ]


HEAD = "\x1b[4m\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tCPU Affinity\tNUMA Affinity\x1b[0m\n"
FLEET = """schema: placer.inventory/v1
hosts:
  - name: h
    nodes: [{id: 0, cpus: "0-7", memory: 9GiB}]
    links_from: topo.txt
    devices: [%s]
vms: []
"""


def groups(folder: Path, matrix: str, gpus: int = 4) -> list[str | None]:
    """Return the groups of a host's GPUs."""
    (folder / "topo.txt").write_text(matrix)
    devices = ", ".join(f'{{address: "0000:{n}1:00.0", node: 0, kind: gpu}}' for n in range(gpus))
    (folder / "f.yaml").write_text(FLEET % devices)
    return [device.group for device in read_fleet(folder / "f.yaml").hosts[0].topology.devices]


def rows(*links: str) -> str:
    """Return a matrix of links as it is printed, legend and all."""
    lines = [f"GPU{n}\t" + "\t".join(link.split()) + "\tSYS\t0-7\t0" for n, link in enumerate(links)]
    return HEAD + "\n".join(
        [*lines, "NIC0\tSYS\tSYS\tSYS\tSYS\t X", "", "Legend:", "  X    = Self", "  NV#  = Connection"]
    )


def test_islands_of_nvlink(tmp_path: Path) -> None:
    """GPUs that have links to one another are near, by way of others too."""
    found = groups(tmp_path, rows("X SYS NV4 SYS", "SYS X SYS NV4", "NV4 SYS X SYS", "SYS NV4 SYS X"))
    assert found == ["nvlink-0", "nvlink-1", "nvlink-0", "nvlink-1"]


def test_switches_where_nvlink_joins_all(tmp_path: Path) -> None:
    """NVSwitch joins all GPUs; then those behind one PCIe switch are near."""
    found = groups(tmp_path, rows("X PXB SYS SYS", "PXB X SYS SYS", "SYS SYS X SYS", "SYS SYS SYS X"))
    assert found == ["switch-0", "switch-0", None, None]


def test_a_network_card_stays_beside_its_gpu(tmp_path: Path) -> None:
    """What is below one root port with a GPU is in the group that the matrix puts the GPU in."""
    (tmp_path / "topo.txt").write_text(rows("X SYS NV4 SYS", "SYS X SYS NV4", "NV4 SYS X SYS", "SYS NV4 SYS X"))
    gpus = [f'{{address: "0000:{n}1:00.0", node: 0, kind: gpu, group: port-{n}}}' for n in range(4)]
    cards = [f'{{address: "0000:{n}2:00.0", node: 0, kind: nic, group: port-{n}}}' for n in (1, 9)]
    (tmp_path / "f.yaml").write_text(FLEET % ", ".join([*gpus, *cards]))
    devices = read_fleet(tmp_path / "f.yaml").hosts[0].topology.devices
    assert [device.group for device in devices if device.kind == "nic"] == ["nvlink-1", "port-9"]


@pytest.mark.parametrize(
    ("matrix", "gpus", "said"),
    [
        ("nonsense", 4, "no matrix of links"),
        (HEAD + "GPU0\tX\tSYS", 4, "no matrix of links"),
        (rows("X SYS SYS SYS", "SYS X SYS SYS", "SYS SYS X SYS", "SYS SYS SYS X"), 2, "the host tells 2"),
    ],
)
def test_matrices_that_say_nothing(tmp_path: Path, matrix: str, gpus: int, said: str) -> None:
    """Another text, half a matrix, or one of another host is refused."""
    with pytest.raises(InputError, match=said):
        groups(tmp_path, matrix, gpus)
