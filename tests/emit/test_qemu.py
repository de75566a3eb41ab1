"""QEMU arguments: golden cases, and the reader gives the plan back."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from placer.emit.qemu import qemu_arguments, qemu_document, qemu_files
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Bound, Cell, CellMode, Vm, VmSpec
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.qemu_cmdline import read_qemu_cmdline

Place = Callable[..., PlanVm]
Imported = Callable[..., tuple[Vm, bytes]]
FleetOf = Callable[..., Fleet]
Planned = Callable[..., Plan]


@pytest.mark.parametrize(("name", "cells"), [("five_sockets.xml", (1,)), ("two_cells.xml", (1, 0))])
def test_golden_guests(
    imported: Imported, place: Place, host: Host, snapshot: SnapshotAssertion, name: str, cells: tuple[int, ...]
) -> None:
    """Five sockets, and two cells of 512,000 KiB of which one is shared, as QEMU takes them."""
    vm, xml = imported(name)
    plan = place(vm.spec, cells, name=vm.name, uuid=vm.uuid)
    assert "\n".join(qemu_arguments(plan, vm.spec, host, xml)) == snapshot


def test_golden_new_cells(place: Place, host: Host, snapshot: SnapshotAssertion) -> None:
    """New cells on huge pages: memfd with the page size, the host's distances, offline vCPUs, IOThreads."""
    spec = VmSpec(vcpus=8, memory_kib=8 << 20, page_kib=1 << 20, iothreads=(1, 4), vcpus_current=6)
    plan = place(spec, (1, 0), name="a,b c", new_cells=True)
    assert "\n".join(qemu_arguments(plan, spec, host)) == snapshot


def test_interleaved_memory_over_nodes_with_a_hole(place: Place, host: Host) -> None:
    """A flat guest over several nodes interleaves; odd sizes are rounded up as QEMU rounds -m."""
    cell = Cell(vcpus=frozenset(range(2)), memory_kib=3001)
    spec = VmSpec(vcpus=2, memory_kib=3001, cell_mode=CellMode.NONE, cells=(cell,), interleave=3)
    plan = place(spec, ((0, 1, 3),), pins={0: frozenset({0}), 1: frozenset({1})})
    arguments = qemu_arguments(plan, spec, host)
    backend = arguments[arguments.index("-object") + 1]
    assert backend == "memory-backend-ram,id=ram0,size=3008K,host-nodes=0-1,host-nodes=3,policy=interleave"
    assert arguments[arguments.index("-m") + 1] == "3008K"
    assert arguments[-2:] == ["-machine", "memory-backend=ram0"]


def test_distances_of_the_domain_are_its_own(imported: Imported, place: Place, host: Host) -> None:
    """A guest that has distances keeps them; one that has cells without is given none."""
    vm, xml = imported("two_cells.xml")
    plan = place(vm.spec, (1, 0), name=vm.name, uuid=vm.uuid)
    assert "dist,src=1,dst=0,val=31" in qemu_arguments(plan, vm.spec, host, xml)
    begin, end = xml.index(b"<distances>"), xml.index(b"</distances>") + len(b"</distances>")
    bare = qemu_arguments(plan, vm.spec, host, xml[:begin] + xml[end:])
    assert not any(argument.startswith("dist,") for argument in bare)


def test_distances_are_completed_as_libvirt_does(place: Place, host: Host) -> None:
    """QEMU refuses a guest with a distance for some pairs only: the other way round is the same, else it is 20."""
    told = "<distances><sibling id='1' value='17'/></distances>"
    cells = f"<cell id='0' cpus='0' memory='4096'>{told}</cell><cell id='1' cpus='1' memory='4096'/>"
    cells += "<cell id='2' memory='4096'/>"
    xml = f"<domain><name>a</name><vcpu>2</vcpu><cpu><numa>{cells}</numa></cpu></domain>".encode()
    spec = read_domain(xml, "a.xml").spec
    arguments = qemu_arguments(place(spec, (0, 1, 1), name="a"), spec, host, xml)
    found = {one.removeprefix("dist,") for one in arguments if one.startswith("dist,")}
    assert found == {f"src={i},dst={j},val={17 if i + j == 1 else 20}" for i in range(3) for j in range(3) if i != j}


