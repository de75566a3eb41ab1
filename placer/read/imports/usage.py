"""What VMs really use, joined to a fleet: from a table of shares, or from samples of ``virsh domstats``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from placer.errors import Fault, InputError
from placer.model.fleet import Fleet
from placer.model.vm import Usage, Vm
from placer.read.hosts.host import read_file
from placer.read.imports.table_file import Table, read_table
from placer.read.text.text import text_lines

SHARES = ("cpu_p95", "memory_p95")
_DOMAIN = re.compile(r"\s*Domain: '(.*)'\s*")
_FIGURE = re.compile(r"\s*([a-z0-9_.-]+)=(\d{1,19})\s*")
_PERCENTILE = 95
_FEWEST_SAMPLES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversized:
    """A VM that uses little of what it has: its shares, and vCPUs and memory (KiB) at its 95th percentiles."""

    vm: Vm
    cpu_p95: float | None
    memory_p95: float | None

    @property
    def used_vcpus(self) -> float | None:
        """vCPUs in use at the 95th percentile."""
        return None if self.cpu_p95 is None else self.cpu_p95 * self.vm.spec.vcpus

    @property
    def used_kib(self) -> int | None:
        """Memory in use at the 95th percentile (KiB)."""
        return None if self.memory_p95 is None else round(self.memory_p95 * self.vm.spec.memory_kib)


def read_usage(path: Path, *, interval_s: float | None = None) -> dict[str, Usage]:
    """Read usage by VM name or UUID, told by content.

    Parameters
    ----------
    path
        A table (CSV or a workbook) with a column ``vm``, ``name`` or ``uuid`` and columns ``cpu_p95`` and
        ``memory_p95`` of shares from 0 to 1; or outputs of ``virsh domstats``, one behind the other.
    interval_s
        Seconds between two outputs of ``virsh domstats``, which do not say when they were made; without it, their CPU
        time tells nothing.

    Raises
    ------
    InputError
        No such columns, a share that is none, or no domain in the text; every fault at once.
    """
    data = read_file(path, str(path))
    if b"Domain: '" in data[:4096]:
        return _from_domstats(data, str(path), interval_s)
    return _from_table(read_table(path))


def _from_table(table: Table) -> dict[str, Usage]:
    key = next((name for name in ("uuid", "vm", "name") if name in table.columns), None)
    given = [name for name in SHARES if name in table.columns]
    if key is None or not given:
        raise InputError(
            "usage needs a column vm or uuid and one of cpu_p95, memory_p95",
            file=table.file,
            cure=f"the columns are {', '.join(table.columns)}",
        )
    found: dict[str, Usage] = {}
    faults: list[Fault] = []
    for row, line in zip(table.rows, table.lines, strict=True):
        cells = dict(zip(table.columns, row, strict=True))
        shares = {}
        for name in given:
            try:
                shares[name] = _share(cells[name])
            except ValueError:
                message = f"{cells[name][:40]!r} is no share from 0 to 1"
                faults.append(Fault(message=message, file=table.file, line=line, field=name))
        if cells[key] in found:
            faults.append(Fault(message=f"{cells[key]!r} is there twice", file=table.file, line=line, field=key))
        found[cells[key]] = Usage(**shares)
    if faults:
        raise InputError(faults)
    return found


def _share(text: str) -> float | None:
    if not text:
        return None
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _from_domstats(data: bytes, source: str, interval_s: float | None) -> dict[str, Usage]:
    if interval_s is not None and not interval_s > 0:
        raise InputError(f"an interval is above 0 s, not {interval_s:g}", field="--interval")
    samples: dict[str, list[dict[str, int]]] = {}
    current: dict[str, int] = {}
    for line in text_lines(data, source):
        if (match := _DOMAIN.fullmatch(line)) is not None:
            current = {}
            samples.setdefault(match[1], []).append(current)
        elif (match := _FIGURE.fullmatch(line)) is not None:
            current[match[1]] = int(match[2])
    return {
        name: Usage(
            cpu_p95=None if interval_s is None else percentile(_cpu_shares(rows, interval_s)),
            memory_p95=percentile(_memory_shares(rows)),
        )
        for name, rows in samples.items()
    }


def _cpu_shares(rows: Sequence[Mapping[str, int]], interval_s: float) -> list[float]:
    """Return a share an interval: CPU time spent (ns) over what the vCPUs could have; restarts in between count none.

    A guest's overhead may push the time above what its vCPUs could spend; that is all of it.
    """
    shares = []
    for old, new in itertools.pairwise(rows):
        spent, vcpus = new.get("cpu.time", 0) - old.get("cpu.time", 0), new.get("vcpu.current", 0)
        if vcpus and "cpu.time" in old and "cpu.time" in new and spent >= 0:
            shares.append(min(1.0, spent / (vcpus * interval_s * 1e9)))
    return shares


def _memory_shares(rows: Sequence[Mapping[str, int]]) -> list[float]:
    """Return a share a sample: what the guest says it cannot give up, over its memory; no balloon driver tells none."""
    shares = []
    for row in rows:
        whole, usable = row.get("balloon.available"), row.get("balloon.usable", row.get("balloon.unused"))
        if whole and usable is not None and usable <= whole:
            shares.append((whole - usable) / whole)
    return shares


def percentile(shares: Sequence[float]) -> float | None:
    """Return the 95th percentile by nearest rank: the least sample that 95 % are not above; None of fewer than two."""
    if len(shares) < _FEWEST_SAMPLES:
        return None
    return sorted(shares)[-(-_PERCENTILE * len(shares) // 100) - 1]


def join_usage(fleet: Fleet, usage: Mapping[str, Usage]) -> tuple[Fleet, tuple[str, ...]]:
    """Return the fleet with the usage in its VMs, by UUID, else by name, and the keys that no VM has.

    What a figure leaves unknown stays as the fleet has it.
    """
    taken: set[str] = set()
    vms = []
    for vm in fleet.vms:
        key = next((key for key in (vm.uuid, vm.name) if key is not None and key in usage), None)
        if key is None:
            vms.append(vm)
            continue
        taken.add(key)
        old, new = vm.usage or Usage(), usage[key]
        joined = Usage(
            cpu_p95=old.cpu_p95 if new.cpu_p95 is None else new.cpu_p95,
            memory_p95=old.memory_p95 if new.memory_p95 is None else new.memory_p95,
        )
        vms.append(replace(vm, usage=joined))
    return replace(fleet, vms=tuple(vms)), tuple(key for key in usage if key not in taken)


def oversized(vms: Iterable[Vm], *, cpu_below: float, memory_below: float) -> tuple[Oversized, ...]:
    """Return the VMs that use less than these shares of CPU or of memory, those with most idle vCPUs first."""
    found = [
        Oversized(vm=vm, cpu_p95=vm.usage.cpu_p95, memory_p95=vm.usage.memory_p95)
        for vm in vms
        if vm.usage is not None and (_below(vm.usage.cpu_p95, cpu_below) or _below(vm.usage.memory_p95, memory_below))
    ]
    return tuple(sorted(found, key=lambda entry: (-_idle_vcpus(entry), -entry.vm.spec.memory_kib, entry.vm.name)))


def _below(share: float | None, limit: float) -> bool:
    return share is not None and share < limit


def _idle_vcpus(entry: Oversized) -> float:
    return 0.0 if entry.used_vcpus is None else entry.vm.spec.vcpus - entry.used_vcpus
