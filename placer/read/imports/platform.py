"""What importers of platforms share: walks through JSON, quantities, and what is left behind, said in one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError, PlacerError
from placer.read.imports.entries import HostFiles, entry, imported, load_objects, said
from placer.read.imports.gathered import Imported
from placer.read.imports.libvirt import RESERVE_NOTE
from placer.read.text.located import LineMap

_QUANTITY = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?(?:(m|k|[MGTPE]|[KMGTPE]i)|[eE]\+?([0-9]{1,2}))?")
_FACTORS = {name: 1000**power for power, name in enumerate("kMGTPE", start=1)}
_FACTORS |= {f"{name}i": 1024**power for power, name in enumerate("KMGTPE", start=1)}
_NAMES_SHOWN = 5
MOST_CPUS = 10**5


@dataclass(slots=True)
class Platform:
    """What was read of a platform: entries of hosts, VMs and rules, and what of them is not carried over."""

    files: HostFiles
    hosts: dict[str, LineMap] = field(default_factory=dict)
    vms: list[LineMap] = field(default_factory=list)
    rules: list[LineMap] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def leave(self, what: str, name: str) -> None:
        """Note that something of a VM is not carried over."""
        self.left.setdefault(what, []).append(name)

    def host(self, tree: LineMap, name: str, **keys: Any) -> None:
        """Add a host: a host file of its name stands above the nodes given."""
        if (file := self.files.find(name)) is not None:
            keys = {key: value for key, value in keys.items() if key not in ("nodes", "distances", "assumptions")}
            keys["topology"] = file
        made = entry(name=name, **keys)
        made.line = tree.line
        self.hosts[name] = made

    def vm(self, tree: LineMap, **keys: Any) -> None:
        """Add a VM."""
        made = entry(**keys)
        made.line = tree.line
        self.vms.append(made)

    def imported(self, tool: str, source: Path, folder: Path) -> Imported:
        """Return the fleet, with a warning for each thing that was left behind.

        Raises
        ------
        InputError
            The entries make no sound inventory.
        """
        for what, names in sorted(self.left.items()):
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            self.warnings.append(f"{what} of VM {', '.join(sorted(names)[:_NAMES_SHOWN])}{more} is not carried over")
        if self.files.unused:
            self.warnings.append(f"no host is called like the host files {', '.join(self.files.unused)}")
        self.warnings.append(RESERVE_NOTE)
        return imported(tool, source, folder, list(self.hosts.values()), self.vms, self.rules, self.warnings)


def named_faults(error: PlacerError, name: str, tree: LineMap, file: Path, what: str = "VM") -> list[Fault]:
    """Return the faults of one VM or other object, with its name and line."""
    return [
        Fault(
            message=f"{what} {name!r}: {fault.message}",
            file=fault.file or str(file),
            line=tree.line,
            cure=fault.cure,
        )
        for fault in error.faults
    ]


def flat_node(cpus: int, memory_kib: int) -> dict[str, Any]:
    """Return the keys of a host of which only totals are told: one node."""
    nodes = [{"id": "0", "cpus": f"0-{cpus - 1}", "memory": f"{memory_kib}KiB"}]
    return {"nodes": nodes, "assumptions": ["no NUMA nodes are told: one node is assumed"]}


def at(tree: Any, *path: str) -> Any:
    """Return what stands at a path of keys, None where there is nothing."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def text_at(tree: Any, *path: str) -> str | None:
    """Return the text at a path of keys; None where there is none."""
    above = at(tree, *path[:-1])
    return said(above, path[-1]) if isinstance(above, Mapping) else None


def listed(value: Any) -> Iterator[LineMap]:
    """Yield the objects of a list, or the one that stands alone where a tool prints no list of one."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, LineMap):
            yield item


def whole(text: str | None, default: int = 0) -> int:
    """Return a whole number of at most nine digits; the default where the text is none."""
    digits = (text or "").partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else default


def counted(tree: Any, key: str, default: int = 1) -> int:
    """Return a whole number at a key; the default where nothing or 0 stands there, as platforms leave it out.

    Raises
    ------
    InputError
        It is no whole number.
    """
    text = text_at(tree, key)
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(f"{key} is {text[:40]!r}, not a whole number")
    return whole(text) or default


def quantity(text: str | None) -> int | None:
    """Return a quantity of Kubernetes (``64Gi``, ``500m``) in its unit, rounded up; None where there is none.

    Raises
    ------
    InputError
        It is no quantity.
    """
    if text is None:
        return None
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise InputError(f"{text[:40]!r} is no quantity", cure="write it as Kubernetes does: 64Gi, 2, 500m")
    digits = found[2] or ""
    scaled: int = int(found[1] + digits) * _FACTORS.get(found[3] or "", 1) * 10 ** int(found[4] or 0)
    divisor: int = 10 ** len(digits) * (1000 if found[3] == "m" else 1)
    return -(-scaled // divisor)


def objects_below(path: Path, *keys: str) -> list[LineMap]:
    """Return the objects of a document: those below one of these keys, at any of two levels, else its own.

    Raises
    ------
    InputError
        The document is no JSON of objects.
    """
    found: list[LineMap] = []
    for tree in load_objects(path):
        inner = next((tree[key] for key in keys if key in tree), None)
        if isinstance(inner, LineMap):
            inner = next((inner[key] for key in keys if key in inner), inner)
        found.extend([tree] if inner is None else listed(inner))
    return found