def test_memory_devices_are_plugged(place: Place, host: Host) -> None:
    """DIMMs and virtio-mem are no memory of the boot; each is bound as its cell is, and the reader finds the same."""
    cells = "<cell id='0' cpus='0' memory='8192'/><cell id='1' cpus='1' memory='4096'/>"
    dimm = "<memory model='dimm' access='shared'><target><size>4096</size><node>1</node></target></memory>"
    sizes = "<size unit='MiB'>8</size><node>0</node><block>2048</block><requested>4096</requested>"
    devices = f"{dimm}<memory model='virtio-mem'><target>{sizes}</target></memory>"
    body = f"<maxMemory slots='4' unit='GiB'>1</maxMemory><vcpu>2</vcpu><cpu><numa>{cells}</numa></cpu>"
    xml = f"<domain><name>a</name>{body}<devices>{devices}</devices></domain>".encode()
    spec = read_domain(xml, "a.xml").spec
    arguments = qemu_arguments(place(spec, (1, 0), name="a"), spec, host, xml)
    assert arguments[arguments.index("-m") + 1] == "12M,slots=4,maxmem=1024M"
    assert "memory-backend-ram,id=ram-node0,size=8M,host-nodes=1,policy=bind" in arguments
    assert "memory-backend-memfd,id=memdimm0,size=4M,host-nodes=0,policy=bind,share=on" in arguments
    assert "pc-dimm,node=1,memdev=memdimm0" in arguments
    assert "memory-backend-ram,id=memvirtiomem1,size=8M,host-nodes=1,policy=bind,reserve=off" in arguments
    paged = xml.replace(b"<target><size unit='MiB'>8", b"<source><pagesize>2048</pagesize></source><target><size>8192")
    huge = " ".join(qemu_arguments(place(spec, (1, 0), name="a"), spec, host, paged))
    assert "id=memvirtiomem1,hugetlb=on,hugetlbsize=2M,size=8M" in huge and "prealloc" not in huge
    assert "virtio-mem-pci,node=0,memdev=memvirtiomem1,block-size=2M,requested-size=4M" in arguments
    back = read_qemu_cmdline("\0".join(["qemu", *arguments]).encode(), "line").spec
    assert [cell.memory_kib for cell in back.cells] == [cell.memory_kib for cell in spec.cells] == [16384, 8192]


def backend(xml: str, place: Place, host: Host) -> str:
    """Return the memory backend of a flat guest of 4 vCPUs and 15,625,000 KiB on node 1 whose XML has this in it."""
    root = f"<domain><name>a</name><memory>15625000</memory><vcpu>4</vcpu>{xml}</domain>".encode()
    spec = read_domain(root, "a.xml").spec
    arguments = qemu_arguments(place(spec, (1,), name="a"), spec, host, root)
    return arguments[arguments.index("-object") + 1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "memory-backend-ram,id=ram0,size=15625000K,host-nodes=1,policy=bind"),
        ("<access mode='shared'/>", "memory-backend-memfd,id=ram0,size=15625000K,host-nodes=1,policy=bind,share=on"),
        ("<source type='memfd'/>", "memory-backend-memfd,id=ram0,size=15625000K,host-nodes=1,policy=bind"),
        (
            "<source type='memfd'/><access mode='private'/>",
            "memory-backend-memfd,id=ram0,size=15625000K,host-nodes=1,policy=bind,share=off",
        ),
        (
            "<hugepages/>",
            "memory-backend-memfd,id=ram0,hugetlb=on,hugetlbsize=2M,prealloc=on,size=15260M,host-nodes=1,policy=bind"
            ",share=off",
        ),
    ],
)
def test_memory_is_backed_as_the_domain_says(place: Place, host: Host, body: str, expected: str) -> None:
    """Shared, private, memfd; sizes of huge pages are whole pages, or the file would end inside one."""
    assert backend(f"<memoryBacking>{body}</memoryBacking>", place, host) == expected


@pytest.mark.parametrize(
    ("mode", "policy"),
    [("strict", ",host-nodes=1,policy=bind"), ("preferred", ",host-nodes=1,policy=preferred"), ("restrictive", "")],
)
def test_soft_memory_policies_stay_soft(place: Place, host: Host, mode: str, policy: str) -> None:
    """Preferred memory is not bound, restrictive memory is the cgroup's part."""
    said = backend(f"<numatune><memory mode='{mode}' nodeset='0'/></numatune>", place, host)
    assert said == f"memory-backend-ram,id=ram0,size=15625000K{policy}"


