"""Text of virsh: where vCPUs run and where they may (``vcpuinfo``, ``vcpupin``), the same of emulator threads and
IOThreads (``emulatorpin``, ``iothreadinfo``), and where memory may lie (``numatune``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from placer.errors import Fault, InputError
from placer.model.cpuset import MAX_CPU, parse_cpuset
from placer.read.text.text import number, text_lines, without_quotes

_FIELD = re.compile(r"\s*(VCPU|CPU time|CPU Affinity|CPU|State)\b:?\s+(\S.*?)\s*")
_ROW = re.compile(r"\s*(\d{1,9}):?(?:\s+(.*?))?\s*")
_THREAD = re.compile(r"\s*(\*|\d{1,9}):?(?:\s+(.*?))?\s*")
_NUMATUNE = re.compile(r"\s*numa_(mode|nodeset)\s*:\s*(.*?)\s*")
_PRETTY = re.compile(r"(\S+) \(out of (\d{1,9})\)")
_FLAGS = re.compile(r"[y-]+")
# Where the locale has a decimal comma, virsh prints it even without a translation of its words.
_SECONDS = re.compile(r"(\d{1,15}(?:[.,]\d{1,9})?)s")
_NOWHERE = frozenset({"N/A", "no CPU", "-", "-1", "-2"})
"""What libvirt's versions print for the CPU of a vCPU that is offline or of a domain that does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VcpuState:
    """One vCPU of ``virsh vcpuinfo``; what a shut-off domain or an offline vCPU does not tell is None.

    `host_cpus` is how many CPUs the affinity row is about.
    """

    vcpu: int
    cpu: int | None = None
    state: str | None = None
    cpu_time_s: float | None = None
    affinity: frozenset[int] = frozenset()
    host_cpus: int | None = None


def read_vcpuinfo(data: bytes, source: str) -> tuple[VcpuState, ...]:
    """Read ``virsh vcpuinfo DOMAIN``, plain or ``--pretty``: the vCPUs in their order.

    Raises
    ------
    InputError
        No vCPU in the text, one that is there twice, or a figure that is none.
    """
    blocks: list[tuple[int, dict[str, str]]] = []
    for line, text in enumerate(without_quotes(text_lines(data, source)), start=1):
        match = _FIELD.fullmatch(text)
        if match is None:
            continue
        if match[1] == "VCPU":
            if len(blocks) > MAX_CPU:
                raise InputError(f"there are more than {MAX_CPU} vCPUs in this text", file=source, line=line)
            blocks.append((line, {}))
        if blocks:
            blocks[-1][1].setdefault(match[1], match[2])
    if not blocks:
        raise InputError("there is no vCPU in this text", file=source, cure="give the output of virsh vcpuinfo DOMAIN")
    states: dict[int, VcpuState] = {}
    faults: list[Fault] = []
    for line, fields in blocks:
        try:
            state = _state(fields, source, line)
        except InputError as error:
            faults += error.faults
            continue
        if state.vcpu in states:
            cure = "give the text of one domain"
            faults.append(Fault(message=f"vCPU {state.vcpu} is there twice", file=source, line=line, cure=cure))
            break
        states.setdefault(state.vcpu, state)
    if faults:
        raise InputError(faults)
    return tuple(states[vcpu] for vcpu in sorted(states))


def _state(fields: Mapping[str, str], source: str, line: int) -> VcpuState:
    cpu, state, time = fields.get("CPU", "N/A"), fields.get("State", "N/A"), fields.get("CPU time", "N/A")
    seconds = _SECONDS.fullmatch(time)
    affinity, host_cpus = _affinity(fields.get("CPU Affinity", ""), source, line)
    return VcpuState(
        vcpu=number(fields["VCPU"], "VCPU", source, line),
        cpu=None if cpu in _NOWHERE else number(cpu, "CPU", source, line),
        state=None if state == "N/A" else state,
        cpu_time_s=None if seconds is None else float(seconds[1].replace(",", ".")),
        affinity=affinity,
        host_cpus=host_cpus,
    )


