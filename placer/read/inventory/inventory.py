"""``placer.inventory/v1``: the file a person writes, read into a fleet with every fault named at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from placer.errors import InputError, nearest
from placer.model.cpuset import one_document
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, plainly
from placer.model.vm import ORDINARY_PAGE_KIB, Vm
from placer.read.collector import without_collector
from placer.read.documents.kinds import cure_of_missing, refuse_directory, refuse_other
from placer.read.inventory.entries import MAX_COUNT, check_counts, line_of
from placer.read.inventory.files import Files
from placer.read.inventory.hosts import HostSection
from placer.read.inventory.rules import LabelIndex, RuleBuilder
from placer.read.inventory.schema import SCHEMA
from placer.read.inventory.types import shown
from placer.read.inventory.vms import VmSection
from placer.read.text.located import FaultLog, LineList, LineMap
from placer.read.text.yaml_lines import MAX_BYTES, decode, load_lines

_SECTIONS = ("hosts", "vms", "rules")
_LARGE = 1024 * 1024


def read_fleet(
    path: str | Path, *, running_only: bool = False, max_hosts: int = MAX_COUNT, max_vms: int = MAX_COUNT
) -> Fleet:
    """Read an inventory.

    Parameters
    ----------
    path
        A YAML or JSON file of schema ``placer.inventory/v1``; paths in it are relative to its folder.
    running_only
        Leave out VMs that say ``running: false``.
    max_hosts, max_vms
        Refuse an inventory that stands for more: a count too many would fill the memory.

    Raises
    ------
    InputError
        All that is wrong with it and with the files it names: one fault each, with file, line, field and cure.
    """
    source = str(path)
    try:
        refuse_directory(path, "inventory")
        if not Path(path).is_file():
            what = "is not a file" if Path(path).exists() else "does not exist"
            raise InputError(f"the inventory {what}", file=source, cure=cure_of_missing(path, "inventory"))
        if Path(path).stat().st_size > MAX_BYTES:
            raise InputError(f"the file has more than {MAX_BYTES} bytes", file=source)
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", file=source) from None
    return parse_fleet(data, source, Path(path).parent, running_only=running_only, max_hosts=max_hosts, max_vms=max_vms)


def parse_fleet(
    data: bytes,
    source: str | None,
    base_dir: str | Path,
    *,
    running_only: bool = False,
    max_hosts: int = MAX_COUNT,
    max_vms: int = MAX_COUNT,
) -> Fleet:
    """Read an inventory from bytes; `source` names it in messages, `base_dir` is what paths in it are relative to.

    Raises
    ------
    InputError
        As `read_fleet`.
    """
    with without_collector(), one_document():
        log = FaultLog(source)
        tree = _document(data, source, log)
        files = Files(Path(base_dir))
        most = {"hosts": max_hosts, "vms": max_vms}
        sections = Sections(*((_section(tree, name, log, most.get(name, MAX_COUNT)), log) for name in _SECTIONS))
        fleet = fleet_of(sections, files)
        kept = tuple(vm for vm in fleet.vms if vm.running) if running_only else fleet.vms
        return replace(fleet, vms=kept, path=source, digest=files.digest(data))


class Sections(NamedTuple):
    """The entries of hosts, VMs and rules, each with the log of the file that they come from."""

    hosts: tuple[LineList, FaultLog]
    vms: tuple[LineList, FaultLog]
    rules: tuple[LineList, FaultLog]


def fleet_of(sections: Sections, files: Files) -> Fleet:
    """Return the fleet of these entries; its digest covers nothing yet.

    Raises
    ------
    InputError
        All faults of the logs together.
    """
    hosts = HostSection(files, sections.hosts[1])
    hosts.read(sections.hosts[0])
    vms = VmSection(hosts.made, frozenset(hosts.broken), files, sections.vms[1])
    vms.read(sections.vms[0])
    rules, warnings = _rules(*sections.rules, hosts, vms, files)
    _check_units(sections)
    sections.hosts[1].raise_if_any()
    called = {host.labels["name"] for host in hosts.made.values() if "name" in host.labels}
    return Fleet(
        hosts=tuple(hosts.made.values()),
        vms=tuple(vms.made),
        rules=(*rules, *(plainly(drain, called) for drain in hosts.drains)),
        base_dir=str(files.base_dir),
        warnings=tuple(
            dict.fromkeys([*hosts.warnings, *vms.warnings, *_untold_pages(hosts.made, vms.made), *warnings])
        ),
    )


def _untold_pages(hosts: Mapping[str, Host], vms: Sequence[Vm]) -> Iterator[str]:
    """Say where VMs with huge pages may meet hosts whose files tell no pools."""
    untold = [name for name, host in hosts.items() if not host.topology.pages_told]
    if untold and any(size not in (None, ORDINARY_PAGE_KIB) for vm in vms for size in vm.spec.page_sizes):
        named = f"host {untold[0]!r}" if len(untold) == 1 else f"{len(untold)} hosts, {untold[0]!r} among them,"
        yield (
            f"what was read of {named} does not tell pools of huge pages: VMs with such pages are taken to have them "
            "out of the memory of their nodes"
        )


def _document(data: bytes, source: str | None, log: FaultLog) -> LineMap:
    refuse_other(
        data, "inventory", source, cure="the fleet comes first: placer check FLEET PLAN, placer whatif FLEET SCENARIO"
    )
    text = decode(data, source)
    if len(text) > _LARGE and "placer.inventory/" not in text:
        raise InputError(
            f"this is no inventory: {SCHEMA} is nowhere in it",
            file=source,
            cure=f"the first line of one is: schema: {SCHEMA}",
        )
    tree = load_lines(text, log)
    if not isinstance(tree, LineMap):
        raise InputError(
            f"{shown(tree)} is not an inventory",
            file=source,
            line=1,
            cure=f"the first line of one is: schema: {SCHEMA}",
        )
    schema = tree.get("schema")
    if schema != SCHEMA:
        line = (tree.lines or {}).get("schema", 1)
        message = f"{shown(schema)} is not a schema that placer reads" if "schema" in tree else "is missing"
        log.add(message, line=line, field="schema", cure=f"write schema: {SCHEMA}")
    for key in tree:
        if key not in ("schema", *_SECTIONS):
            near = nearest(key, ("schema", *_SECTIONS))
            log.add(
                "unknown key",
                line=(tree.lines or {}).get(key),
                field=key,
                cure=f"did you mean {near}?" if near else f"known here: schema, {', '.join(_SECTIONS)}",
            )
    if not tree.get("hosts"):
        log.add("no hosts", line=(tree.lines or {}).get("hosts", 1), field="hosts", cure="list at least one host")
    return tree


def _section(tree: LineMap, name: str, log: FaultLog, most: int) -> LineList:
    section = tree.get(name)
    if section is None:
        return LineList()
    if not isinstance(section, LineList):
        log.add(f"{shown(section)} is not a list", line=(tree.lines or {}).get(name), field=name)
        return LineList()
    check_counts(section, name, log, most)
    return section


def _rules(
    section: LineList, log: FaultLog, hosts: HostSection, vms: VmSection, files: Files
) -> tuple[list[Rule], list[str]]:
    if not section:
        return [], []
    builder = RuleBuilder(
        LabelIndex([*((vm.name, vm.spec.labels) for vm in vms.made), *vms.broken.items()]),
        LabelIndex([*((host.name, host.labels) for host in hosts.made.values()), *hosts.broken.items()]),
        files,
        log,
    )
    rules = [builder.build(tree, number, line_of(section, number)) for number, tree in enumerate(section)]
    return [rule for made in rules for rule in made], builder.warnings


def _amounts(sections: Sections) -> Iterator[tuple[str, int, Any, str, str]]:
    """Yield each amount of a free resource: section, number and name of the entry, the resource, the amount's text."""
    for section, entries in (("hosts", sections.hosts[0]), ("vms", sections.vms[0])):
        for number, entry in enumerate(entries):
            if not isinstance(entry, LineMap):
                continue
            nodes = entry.get("nodes") if section == "hosts" else None
            for holder in (entry, *(nodes if isinstance(nodes, LineList) else ())):
                resources = holder.get("resources") if isinstance(holder, LineMap) else None
                if isinstance(resources, LineMap):
                    for name, amount in resources.items():
                        if isinstance(amount, str) and amount != "0":
                            yield section, number, entry.get("name", number), name, amount


def _check_units(sections: Sections) -> None:
    """Refuse a resource that is a size in one place and a bare count in another: nobody knows what one of it is."""
    words = {True: "a bare number", False: "a size"}
    first: dict[str, tuple[bool, str]] = {}
    for section, number, entry, name, amount in _amounts(sections):
        bare, where = first.setdefault(name, (amount.isdigit(), f"{section}[{entry}]"))
        if amount.isdigit() is not bare:
            entries, log = sections.hosts if section == "hosts" else sections.vms
            log.add(
                f"{words[not bare]}, but {words[bare]} in {where}",
                line=line_of(entries, number),
                field=f"{section}[{entry}].resources.{name}",
                cure="give it a unit everywhere or nowhere",
            )