@pytest.mark.parametrize(
    ("mode", "bound", "said"),
    [
        ("preferred", Bound(cpus=frozenset({1}), wish=frozenset({1})), ",host-nodes=1,policy=preferred"),
        ("strict", Bound(memory=frozenset({0, 1})), ",host-nodes=0-1,policy=bind"),
        ("interleave", Bound(memory=frozenset({0, 1})), ",host-nodes=0-1,policy=interleave"),
        ("restrictive", Bound(memory=frozenset({0, 1})), ""),
        ("", Bound(cpus=frozenset({0})), ""),
        ("", Bound(cpus=frozenset({0}), wish=frozenset({0})), ""),
    ],
)
def test_memory_bound_to_sets_of_nodes_stays_so(place: Place, host: Host, mode: str, bound: Bound, said: str) -> None:
    """A VM that is not bound to one node a cell keeps the nodes and the mode of its memory, a wish as a wish."""
    tune = f"<numatune><memory mode='{mode}' nodeset='1'/></numatune>" if mode else ""
    root = f"<domain><name>a</name><memory>4096</memory><vcpu>4</vcpu>{tune}</domain>".encode()
    spec = replace(read_domain(root, "a.xml").spec, interleave=1)
    plan = place(spec, (0,), name="a")
    plan = replace(plan, bound=(bound,), cells=(replace(plan.cells[0], mode="floats", nodes={}),))
    arguments = qemu_arguments(plan, spec, host, root)
    assert arguments[arguments.index("-object") + 1] == f"memory-backend-ram,id=ram0,size=4M{said}"


def test_vcpus_behind_a_hole_are_plugged(place: Place, host: Host) -> None:
    """``-smp`` has the first vCPUs online, those behind a hole come as devices, and the reader finds the same ones."""
    listed = "".join(f"<vcpu id='{n}' enabled='{'no' if n in (2, 3) else 'yes'}'/>" for n in range(6))
    topology = "<cpu mode='host-passthrough'><topology sockets='1' dies='1' cores='3' threads='2'/></cpu>"
    body = f"<name>a</name><memory>4096</memory><vcpu current='4'>6</vcpu><vcpus>{listed}</vcpus>{topology}"
    xml = f"<domain>{body}</domain>".encode()
    spec = read_domain(xml, "a.xml").spec
    arguments = qemu_arguments(place(spec, (0,), name="a"), spec, host, xml)
    assert arguments[arguments.index("-smp") + 1] == "2,sockets=1,cores=3,threads=2,maxcpus=6"
    assert "host-x86_64-cpu,id=vcpu4,socket-id=0,core-id=2,thread-id=0" in arguments
    back = read_qemu_cmdline("\0".join(["qemu", *arguments]).encode(), "line").spec
    assert (back.vcpus_current, back.offline_vcpus) == (4, {2, 3})


@pytest.mark.parametrize("name", ["plain", "a,b", 'it\'s $(id) `id` "x"', "two\nlines", "-x", "größe"])
def test_a_shell_and_the_reader_give_the_plan_back(
    place: Place, host: Host, planned: Planned, fleet_of: FleetOf, name: str
) -> None:
    """Read by a shell's rules, the line is the arguments; read as a VM, it is the VM on the planned nodes."""
    spec = VmSpec(vcpus=8, memory_kib=8 << 20, page_kib=2048, iothreads=(2,), vcpus_current=4, kvm=False)
    plan = place(spec, (1, 0), name=name, uuid="0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f00aa", new_cells=True)
    document = qemu_document(planned(plan), fleet_of(Vm(name=name, spec=spec))).decode()
    comment, line = document.split("\n", 1)
    assert comment.startswith("# ")
    words = shlex.split(line)
    assert words == qemu_arguments(plan, spec, host)
    back = read_qemu_cmdline("\0".join(["qemu-system-x86_64", *words]).encode(), "line")
    assert (back.name, back.uuid) == (name, plan.uuid)
    assert (back.spec.vcpus, back.spec.vcpus_current, back.spec.page_kib, back.spec.iothreads) == (8, 4, 2048, (2,))
    assert [(cell.vcpus, cell.memory_kib) for cell in back.spec.cells] == [
        (cell.vcpus, cell.memory_kib) for cell in plan.cells
    ]
    policies = [back.numatune.memnodes[number] for number in range(2)]
    assert [(policy.mode, policy.nodeset) for policy in policies] == [("strict", {1}), ("strict", {0})]


def test_a_cell_without_memory_is_refused(place: Place, host: Host, planned: Planned, fleet_of: FleetOf) -> None:
    """QEMU binds all cells or none; all such VMs are named at once."""
    cells = (Cell(vcpus=frozenset({0}), memory_kib=4096), Cell(vcpus=frozenset({1}), memory_kib=0))
    spec = VmSpec(vcpus=2, memory_kib=4096, cell_mode=CellMode.GIVEN, cells=cells)
    plans = [place(spec, (0, 1), name=name) for name in ("a", "b")]
    with pytest.raises(InputError) as caught:
        qemu_document(planned(*plans), fleet_of(*(Vm(name=name, spec=spec) for name in ("a", "b"))))
    assert len(caught.value.faults) == 2