def _affinity(text: str, source: str, line: int) -> tuple[frozenset[int], int | None]:
    if not text:
        return frozenset(), None
    pretty = _PRETTY.fullmatch(text)
    try:
        if pretty is not None:
            return parse_cpuset(pretty[1]), int(pretty[2])
        if _FLAGS.fullmatch(text) and len(text) <= MAX_CPU + 1:
            return frozenset(cpu for cpu, flag in enumerate(text) if flag == "y"), len(text)
        return parse_cpuset(text), None
    except InputError as error:
        raise InputError(error.faults[0].message, file=source, line=line, field="CPU Affinity") from None


def read_vcpupin(data: bytes, source: str) -> dict[int, frozenset[int]]:
    """Read ``virsh vcpupin DOMAIN`` of any version: the CPUs that each vCPU may run on.

    Raises
    ------
    InputError
        No vCPU in the text, one that is there twice, or a CPU list that is none.
    """
    pins: dict[int, frozenset[int]] = {}
    faults: list[Fault] = []
    for line, text in enumerate(without_quotes(text_lines(data, source)), start=1):
        match = _ROW.fullmatch(text)
        if match is None:
            continue
        vcpu = int(match[1])
        try:
            cpus = parse_cpuset(match[2] or "")
        except InputError as error:
            faults.append(Fault(message=error.faults[0].message, file=source, line=line, field=f"vCPU {vcpu}"))
            continue
        if not cpus:
            faults.append(Fault(message="no CPU is listed", file=source, line=line, field=f"vCPU {vcpu}"))
        elif vcpu in pins:
            faults.append(Fault(message=f"vCPU {vcpu} is there twice", file=source, line=line))
            break
        pins.setdefault(vcpu, cpus)
    if not pins and not faults:
        raise InputError("there is no vCPU in this text", file=source, cure="give the output of virsh vcpupin DOMAIN")
    if faults:
        raise InputError(faults)
    return dict(sorted(pins.items()))


def read_threadpin(data: bytes, source: str) -> dict[str, frozenset[int]]:
    """Read ``virsh emulatorpin DOMAIN`` or ``virsh iothreadinfo DOMAIN``: the CPUs of ``emulator`` or ``IOThread N``.

    Raises
    ------
    InputError
        No thread in the text, one that is there twice, or a CPU list that is none.
    """
    pins: dict[str, frozenset[int]] = {}
    faults: list[Fault] = []
    for line, text in enumerate(without_quotes(text_lines(data, source)), start=1):
        match = _THREAD.fullmatch(text)
        if match is None:
            continue
        thread = "emulator" if match[1] == "*" else f"IOThread {int(match[1])}"
        try:
            cpus = parse_cpuset(match[2] or "")
        except InputError as error:
            faults.append(Fault(message=error.faults[0].message, file=source, line=line, field=thread))
            continue
        if not cpus or thread in pins:
            message = "no CPU is listed" if not cpus else "is there twice"
            faults.append(Fault(message=message, file=source, line=line, field=thread))
        pins.setdefault(thread, cpus)
    if faults:
        raise InputError(faults)
    if not pins:
        raise InputError(
            "there is no thread in this text", file=source, cure="give the text of virsh emulatorpin DOMAIN"
        )
    return pins


def read_numatune(data: bytes, source: str) -> tuple[str | None, frozenset[int]]:
    """Read ``virsh numatune DOMAIN``: the mode (None: not told) and the host nodes of its memory, none where not bound.

    Raises
    ------
    InputError
        A node set that is none.
    """
    fields: dict[str, tuple[int, str]] = {}
    for line, text in enumerate(without_quotes(text_lines(data, source)), start=1):
        match = _NUMATUNE.fullmatch(text)
        if match is not None:
            fields.setdefault(match[1], (line, match[2]))
    line, nodes = fields.get("nodeset", (1, ""))
    try:
        return fields.get("mode", (1, ""))[1] or None, parse_cpuset(nodes)
    except InputError as error:
        raise InputError(error.faults[0].message, file=source, line=line, field="numa_nodeset") from None


def affinity_row(cpus: Iterable[int], host_cpus: int) -> str:
    """Return the row that ``virsh vcpuinfo`` prints: ``y`` for each CPU a vCPU may run on, ``-`` for the others."""
    allowed = frozenset(cpus)
    return "".join("y" if cpu in allowed else "-" for cpu in range(host_cpus))
