"""Nova flavors as entries of an inventory: ``hw:`` extra specs in placer's words, the rest listed.

The meaning of each extra spec is that of Nova's documentation, "Extra Specs" and "CPU topologies" (2024.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from placer.errors import InputError
from placer.model.cpuset import format_cpuset, parse_cpuset
from placer.model.units import format_kib
from placer.read.imports.entries import said

_PROPERTY = re.compile(r"([^=,]+)='((?:[^'\\]|\\.)*)'\s*(?:,|$)")
_PAGE = re.compile(r"([0-9]{1,12})\s*([KMG]?)(?:i?B)?", re.IGNORECASE)


def properties(tree: Any) -> dict[str, str]:
    """Return the properties of a flavor, an aggregate or a server: a mapping, or ``a='1', b='2'`` of older clients."""
    if isinstance(tree, Mapping):
        return {str(key): str(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, str):
        return dict(_pairs(tree))
    return {}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield ``a='1', b='2'`` pair by pair; what is none is passed over up to the next comma, in linear time."""
    at = 0
    while 0 <= at < len(text):
        match = _PROPERTY.match(text, at)
        if match is not None:
            yield match[1].strip(), match[2]
            at = match.end()
        else:
            at = text.find(",", at) + 1 or len(text)


class Flavors:
    """Translates flavors; what cannot be carried over is collected in `left_behind` by property."""

    def __init__(self, device_kinds: frozenset[str], largest_page_kib: int | None) -> None:
        self.device_kinds = device_kinds
        self.largest_page_kib = largest_page_kib
        self.left_behind: dict[str, set[str]] = {}

    def entry(self, flavor: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a VM of this flavor.

        Raises
        ------
        InputError
            The flavor lacks vCPUs or memory, or its cells do not add up as Nova demands.
        """
        name = said(flavor, "Name", "name") or said(flavor, "ID") or "?"
        specs = properties(flavor.get("Properties", flavor.get("properties")))
        vcpus = _whole(said(flavor, "VCPUs", "vcpus"), f"flavor {name}: VCPUs")
        ram = _whole(said(flavor, "RAM", "ram"), f"flavor {name}: RAM")
        used: set[str] = set()

        def spec(key: str) -> str | None:
            used.add(key)
            value = specs.get(key, "").strip()
            return value or None

        keys: dict[str, Any] = {"vcpus": vcpus, "memory": f"{ram}MiB"}
        policy = (spec("hw:cpu_policy") or "shared").lower()
        keys["cpu_policy"] = policy
        if mask := spec("hw:cpu_dedicated_mask"):
            keys["dedicated_vcpus"] = _mask(mask, vcpus, name)
        if (threads := spec("hw:cpu_thread_policy")) and policy != "shared":
            keys["thread_policy"] = threads.lower()
        emulator = spec("hw:emulator_threads_policy")
        if policy != "shared":
            # Nova's share is the host's shared CPUs, placer's default; without the spec it is the VM's own CPUs.
            keys["emulator_threads"] = {None: "share", "share": None, "isolate": "isolate"}.get(emulator, emulator)
        page = spec("hw:mem_page_size")
        keys["page_size"] = self._page(page, name) if page else None
        keys["cells"] = self._cells(specs, used, vcpus, ram, name, implied=policy != "shared" or page is not None)
        keys["devices"] = self._devices(spec("pci_passthrough:alias"), spec("hw:pci_numa_affinity_policy"), name)
        keys["labels"] = {"flavor": name}
        for key in sorted(set(specs) - used):
            if not key.startswith("aggregate_instance_extra_specs:"):
                self._leave(key, name)
        return keys

    def _leave(self, what: str, flavor: str) -> None:
        self.left_behind.setdefault(what, set()).add(flavor)

    def _page(self, text: str, flavor: str) -> str | None:
        """Return a page size: Nova takes KiB without a unit, 1024 as the base of any unit, and three words."""
        word = text.lower()
        if word == "small":
            return None
        if word == "any":
            self._leave("hw:mem_page_size=any (planned on ordinary pages)", flavor)
            return None
        if word == "large":
            size = self.largest_page_kib or 2048
            self._leave(f"hw:mem_page_size=large (planned on pages of {format_kib(size)})", flavor)
            return format_kib(size)
        match = _PAGE.fullmatch(text.strip())
        if match is None:
            raise InputError(f"flavor {flavor}: hw:mem_page_size {text!r} is no page size")
        return format_kib(int(match[1]) * {"": 1, "K": 1, "M": 1024, "G": 1024**2}[match[2].upper()])

    def _cells(
        self, specs: Mapping[str, str], used: set[str], vcpus: int, ram: int, flavor: str, *, implied: bool
    ) -> Any:
        """Return the guest's cells: Nova gives one where CPUs are pinned or pages are asked for, else none."""
        used.add("hw:numa_nodes")
        if "hw:numa_nodes" not in specs:
            return "1" if implied else "none"
        count = _whole(specs["hw:numa_nodes"], f"flavor {flavor}: hw:numa_nodes")
        listed = []
        for cell in range(count):
            cpus, memory = specs.get(f"hw:numa_cpus.{cell}"), specs.get(f"hw:numa_mem.{cell}")
            used |= {f"hw:numa_cpus.{cell}", f"hw:numa_mem.{cell}"}
            if cpus is not None and memory is not None:
                amount = _whole(memory, f"flavor {flavor}: hw:numa_mem.{cell}")
                listed.append({"cpus": format_cpuset(parse_cpuset(cpus)), "memory": f"{amount}MiB"})
        if not listed:
            return str(count)
        if len(listed) < count:
            raise InputError(f"flavor {flavor}: hw:numa_cpus.N and hw:numa_mem.N name {len(listed)} of {count} cells")
        return listed

    def _devices(self, alias: str | None, affinity: str | None, flavor: str) -> list[dict[str, str]]:
        """Return the PCI devices by alias; those of which no host file tells are left behind."""
        policy = "preferred" if affinity in ("preferred", "socket") else "required"
        devices = []
        for part in (alias or "").split(","):
            kind, _, count = part.strip().partition(":")
            if kind and kind in self.device_kinds:
                devices.append({"kind": kind, "policy": policy, "count": count or "1"})
            elif kind:
                self._leave(f"pci_passthrough:alias {kind} (no host file has such devices)", flavor)
        return devices


def aggregate_wishes(flavor: Mapping[str, Any]) -> dict[str, str]:
    """Return the aggregate properties that hosts of this flavor must have."""
    prefix = "aggregate_instance_extra_specs:"
    specs = properties(flavor.get("Properties", flavor.get("properties")))
    return {key.removeprefix(prefix): value for key, value in specs.items() if key.startswith(prefix)}


def _mask(text: str, vcpus: int, flavor: str) -> str:
    """Return the dedicated vCPUs; a mask that begins with an exclusion takes all others."""
    every = f"0-{vcpus - 1}," if text.lstrip().startswith("^") else ""
    cpus = parse_cpuset(every + text)
    if not cpus:
        raise InputError(f"flavor {flavor}: hw:cpu_dedicated_mask {text!r} holds no vCPU")
    return format_cpuset(cpus)


def _whole(text: str | None, what: str) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 12:
        raise InputError(f"{what} is {text!r}, not a whole number")
    return int(text)