def test_one_file_a_host(place: Place, planned: Planned, fleet_of: FleetOf) -> None:
    """Each host's VMs are in a file of its name."""
    spec = VmSpec(vcpus=1, memory_kib=4096)
    one = place(spec, (0,), name="one")
    other = replace(one, name="other", host="b/c")
    host = fleet_of().hosts[0]
    vms = [Vm(name=name, spec=spec) for name in ("one", "other")]
    files = qemu_files(planned(one, other), fleet_of(*vms, hosts=(host, replace(host, name="b/c"))))
    assert {name: data.count(b"-name") for name, data in files.items()} == {"b%2Fc.args": 1, "kvm-a.args": 1}


@pytest.mark.parametrize("flat", [True, False])
def test_qemu_itself_takes_the_arguments(place: Place, host: Host, flat: bool) -> None:
    """The real QEMU starts with them, stopped, without a disk: name, memory, cells and vCPUs are as planned."""
    program = shutil.which("qemu-system-x86_64")
    if program is None or not Path("/sys/devices/system/node/node0").exists():
        pytest.skip("qemu-system-x86_64 is not installed, or this machine shows no NUMA node")
    spec = VmSpec(vcpus=4, memory_kib=131_080, iothreads=(1, 4), vcpus_current=3)
    if flat:
        cell = Cell(vcpus=frozenset(range(4)), memory_kib=131_080)
        spec = replace(spec, cell_mode=CellMode.NONE, cells=(cell,))
    plan = place(spec, (0,) if flat else (0, 0), name="a,b 'c", new_cells=True)
    arguments = [program, "-machine", "q35", "-S", "-display", "none", "-nodefaults", "-monitor", "stdio"]
    done = subprocess.run(
        arguments + qemu_arguments(plan, spec, host),
        input="info name\ninfo numa\ninfo memory_size_summary\nquit\n",
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "a,b 'c" in lines
    assert f"base memory: {131_088 * 1024 if not flat else 131_080 * 1024}" in lines
    if not flat:
        assert "node 0 cpus: 0 1" in lines
        assert "node 1 cpus: 2" in lines


def test_room_for_memory_devices_stays_before_there_is_any(place: Place, host: Host) -> None:
    """Slots and the most memory are what later devices need."""
    cells = "<cell id='0' cpus='0' memory='8192'/>"
    body = f"<maxMemory slots='4' unit='GiB'>1</maxMemory><vcpu>1</vcpu><cpu><numa>{cells}</numa></cpu>"
    xml = f"<domain><name>a</name>{body}</domain>".encode()
    spec = read_domain(xml, "a.xml").spec
    arguments = qemu_arguments(place(spec, (0,), name="a"), spec, host, xml)
    assert arguments[arguments.index("-m") + 1] == "8M,slots=4,maxmem=1024M"


def test_slots_that_are_no_number_are_refused(place: Place, host: Host) -> None:
    """Behind a comma the rest of them would be options of its own."""
    dimm = "<memory model='dimm'><target><size>4096</size><node>0</node></target></memory>"
    cells = "<cell id='0' cpus='0' memory='8192'/>"
    body = f"<maxMemory slots='4,x=y' unit='GiB'>1</maxMemory><vcpu>1</vcpu><cpu><numa>{cells}</numa></cpu>"
    xml = f"<domain><name>a</name>{body}<devices>{dimm}</devices></domain>".encode()
    spec = read_domain(xml, "a.xml").spec
    with pytest.raises(InputError, match="slots='4,x=y'"):
        qemu_arguments(place(spec, (0,), name="a"), spec, host, xml)


TIERS = """<cell id='0' cpus='0' memory='8192'><cache level='1' associativity='full' policy='writeback'>
<size value='10' unit='KiB'/><line value='64' unit='B'/></cache></cell>
<cell id='1' cpus='1' memory='8192'/><cell id='2' memory='4096'/>
<interconnects><latency initiator='0' target='2' type='access' value='50'/>
<latency initiator='1' target='2' type='access' value='40'/>
<latency initiator='0' target='0' cache='1' type='read' value='5'/>
<bandwidth initiator='0' target='0' type='write' value='200' unit='MiB'/></interconnects>"""


def tiers(devices: str = "") -> bytes:
    """Return a domain of three cells, one without vCPUs, with a cache, latencies and a bandwidth."""
    body = f"<maxMemory slots='4' unit='GiB'>1</maxMemory><vcpu>2</vcpu><cpu><numa>{TIERS}</numa></cpu>"
    return f"<domain><name>a</name>{body}<devices>{devices}</devices></domain>".encode()


def test_latencies_and_caches_of_cells_are_told(place: Place, host: Host) -> None:
    """Latencies before caches, as QEMU wants them; a cell without vCPUs is first reached from the nearest one."""
    xml = tiers()
    spec = read_domain(xml, "a.xml").spec
    arguments = qemu_arguments(place(spec, (0, 1, 1), name="a"), spec, host, xml)
    nodes = [one for one in arguments if one.startswith("node,")]
    assert [re.findall("initiator=([0-9])", one) for one in nodes] == [["0"], ["1"], ["1"]]
    assert [one for one in arguments if one.startswith("hmat-")] == [
        "hmat-lb,initiator=0,target=2,hierarchy=memory,data-type=access-latency,latency=50",
        "hmat-lb,initiator=1,target=2,hierarchy=memory,data-type=access-latency,latency=40",
        "hmat-lb,initiator=0,target=0,hierarchy=first-level,data-type=read-latency,latency=5",
        "hmat-lb,initiator=0,target=0,hierarchy=memory,data-type=write-bandwidth,bandwidth=204800K",
        "hmat-cache,node-id=0,size=10K,level=1,associativity=complex,policy=write-back,line=64",
    ]
    assert arguments[-2:] == ["-machine", "hmat=on"]
    with pytest.raises(InputError, match="is no number"):
        qemu_arguments(place(spec, (0, 1, 1), name="a"), spec, host, xml.replace(b"value='50'", b"value='5,x=on'"))


def test_memory_that_persists_is_the_file_of_the_xml(place: Place, host: Host) -> None:
    """An NVDIMM is no memory of the boot and bound nowhere; what reads the line back counts it no more than we do."""
    source = "<source><path>/dev/dax,0</path><alignsize unit='KiB'>2048</alignsize><pmem/></source>"
    target = (
        "<target><size unit='MiB'>8</size><node>1</node><label><size unit='KiB'>128</size></label><readonly/></target>"
    )
    xml = tiers(f"<memory model='nvdimm'>{source}{target}</memory>")
    spec = read_domain(xml, "a.xml").spec
    arguments = qemu_arguments(place(spec, (0, 1, 1), name="a"), spec, host, xml)
    file = "memory-backend-file,id=memnvdimm0,mem-path=/dev/dax,,0,size=8M,align=2M,pmem=on,readonly=on"
    assert arguments[arguments.index(file) + 2] == "nvdimm,node=1,memdev=memnvdimm0,label-size=128K,unarmed=on"
    assert arguments[arguments.index("-m") + 1] == "20M,slots=4,maxmem=1024M"
    assert arguments[-2:] == ["-machine", "hmat=on,nvdimm=on"]
    back = read_qemu_cmdline("\0".join(["qemu", *arguments]).encode(), "line").spec
    assert back.memory_kib == spec.memory_kib == 20480
    with pytest.raises(InputError, match="names no <path>"):
        qemu_arguments(place(spec, (0, 1, 1), name="a"), spec, host, xml.replace(b"/dev/dax,0", b""))


def test_qemu_itself_takes_tiers_and_memory_that_persists(place: Place, host: Host, tmp_path: Path) -> None:
    """The real QEMU starts with latencies, a cache and an NVDIMM, and says that it has the device."""
    program = shutil.which("qemu-system-x86_64")
    if program is None or not Path("/sys/devices/system/node/node0").exists():
        pytest.skip("qemu-system-x86_64 is not installed, or this machine shows no NUMA node")
    file = tmp_path / "nv,dimm"
    file.write_bytes(b"\0" * (8 << 20))
    device = f"<source><path>{file}</path></source><target><size unit='MiB'>8</size><node>1</node></target>"
    xml = tiers(f"<memory model='nvdimm'>{device}</memory>")
    spec = read_domain(xml, "a.xml").spec
    arguments = qemu_arguments(place(spec, (0, 0, 0), name="a"), spec, host, xml)
    done = subprocess.run(
        [program, "-machine", "q35", "-S", "-display", "none", "-nodefaults", "-monitor", "stdio", *arguments],
        input="info memory-devices\nquit\n",
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nvdimm" in done.stdout
