"""What a guest's firmware tells of its cells, as QEMU takes it: latencies, bandwidths and caches (ACPI HMAT)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from placer.errors import InputError
from placer.model.plan import PlanVm
from placer.model.units import libvirt_kib

if TYPE_CHECKING:
    from lxml.etree import _Element

_HIERARCHY = ("memory", "first-level", "second-level", "third-level")
_ASSOCIATIVITY = {"none": "none", "direct": "direct", "full": "complex"}
_POLICY = {"none": "none", "writeback": "write-back", "writethrough": "write-through"}


def has_hmat(root: _Element | None) -> bool:
    """Tell whether a domain tells latencies, bandwidths or caches of its cells: then the machine says ``hmat=on``."""
    return root is not None and (
        root.find("cpu/numa/interconnects") is not None or root.find("cpu/numa/cell/cache") is not None
    )


def initiators(root: _Element | None, vm: PlanVm) -> Mapping[int, int]:
    """Return guest cell -> the cell whose vCPUs reach it first: itself, of a cell without vCPUs the one of least
    latency, else of most bandwidth, else the first with any. Empty where the domain tells nothing of it.
    """
    if root is None or not has_hmat(root):
        return {}
    runs = [number for number, cell in enumerate(vm.cells) if cell.vcpus]
    out = {}
    for number, cell in enumerate(vm.cells):
        told = [
            (element.tag == "bandwidth", sign * _number(element, "value"), _number(element, "initiator"))
            for tag, sign in (("latency", 1), ("bandwidth", -1))
            for element in root.findall(f"cpu/numa/interconnects/{tag}")
            if _number(element, "target") == number and element.get("cache") is None
        ]
        best = min((one for one in told if one[2] in runs), default=(False, 0, runs[0] if runs else number))
        out[number] = number if cell.vcpus else best[2]
    return out


def hmat_arguments(root: _Element | None) -> Iterator[str]:
    """Yield the ``-numa`` arguments of a domain's ``<interconnects>`` and the caches of its cells, these last as QEMU
    asks.

    Raises
    ------
    InputError
        A value is no number, or no word that libvirt knows.
    """
    for element in [] if root is None else root.findall("cpu/numa/interconnects/*"):
        if element.tag not in ("latency", "bandwidth"):
            continue
        level = _number(element, "cache") if element.get("cache") is not None else 0
        kind = _word(element, "type", {word: word for word in ("access", "read", "write")})
        # Latencies are nanoseconds on both sides, bandwidths KiB a second where no unit is said.
        value = str(_number(element, "value")) if element.tag == "latency" else f"{_kib(element)}K"
        if level >= len(_HIERARCHY):
            raise InputError(f"<{element.tag} cache='{level}'> of a domain: QEMU knows three levels")
        yield from (
            "-numa",
            f"hmat-lb,initiator={_number(element, 'initiator')},target={_number(element, 'target')},"
            f"hierarchy={_HIERARCHY[level]},data-type={kind}-{element.tag},{element.tag}={value}",
        )
    for position, cell in enumerate([] if root is None else root.findall("cpu/numa/cell")):
        number = _number(cell, "id") if cell.get("id") is not None else position
        for cache in sorted(cell.findall("cache"), key=lambda one: _number(one, "level")):
            size, line = cache.find("size"), cache.find("line")
            if size is None or line is None:
                continue
            shown = f"node-id={number},size={_kib(size)}K,level={_number(cache, 'level')}"
            kind = _word(cache, "associativity", _ASSOCIATIVITY)
            yield from (
                "-numa",
                f"hmat-cache,{shown},associativity={kind},policy={_word(cache, 'policy', _POLICY)}"
                f",line={_number(line, 'value')}",
            )


def _number(element: _Element, name: str) -> int:
    text = element.get(name, "").strip()
    if not (text.isascii() and text.isdecimal()):
        raise InputError(f"<{element.tag} {name}={text[:40]!r}> of a domain is no number")
    return int(text)


def _word(element: _Element, name: str, known: Mapping[str, str]) -> str:
    text = element.get(name, "").strip()
    if text not in known:
        raise InputError(f"<{element.tag} {name}={text[:40]!r}> of a domain: known are {', '.join(known)}")
    return known[text]


def _kib(element: _Element) -> int:
    return libvirt_kib(element.get("value", ""), element.get("unit"))
