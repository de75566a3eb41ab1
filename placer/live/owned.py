"""The part of a domain's XML that a plan decides, as plain values: to compare definitions and to name what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.units import libvirt_kib
from placer.read.text.xml import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_OWNED = (
    "cputune/vcpupin", "cputune/emulatorpin", "cputune/iothreadpin", "numatune", "memoryBacking/hugepages", "cpu/numa",
)  # fmt: skip
_HOLDERS = ("cputune", "memoryBacking", "cpu")
_MASKS = "devices/memory/source/nodemask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as planned: what it is, what was planned and what was found; None: nothing at all."""

    what: str
    planned: str | None
    found: str | None

    def __str__(self) -> str:
        """Return the difference as a phrase."""
        return f"{self.what}: {self.found or 'not set'}, planned {self.planned or 'not set'}"


def owned_values(xml: bytes, source: str) -> dict[str, str]:
    """Return all that a plan decides in a domain's XML, by name: sets of CPUs and nodes in their one short form.

    Raises
    ------
    InputError
        It is no XML.
    """
    root = parse_xml(xml, source)
    return dict(_values(root))


def differences(planned: Mapping[str, str], found: Mapping[str, str]) -> tuple[Difference, ...]:
    """Return what of `planned` is not so in `found`, and what is there without having been planned."""
    names = [*planned, *(name for name in found if name not in planned)]
    return tuple(
        Difference(what=name, planned=planned.get(name), found=found.get(name))
        for name in names
        if planned.get(name) != found.get(name)
    )


def value_edits(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return in words what of these values was changed, with both of them."""
    return [
        f"{one.what}: {one.planned or 'not set'} before, {one.found or 'not set'} now"
        for one in differences(before, now)
    ]


def same_domain(one: bytes, other: bytes) -> bool:
    """Tell whether two definitions of a domain are the same, however they are written.

    What a plan decides is compared by its meaning, the rest as canonical XML without white space between elements.
    """
    if one == other:
        return True
    first, second = parse_xml(one, "one"), parse_xml(other, "the other")
    return dict(_values(first)) == dict(_values(second)) and _canonical(_rest(first)) == _canonical(_rest(second))


def domain_edits(before: bytes, now: bytes) -> tuple[str, ...]:
    """Return in words what was changed in a domain's definition, none where the two are the same domain.

    What a plan decides and the name are told with both values; of the rest only the place, for it may hold passwords.
    """
    if same_domain(before, now):
        return ()
    old, new = parse_xml(before, "before"), parse_xml(now, "now")
    edits = []
    names = [root.findtext("name") or "" for root in (old, new)]
    if names[0] != names[1]:
        edits.append(f"it was {names[0]!r} and is {names[1]!r} now")
    edits += value_edits(dict(_values(old)), dict(_values(new)))
    return (*edits, *(edit for edit in _rest_edits(_rest(old), _rest(new), "") if edit != "name is another"))


def _values(root: _Element) -> Iterator[tuple[str, str]]:
    vcpu = root.find("vcpu")
    if vcpu is not None:
        if vcpu.get("cpuset"):
            yield "default CPUs", _set(vcpu.get("cpuset"))
        if vcpu.get("placement", "static") != "static":
            yield "vCPU placement", vcpu.get("placement", "")
    pins = {int(pin.get("vcpu", "-1")): _set(pin.get("cpuset")) for pin in root.findall("cputune/vcpupin")}
    for number, cpus in sorted(pins.items()):
        yield f"vCPU {number}", cpus
    for pin in root.findall("cputune/emulatorpin"):
        yield "emulator threads", _set(pin.get("cpuset"))
    pins = {int(pin.get("iothread", "-1")): _set(pin.get("cpuset")) for pin in root.findall("cputune/iothreadpin")}
    for number, cpus in sorted(pins.items()):
        yield f"IOThread {number}", cpus
    for policy in root.findall("numatune/memory"):
        yield "memory", _policy(policy)
    cells = {int(policy.get("cellid", "-1")): _policy(policy) for policy in root.findall("numatune/memnode")}
    for number, text in sorted(cells.items()):
        yield f"memory of cell {number}", text
    for number, mask in enumerate(root.findall(_MASKS)):
        yield f"nodes of memory device {number}", _set(mask.text)
    huge = root.find("memoryBacking/hugepages")
    if huge is not None:
        pages = (
            f"{page.get('size', '?')} {page.get('unit', 'KiB')}"
            + (f" for cells {_set(page.get('nodeset'))}" if page.get("nodeset") else "")
            for page in huge.findall("page")
        )
        yield "huge pages", ", ".join(pages) or "of the default size"
    for number, cell in enumerate(root.findall("cpu/numa/cell")):
        size_kib = libvirt_kib(cell.get("memory", "0"), cell.get("unit"))
        yield f"guest cell {cell.get('id', number)}", f"CPUs {_set(cell.get('cpus'))}, {size_kib} KiB"


def _policy(element: _Element) -> str:
    if element.get("placement") == "auto":
        return f"{element.get('mode', 'strict')}, placed by numad"
    return f"{element.get('mode', 'strict')} on node {_set(element.get('nodeset'))}"


def _set(text: str | None) -> str:
    return format_cpuset(parse_cpuset(text or ""))


def _rest(root: _Element) -> _Element:
    """Return a copy of what a plan never touches, in one form."""
    copy = deepcopy(root)
    for element in list(copy.iter()):
        if element is not copy and element.tail is not None and not element.tail.strip():
            element.tail = None
        if len(element) and element.text is not None and not element.text.strip():
            element.text = None
    for path in (*_OWNED, _MASKS):
        for element in copy.findall(path):
            _drop(element)
    for tag in _HOLDERS:
        for element in copy.findall(tag):
            if not len(element) and not element.attrib and not (element.text or "").strip():
                _drop(element)
    for vcpu in copy.findall("vcpu"):
        for name in ("cpuset", "placement"):
            vcpu.attrib.pop(name, "")
    # libvirt numbers a running domain; a definition has no such number.
    copy.attrib.pop("id", "")
    return copy


def _canonical(element: _Element) -> bytes:
    from lxml import etree

    return etree.tostring(element, method="c14n", with_comments=False)


def _rest_edits(before: _Element, now: _Element, path: str) -> Iterator[str]:
    """Yield the paths at which two elements differ; no values, for they may be passwords."""
    if _canonical(before) == _canonical(now):
        return
    own = [(sorted(element.attrib.items()), (element.text or "").strip()) for element in (before, now)]
    if own[0] != own[1]:
        yield f"{path or 'the domain element'} is another"
    children = [[child for child in element if isinstance(child.tag, str)] for element in (before, now)]
    for tag in sorted({str(child.tag) for group in children for child in group}):
        known = Counter(_canonical(child) for child in children[1] if child.tag == tag)
        gone = [child for child in children[0] if child.tag == tag and not _taken(known, child)]
        known = Counter(_canonical(child) for child in children[0] if child.tag == tag)
        new = [child for child in children[1] if child.tag == tag and not _taken(known, child)]
        where = f"{path}/{tag.rpartition('}')[2]}".lstrip("/")
        for old, young in zip(gone, new, strict=False):
            yield from _rest_edits(old, young, where)
        more = len(new) - len(gone)
        yield from [f"{where} is {'new' if more > 0 else 'gone'}"] * abs(more)


def _taken(known: Counter[bytes], element: _Element) -> bool:
    form = _canonical(element)
    known[form] -= 1
    return known[form] >= 0


def _drop(element: _Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
