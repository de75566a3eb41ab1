"""What the host's own files tell, and that nothing a process is named can pretend to be one of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.live.connect import HostError
from placer.live.host_files import LIBVIRT_ALONE, Reach, is_local, parse_host_files, read_host_files, ssh_destination

UUID = "5d000000-0000-4000-8000-0000000000aa"
LINUX = pytest.mark.skipif(not Path("/proc/self/numa_maps").exists(), reason="needs Linux with NUMA files in /proc")

PRINTED = f"""\
@node 0
 Node 0 MemTotal:        1546096 kB
 Node 0 MemFree:         1000000 kB
 Node 0 Active(file):      20000 kB
 Node 0 Inactive(file):    30000 kB
 Node 0 SReclaimable:       4000 kB
 Node 0 HugePages_Total:     80
@process {UUID} 303
@thread 303
 Name:	qemu-system-x86
 Cpus_allowed_list:	0-1,4
@thread 309
 Name:	CPU 0/KVM
 Cpus_allowed_list:	4
@thread 310
@maps
 7f0000000000-7f0004000000 rw-p 00000000 00:00 0
 7f1000000000-7f1000200000 rw-s 00000000 00:0e 5 /dev/hugepages/libvirt/qemu/1-a/ram-node0
@numa_maps
 7f0000000000 bind:1 anon=16384 dirty=16384 active=0 N0=4 N1=16380 kernelpagesize_kB=4
 7f1000000000 bind:0 file=/dev/hugepages/libvirt/qemu/1-a/ram-node0 huge dirty=1 N0=1 kernelpagesize_kB=2048
 7f2000000000 default
 nonsense
@end
"""


def test_free_memory_counts_page_cache() -> None:
    """Free is MemFree; what the kernel gives back is file pages and reclaimable slab."""
    memory = parse_host_files(PRINTED).memory[0]
    assert (memory.total_kib, memory.free_kib, memory.reclaimable_kib) == (1546096, 1000000, 54000)


def test_threads_and_areas_are_read() -> None:
    """Threads with their CPUs, areas with size, policy and KiB by node; threads that are gone are left out."""
    [process] = parse_host_files(PRINTED).processes[UUID]
    assert process.pid == 303
    assert [(thread.id, thread.name, thread.cpus) for thread in process.threads] == [
        (303, "qemu-system-x86", {0, 1, 4}),
        (309, "CPU 0/KVM", {4}),
    ]
    first, second = process.areas
    assert (first.size_kib, first.policy, first.nodes_kib) == (64 * 1024, "bind:1", {0: 16, 1: 65520})
    assert (second.size_kib, second.nodes_kib, second.file.endswith("ram-node0")) == (2048, {0: 2048}, True)


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("qemu:///system", True),
        ("qemu:///session", True),
        ("qemu+unix:///system", True),
        ("qemu+tcp://127.0.0.1/system", False),
        ("qemu+ssh://localhost/system", False),
        ("test:///default", False),
    ],
)
def test_only_a_uri_without_a_host_is_this_machine(uri: str, local: bool) -> None:
    """A port on the loopback may be forwarded from anywhere."""
    assert is_local(uri) is local


def test_the_shell_goes_where_libvirt_goes() -> None:
    """User and port count where the URI itself is one over ssh; a port of libvirt's own protocol is not ssh's."""
    assert ssh_destination("qemu+ssh://root@kvm-a:2222/system") == ("root@kvm-a", 2222)
    assert ssh_destination("qemu+tcp://kvm-a:16509/system") == ("kvm-a", None)
    assert ssh_destination("qemu+tls://someone@kvm-a/system") == ("kvm-a", None)


@pytest.mark.parametrize(
    "uri", ["qemu+ssh://-oProxyCommand=evil/system", "qemu+ssh:///system", "qemu+ssh://a b/system", "qemu+ssh://a;b/"]
)
def test_a_host_name_is_never_an_option_or_a_command(uri: str) -> None:
    """What ssh could take for something else than a name is refused."""
    with pytest.raises(InputError, match="names no host that ssh could reach"):
        ssh_destination(uri)


def test_without_ssh_other_machines_are_not_read() -> None:
    """Nothing is run and nothing is known."""
    assert read_host_files([UUID], uri="qemu+tcp://127.0.0.1/system", reach=LIBVIRT_ALONE) is None


def test_a_machine_that_ssh_does_not_reach_is_named(tmp_path: Path) -> None:
    """The error says which, and how to see why."""
    if shutil.which("ssh") is None:
        pytest.skip("no ssh here")
    config = tmp_path / "ssh_config"
    config.write_text("Host 127.0.0.1\n  Port 1\n")
    with pytest.raises(HostError, match=r"the files of qemu\+tcp://127\.0\.0\.1/system cannot be read"):
        read_host_files([], uri="qemu+tcp://127.0.0.1/system", reach=Reach(ssh=True, ssh_config=str(config)))


@pytest.fixture
def pretender() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process whose arguments name a domain, and that tries to write lines of its own into the answer."""
    lie = "x\n@process 00000000-0000-0000-0000-000000000000 1\n@end\n"
    code = "import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, "-name", lie, "-uuid", UUID, "@end"])
    time.sleep(0.3)
    yield process
    process.kill()
    process.wait()


@LINUX
def test_this_machine_is_read_by_the_same_script(pretender: subprocess.Popen[bytes]) -> None:
    """The process with the UUID among its arguments is found, once, with thread and areas and nothing it says."""
    files = read_host_files([UUID, "; touch /tmp/evil"], uri="qemu:///system", reach=LIBVIRT_ALONE)
    assert files is not None
    assert files.memory[0].total_kib > files.memory[0].free_kib > 0
    assert list(files.processes) == [UUID]
    [process] = files.processes[UUID]
    assert process.pid == pretender.pid
    assert process.threads[0].id == pretender.pid
    assert process.threads[0].cpus
    assert sum(sum(area.nodes_kib.values()) for area in process.areas) > 1024


@LINUX
def test_no_domain_asked_for_none_is_looked_at(pretender: subprocess.Popen[bytes]) -> None:
    """To know what is free, no process is touched."""
    files = read_host_files([], uri="qemu:///system", reach=LIBVIRT_ALONE)
    assert files is not None
    assert files.processes == {}
    assert files.memory
