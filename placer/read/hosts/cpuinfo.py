"""Reader of /proc/cpuinfo: which CPUs run, which share a core on x86, the processor's name, and whether KVM can run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from placer.errors import InputError
from placer.model.host import Topology
from placer.read.hosts.cpu_groups import group_by
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import RawHost
from placer.read.text.text import text_lines

_KEY = re.compile(r"[A-Za-z][\w .#()/-]*")
_DIGITS = "0123456789"
_MAX_DIGITS = 9
_MODEL_KEYS = ("model name", "cpu model", "cpu", "machine")


@dataclass(slots=True, kw_only=True)
class CpuInfo:
    """What /proc/cpuinfo tells. `cores` and `packages` hold only CPUs whose ids stand there."""

    processors: set[int] = field(default_factory=set)
    cores: dict[int, object] = field(default_factory=dict)
    packages: dict[int, object] = field(default_factory=dict)
    arch: str | None = None
    model: str | None = None
    kvm: bool | None = None


def read_cpuinfo(lines: list[str]) -> CpuInfo:
    """Read the lines of /proc/cpuinfo; lines of no known form are passed over.

    On x86 ``vmx`` or ``svm`` among the flags says that KVM can run and their absence that it cannot; on s390 the
    feature ``sie`` does. Other architectures do not tell.
    """
    info = CpuInfo()
    current: int | None = None
    ids: dict[int, dict[str, str]] = {}
    for line in lines:
        before, colon, value = line.partition(":")
        key, digits = _key(before.strip())
        if not colon or not _KEY.fullmatch(key):
            continue
        key, value = key.lower(), value.strip()
        if key == "processor":
            text = digits or value
            current = int(text) if re.fullmatch(r"\d{1,9}", text) else None
            if current is not None:
                info.processors.add(current)
        elif key == "cpu number":
            # s390 lists its processors first, then what each has.
            current = int(value) if re.fullmatch(r"\d{1,9}", value) else None
        elif key in ("physical id", "core id", "package", "core") and current is not None:
            ids.setdefault(current, {})[key] = value
        elif key in _MODEL_KEYS and info.model is None and value:
            info.model = value
        _take_architecture(info, key, value)
    for cpu, told in ids.items():
        package, core = told.get("physical id", told.get("package")), told.get("core id", told.get("core"))
        if package is not None:
            info.packages[cpu] = package
            if core is not None:
                info.cores[cpu] = (package, core)
    return info


def _key(text: str) -> tuple[str, str]:
    """Return a key without the number behind it, and the number: ``processor 3`` of s390 is CPU 3."""
    bare = text.rstrip(_DIGITS)
    digits = text[len(bare) :]
    return (bare.rstrip(), digits) if len(digits) <= _MAX_DIGITS else (text, "")


def _take_architecture(info: CpuInfo, key: str, value: str) -> None:
    """Take from one line what it gives away of the architecture and of KVM."""
    words = value.split()
    if key == "flags" and "fpu" in words:
        info.arch = "x86_64" if "lm" in words else "i686"
        info.kvm = "vmx" in words or "svm" in words
    elif key == "features" and "zarch" in words:
        info.arch = "s390x"
        info.kvm = "sie" in words
    elif key == "cpu architecture":
        info.arch = "aarch64" if value == "8" else "arm"
    elif key == "cpu" and value.startswith(("POWER", "Cell", "PPC")):
        info.arch = "ppc64"
    elif key == "isa" and value.startswith("rv"):
        info.arch = "riscv64" if value.startswith("rv64") else "riscv32"


def parse_cpuinfo(data: bytes, source: str) -> Topology:
    """Read a host from /proc/cpuinfo alone: its CPUs and, on x86, cores and packages; neither nodes nor memory.

    Raises
    ------
    InputError
        No processor is told.
    """
    info = read_cpuinfo(text_lines(data, source))
    if not info.processors:
        raise InputError("the text tells no processor", file=source)
    raw = RawHost(
        source=source,
        online=set(info.processors),
        arch=info.arch,
        model=info.model,
        kvm=info.kvm,
        pages_told=False,
    )
    raw.cores, raw.packages = group_by(info.cores), group_by(info.packages)
    return build(raw)
