"""virsh vcpuinfo and vcpupin in the forms their versions print."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.read.domains.virsh_text import (
    VcpuState,
    affinity_row,
    read_numatune,
    read_threadpin,
    read_vcpuinfo,
    read_vcpupin,
)
from placer.read.recognise import Format, recognise

VCPUINFO = b"""VCPU:           0
CPU:            4
State:          running
CPU time:       12.3s
CPU Affinity:   y---y---

VCPU:           1
CPU:            N/A
State:          N/A
CPU time        N/A
CPU Affinity:   -yyy----
"""
NEW_PIN = b" VCPU   CPU Affinity\n----------------------\n 0      1-4,^3,6\n 1      0\n\n"
OLD_PIN = b"VCPU: CPU Affinity\n----------------------------------\n   0: 0-3\n   1: 4,6\n"


def test_vcpuinfo() -> None:
    """A running vCPU tells all, one that is not running only its affinity."""
    running, stopped = read_vcpuinfo(VCPUINFO, "a")
    affinity = frozenset({0, 4})
    assert running == VcpuState(vcpu=0, cpu=4, state="running", cpu_time_s=12.3, affinity=affinity, host_cpus=8)
    assert (stopped.cpu, stopped.state, stopped.cpu_time_s) == (None, None, None)
    assert stopped.affinity == {1, 2, 3}


@pytest.mark.parametrize("cpu", ["no CPU", "-1", "N/A", "-"])
def test_vcpu_that_runs_nowhere(cpu: str) -> None:
    """An offline vCPU has no CPU, however virsh says so; a decimal comma is that of the locale."""
    text = f"VCPU: 0\nCPU: {cpu}\nState: offline\nCPU time: 7,5s\nCPU Affinity: yy\n"
    (state,) = read_vcpuinfo(text.encode(), "a")
    assert (state.cpu, state.cpu_time_s, state.affinity) == (None, 7.5, {0, 1})


def test_pretty_vcpuinfo_pasted_from_a_mail() -> None:
    """``--pretty`` prints a list and the number of CPUs; quoted lines are read too."""
    text = b"> VCPU:           3\n> CPU Affinity:   0-1,5 (out of 16)\n"
    (state,) = read_vcpuinfo(text, "a")
    assert (state.vcpu, state.affinity, state.host_cpus) == (3, {0, 1, 5}, 16)


@pytest.mark.parametrize(
    ("text", "pins"), [(NEW_PIN, {0: {1, 2, 4, 6}, 1: {0}}), (OLD_PIN, {0: {0, 1, 2, 3}, 1: {4, 6}})]
)
def test_vcpupin(text: bytes, pins: dict[int, set[int]]) -> None:
    """The tables of old and new versions are the same pins."""
    assert read_vcpupin(text, "a") == pins


def test_affinity_row_is_what_vcpuinfo_prints() -> None:
    """The row drawn from a set is the row that was read."""
    assert affinity_row({0, 4}, 8) == "y---y---"
    assert affinity_row((), 3) == "---"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "empty"),
        (b"nothing here\n", "no vCPU"),
        (VCPUINFO + VCPUINFO, "twice"),
        (b"VCPU: x\n", "whole number"),
        (b"VCPU: 0\nCPU Affinity: maybe\n", "CPU list"),
        (b"VCPU: 0\nCPU: 99999999999999999999\n", "whole number"),
        (b"\0\0\0", "NUL"),
    ],
)
def test_refuses_damaged_vcpuinfo(text: bytes, message: str) -> None:
    """What is no vcpuinfo is refused in a line."""
    with pytest.raises(InputError, match=message):
        read_vcpuinfo(text, "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [(b" ", "empty"), (b"VCPU CPU Affinity\n", "no vCPU"), (NEW_PIN + NEW_PIN, "twice"), (b" 0  9-1\n", "backwards")],
)
def test_refuses_damaged_vcpupin(text: bytes, message: str) -> None:
    """What is no vcpupin is refused in a line."""
    with pytest.raises(InputError, match=message):
        read_vcpupin(text, "a")


def test_a_vcpu_without_a_cpu_is_refused() -> None:
    """A row whose list is empty is damaged: a vCPU may run somewhere."""
    with pytest.raises(InputError, match=r"a:3: vCPU 0: no CPU is listed"):
        read_vcpupin(b" VCPU   CPU Affinity\n--------\n 0      \n 1      2\n", "a")


@pytest.mark.parametrize(
    ("text", "pins"),
    [
        ("emulator: CPU Affinity\n----------\n       *: 0-1,^1,5\n", {"emulator": {0, 5}}),
        (
            " IOThread ID   CPU Affinity\n-----\n 2             4\n 10            0-1\n",
            {"IOThread 2": {4}, "IOThread 10": {0, 1}},
        ),
    ],
)
def test_threads_beside_the_vcpus(text: str, pins: dict[str, set[int]]) -> None:
    """``virsh emulatorpin`` and ``virsh iothreadinfo`` are told by their heads and read by thread."""
    assert recognise(text.encode(), "a") is Format.THREADPIN
    assert read_threadpin(text.encode(), "a") == pins
    damaged = text.replace("4", "x") if "4" in text else text.replace("0-1,^1,5", "")
    with pytest.raises(InputError):
        read_threadpin(damaged.encode(), "a")


@pytest.mark.parametrize(("nodeset", "nodes"), [("0-2,^1", {0, 2}), ("", set())], ids=["bound", "not bound"])
def test_numatune(nodeset: str, nodes: set[int]) -> None:
    """``virsh numatune`` tells the mode and the host nodes, or none where memory is not bound."""
    text = f"numa_mode      : strict\nnuma_nodeset   : {nodeset}\n".encode()
    assert recognise(text, "a") is Format.NUMATUNE
    assert read_numatune(text, "a") == ("strict", nodes)
    with pytest.raises(InputError, match=r"a:2: numa_nodeset: .*is not a CPU list"):
        read_numatune(b"numa_mode : strict\nnuma_nodeset : zero\n", "a")
