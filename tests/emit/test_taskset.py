"""The taskset script, run on processes that look like QEMU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from placer.emit.taskset import taskset_script
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm, VmSpec

Place = Callable[..., PlanVm]
FleetOf = Callable[..., Fleet]
Planned = Callable[..., Plan]

UUID = "0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f00ac"
ONLINE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

pytestmark = pytest.mark.skipif(
    shutil.which("taskset") is None or not ONLINE, reason="taskset is not installed: it is part of util-linux"
)

LOOKS_LIKE_QEMU = """
import sys, threading, time
def be(name):
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(name)
    time.sleep(300)
for name in sys.argv[1].split("|"):
    threading.Thread(target=be, args=(name,), daemon=True).start()
print("ready", flush=True)
time.sleep(300)
"""


@contextmanager
def qemu(folder: Path, threads: str, *arguments: str) -> Iterator[int]:
    """Run a process called qemu-system-x86_64 with threads of these names, and give its id."""
    program = folder / "qemu-system-x86_64"
    if not program.exists():
        program.symlink_to(Path(sys.executable).resolve())
    process = subprocess.Popen([program, "-c", LOOKS_LIKE_QEMU, threads, *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def affinities(process: int) -> dict[str, set[int]]:
    """Return the CPUs of each thread by its name."""
    return {
        (task / "comm").read_text().strip(): set(os.sched_getaffinity(int(task.name)))
        for task in Path(f"/proc/{process}/task").iterdir()
    }


def run(tmp_path: Path, script: bytes, *hosts: str) -> subprocess.CompletedProcess[str]:
    """Check the script's grammar and run it."""
    path = tmp_path / "script.sh"
    path.write_bytes(script)
    subprocess.run(["bash", "-n", str(path)], check=True)
    return subprocess.run(["bash", str(path), *hosts], capture_output=True, text=True, timeout=1800, check=False)


@pytest.fixture
def vm(place: Place) -> tuple[VmSpec, PlanVm]:
    """Return a VM of two vCPUs and one IOThread: one vCPU on the first CPU here, one floating, the rest on the last."""
    spec = VmSpec(vcpus=2, memory_kib=4096, iothreads=(1,))
    pins = {0: frozenset({ONLINE[0]}), 1: frozenset(ONLINE)}
    last = frozenset({ONLINE[-1]})
    return spec, place(spec, (0,), name="vm", uuid=UUID, pins=pins, emulator=last, iothreads={1: last})


def test_pins_each_thread_by_its_name(
    tmp_path: Path, vm: tuple[VmSpec, PlanVm], planned: Planned, fleet_of: FleetOf
) -> None:
    """vCPU threads of KVM and TCG, IOThreads and all other threads get their masks; the log has mask and list."""
    spec, plan = vm
    script = taskset_script(planned(plan), fleet_of(Vm(name="vm", spec=spec, uuid=UUID)))
    with qemu(
        tmp_path, "CPU 0/KVM|CPU 1/TCG|IO iothread1|vnc_worker|CPU 1x", "-name", "x", "-uuid", UUID.upper()
    ) as pid:
        done = run(tmp_path, script)
        found = affinities(pid)
    assert done.returncode == 0, done.stderr
    assert found["CPU 0/KVM"] == {ONLINE[0]}
    assert found["CPU 1/TCG"] == set(ONLINE)
    assert {tuple(found[name]) for name in ("IO iothread1", "vnc_worker", "CPU 1x")} == {(ONLINE[-1],)}
    assert f"on {ONLINE[0]} ({hex(1 << ONLINE[0])})" in done.stderr


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("a,b", "a,,b"),
        ("a,b", "guest=a,,b,debug-threads=on"),
        ("it's $(id)", "debug-threads=on,guest=it's $(id)"),
        ("-x\ny", "-x\ny,process=z"),
    ],
)
def test_finds_a_process_by_its_name(
    tmp_path: Path, vm: tuple[VmSpec, PlanVm], planned: Planned, fleet_of: FleetOf, name: str, option: str
) -> None:
    """Without a UUID the -name decides, commas doubled as QEMU wants it; a longer name is another VM."""
    spec, plan = vm
    script = taskset_script(planned(replace(plan, name=name, uuid=None)), fleet_of(Vm(name=name, spec=spec)))
    threads = "CPU 0/KVM|CPU 1/KVM|IO iothread1"
    with (
        qemu(tmp_path, threads, "-name", option) as pid,
        qemu(tmp_path, threads, "-name", f"{option.split(',')[0]},,c"),
    ):
        done = run(tmp_path, script)
        assert affinities(pid)["CPU 0/KVM"] == {ONLINE[0]}
    assert done.returncode == 0, done.stderr
    assert "1 pinned" in done.stderr


def test_what_is_missing_is_told(
    tmp_path: Path, vm: tuple[VmSpec, PlanVm], planned: Planned, fleet_of: FleetOf
) -> None:
    """No process, two of them, or threads without names: each is said, and the exit code is 8."""
    spec, plan = vm
    script = taskset_script(planned(plan), fleet_of(Vm(name="vm", spec=spec, uuid=UUID)))
    done = run(tmp_path, script)
    assert (done.returncode, "no QEMU process with this uuid" in done.stderr) == (8, True)
    with qemu(tmp_path, "CPU 1/KVM", "-uuid", UUID):
        done = run(tmp_path, script)
        assert (done.returncode, "no thread vCPU 0; start QEMU with" in done.stderr) == (8, True)
        with qemu(tmp_path, "CPU 0/KVM", "-uuid", UUID):
            done = run(tmp_path, script)
            assert (done.returncode, "both claim to be it" in done.stderr) == (8, True)


def test_another_programs_arguments_do_not_count(
    tmp_path: Path, vm: tuple[VmSpec, PlanVm], planned: Planned, fleet_of: FleetOf
) -> None:
    """A process that merely names the UUID, as a shell or ssh does, is no QEMU."""
    spec, plan = vm
    script = taskset_script(planned(plan), fleet_of(Vm(name="vm", spec=spec, uuid=UUID)))
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "qemu-kvm", "-uuid", UUID])
    try:
        done = run(tmp_path, script)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert "no QEMU process" in done.stderr


def test_vms_of_other_hosts_are_skipped(
    tmp_path: Path, vm: tuple[VmSpec, PlanVm], planned: Planned, fleet_of: FleetOf
) -> None:
    """In a script of several hosts a VM that is not here belongs elsewhere, unless its host was named."""
    spec, plan = vm
    host = fleet_of().hosts[0]
    other = replace(plan, name="other", uuid=UUID.replace("ac", "ad"), host="kvm-b")
    fleet = fleet_of(Vm(name="vm", spec=spec), Vm(name="other", spec=spec), hosts=(host, replace(host, name="kvm-b")))
    script = taskset_script(planned(plan, other), fleet)
    done = run(tmp_path, script)
    assert (done.returncode, "0 pinned, 2 skipped, 0 failed" in done.stderr) == (0, True)
    done = run(tmp_path, script, "kvm-b")
    assert (done.returncode, "0 pinned, 0 skipped, 1 failed" in done.stderr) == (8, True)
