"""One pass over a domain's XML: typed access to what stands in it, with every fault and every note collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from placer.errors import Fault, InputError
from placer.model.cpuset import MAX_CPU, parse_cpuset
from placer.model.units import libvirt_kib
from placer.read.text.xml import elements, line_of

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_COUNT = MAX_CPU + 1
"""No domain has more vCPUs, IOThreads or cells; a larger figure is damage, and is never expanded into a set."""


class DomainScan:
    """The root of a domain with what reading it found.

    `faults` stop the reading at its end, `notes` travel with the VM.
    """

    def __init__(self, root: _Element, source: str) -> None:
        self.root = root
        self.source = source
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self._below: dict[str, dict[str, list[_Element]]] = {}

    def note(self, element: _Element, text: str) -> None:
        """Add a plain sentence on what could not be carried over, with its line."""
        self.notes.append(f"line {line_of(element)}: {text}")

    def fault(self, element: _Element, message: str, *, field: str | None = None, cure: str | None = None) -> None:
        """Add a fault at this element."""
        self.faults.append(
            Fault(
                message=message, file=self.source, line=line_of(element), field=field or f"<{element.tag}>", cure=cure
            )
        )

    def raise_faults(self) -> None:
        """Raise one InputError with every fault found so far, if there is any."""
        if self.faults:
            raise InputError(self.faults)

    def find(self, path: str) -> _Element | None:
        """Return the first element at this path of names below the root."""
        found = self.all(path)
        return found[0] if found else None

    def all(self, path: str) -> list[_Element]:
        """Return all elements at this path of names below the root, in their order."""
        parent, _, name = path.rpartition("/")
        if parent not in self._below:
            # Two dozen paths of a domain are asked for: what stands below each parent is sorted once.
            below: dict[str, list[_Element]] = {}
            for element in self.all(parent) if parent else (self.root,):
                for child in elements(element):
                    below.setdefault(str(child.tag), []).append(child)
            self._below[parent] = below
        return self._below[parent].get(name, [])

    def cpuset(self, element: _Element, attribute: str) -> frozenset[int] | None:
        """Return the CPU or node set of an attribute; None where it is missing, empty (``0,^0``) or a fault."""
        text = element.get(attribute)
        if text is None:
            return None
        try:
            chosen = parse_cpuset(text)
        except InputError as error:
            self.fault(
                element, error.faults[0].message, field=f"<{element.tag} {attribute}>", cure=error.faults[0].cure
            )
            return None
        if not chosen:
            self.note(element, f"<{element.tag}> has an empty {attribute}; it is read as not given")
            return None
        return chosen

    def number(self, element: _Element, text: str | None, *, field: str | None = None, least: int = 0) -> int | None:
        """Return a whole number from `least` to `MAX_COUNT`; None where the text is missing or a fault."""
        if text is None:
            return None
        digits = text.strip()
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else -1
        if not least <= value <= MAX_COUNT:
            self.fault(element, f"{digits[:40]!r} is no whole number from {least} to {MAX_COUNT}", field=field)
            return None
        return value

    def size_kib(self, element: _Element, text: str | None) -> int | None:
        """Return a size in KiB from its text and the element's ``unit``; None where it is missing or a fault."""
        if text is None:
            return None
        try:
            return libvirt_kib(text, element.get("unit"))
        except InputError as error:
            self.fault(element, error.faults[0].message, cure="libvirt takes a whole number and a unit such as KiB")
            return None

    def name_unknown(self, parent: _Element | None, known: Iterable[str], where: str) -> None:
        """Note each kind of child of `parent` that is not among `known`: it is kept, and not planned with."""
        if parent is None:
            return
        names = frozenset(known)
        seen: dict[str, tuple[_Element, int]] = {}
        for child in elements(parent):
            if child.tag not in names:
                first, count = seen.get(str(child.tag), (child, 0))
                seen[str(child.tag)] = (first, count + 1)
        for tag, (first, count) in seen.items():
            often = f" ({count} times)" if count > 1 else ""
            self.note(first, f"{where} <{tag}>{often} is not understood; it is kept as it is and not planned with")

    def name_unknown_attributes(self, element: _Element, known: Iterable[str], where: str) -> None:
        """Note each attribute of `element` that is not among `known`."""
        for name in sorted(set(map(str, element.attrib)) - set(known)):
            value = (element.get(name) or "")[:60]
            self.note(element, f"{where} {name}={value!r} is not understood; it is kept as it is and not planned with")
