"""Tables as an inventory: a map says what each row is, in the inventory's own words with columns in braces."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from placer.errors import InputError, PlacerError
from placer.model.cpuset import format_cpuset
from placer.model.units import parse_kib
from placer.read.collector import without_collector
from placer.read.hosts.host import read_file
from placer.read.imports.gathered import Imported
from placer.read.imports.libvirt import comments
from placer.read.imports.map_expressions import Expressions, Row
from placer.read.imports.table_file import Table, read_table
from placer.read.inventory.files import Files
from placer.read.inventory.inventory import Sections, fleet_of
from placer.read.inventory.types import shown
from placer.read.text.located import FaultLog, LineList, LineMap, field_path, locate
from placer.read.text.yaml_lines import decode, load_lines

SCHEMA = "placer.map/v1"
_TABLES = ("hosts", "vms")
_TABLE_KEYS = ("file", "sheet", "delimiter", "encoding", "thousands", "where", "join", "entry")
_JOIN_KEYS = ("file", "sheet", "delimiter", "encoding", "on", "key")
_MAX_NODES = 1024
_MAX_CPUS_OF_NODE = 8192


@dataclass(frozen=True, slots=True)
class _Source:
    """A table of the map after joins and ``where``: rows end with their own number."""

    columns: tuple[str, ...]
    rows: list[Row]
    lines: list[int]
    file: str


def import_table(map_file: Path, *, folder: Path, files: Mapping[str, Path] | None = None) -> Imported:
    """Read hosts and VMs from tables.

    Parameters
    ----------
    map_file
        A map of schema ``placer.map/v1``; tables that it names are relative to it.
    folder
        Where the inventory will stand: host files and domain XML that entries name are relative to that.
    files
        Tables in place of those that the map names, by ``hosts`` and ``vms``.

    Raises
    ------
    InputError
        The map or a table has faults: each with its line in the map, or in the table where a row is at fault.
    MissingToolError
        A workbook is named and python-calamine is not installed.
    """
    with without_collector():
        return _Importer(map_file, folder, files or {}).imported()


class _Importer:
    def __init__(self, map_file: Path, folder: Path, files: Mapping[str, Path]) -> None:
        self.map_file = map_file
        self.folder = folder
        self.files = files
        self.log = FaultLog(str(map_file))
        self.warnings: list[str] = []
        self.sources: dict[str, _Source] = {}
        self.root: Any = None

    def imported(self) -> Imported:
        data = read_file(self.map_file, str(self.map_file))
        tree = load_lines(decode(data, str(self.map_file)), self.log)
        self.root = tree
        if not isinstance(tree, LineMap) or tree.get("schema") != SCHEMA:
            self.log.add("this is no map", line=1, cure=f"the first line of one is: schema: {SCHEMA}")
            self.log.raise_if_any()
        self._known(tree, ("schema", *_TABLES, "rules"))
        entries = {name: self._entries(tree.get(name), name) for name in _TABLES if tree.get(name) is not None}
        if "hosts" not in entries:
            self.log.add("is missing", line=1, field="hosts", cure="say which table has the hosts")
        self.log.raise_if_any()
        rules = self._rules(tree.get("rules"))
        self.log.raise_if_any()
        empty = (LineList(), self.log)
        files = Files(self.folder)
        fleet = fleet_of(Sections(entries["hosts"], entries.get("vms", empty), (rules, self.log)), files)
        warnings = tuple(dict.fromkeys([*self.warnings, *fleet.warnings]))
        fleet = replace(fleet, rules=tuple(replace(rule, line=None) for rule in fleet.rules), warnings=warnings)
        read = hashlib.sha256(data).hexdigest()[:12]
        return Imported(fleet=fleet, comments=comments(warnings, f"tables by {self.map_file.name} ({read})"))

    def _line(self, *path: str | int) -> int | None:
        """Return the line of a part of the map."""
        return locate(self.root, path)[0]

    def _known(self, tree: LineMap, keys: tuple[str, ...], *path: str | int) -> None:
        for key in tree:
            if key not in keys:
                line, field = self._line(*path, key), field_path("", (*path, key))
                self.log.add("unknown key", line=line, field=field, cure=f"known here: {', '.join(keys)}")

    def _entries(self, tree: Any, name: str) -> tuple[LineList, FaultLog]:
        """Return the entries of a table as an inventory would hold them, each on the line of its row."""
        entry = tree.get("entry") if isinstance(tree, LineMap) else None
        if not isinstance(tree, LineMap) or not isinstance(entry, LineMap):
            self.log.add("is not a mapping with an entry", field=name, cure="say file and entry")
            return LineList(), self.log
        self._known(tree, _TABLE_KEYS, name)
        source = self._source(tree, name)
        if source is None:
            return LineList(), self.log
        self.sources[name] = source
        thousands = tree.get("thousands")
        expressions = Expressions(source.columns, self.log, thousands if isinstance(thousands, str) else None)
        make = expressions.compile(entry, f"{name}.entry", self._line(name, "entry"))
        self._tell_unused(tree, source, expressions.used, name)
        made = LineList(1, source.lines)
        if self.log.faults:
            return made, self.log
        log = FaultLog(source.file, self.log)
        for row, number in zip(source.rows, source.lines, strict=True):
            one = make(row) or LineMap()
            one.line = number
            if name == "hosts":
                _number_cpus(one, log, number)
            made.append(one)
        return made, log

    def _tell_unused(self, tree: LineMap, source: _Source, used: set[str], name: str) -> None:
        """Say which columns are left behind; those that choose or join rows are used too."""
        said = used | set(tree.get("where") or ())
        left = [column for column in source.columns if column not in said and column]
        if left:
            self.warnings.append(f"columns of the {name} table that the map does not use: {', '.join(left)}")

    def _source(self, tree: LineMap, name: str) -> _Source | None:
        table = self._table(tree, (name,), self.files.get(name))
        if table is None:
            return None
        columns = list(table.columns)
        rows = [list(row) for row in table.rows]
        joins = tree.get("join")
        for number, join in enumerate(joins if isinstance(joins, LineList) else [joins] if joins is not None else []):
            path = (name, "join", number) if isinstance(joins, LineList) else (name, "join")
            self._join(join, path, columns, rows)
        numbered: list[Row] = [(*row, str(number)) for number, row in enumerate(rows)]
        keep = self._where(tree.get("where"), (name, "where"), columns)
        chosen = [n for n, row in enumerate(numbered) if all(row[place] in values for place, values in keep)]
        if len(chosen) < len(numbered):
            self.warnings.append(f"{len(numbered) - len(chosen)} rows of {table.file} are left out by where")
        return _Source(tuple(columns), [numbered[n] for n in chosen], [table.lines[n] for n in chosen], table.file)

    def _table(self, tree: LineMap, path: tuple[str | int, ...], given: Path | None) -> Table | None:
        file = tree.get("file")
        if given is None and not isinstance(file, str):
            field = field_path("", (*path, "file"))
            self.log.add("is missing", line=self._line(*path), field=field, cure="name the table")
            return None
        options = {key: tree[key] for key in ("sheet", "delimiter", "encoding") if isinstance(tree.get(key), str)}
        try:
            return read_table(given if given is not None else self.map_file.parent / str(file), **options)
        except InputError as error:
            self.log.take(error)
            return None

    def _join(self, tree: Any, path: tuple[str | int, ...], columns: list[str], rows: list[list[str]]) -> None:
        """Add the columns of another table to the rows that it has a row for; the others get empty cells."""
        field, line = field_path("", path), self._line(*path)
        if not isinstance(tree, LineMap) or not isinstance(tree.get("on"), str) or not isinstance(tree.get("key"), str):
            cure = 'write {file: racks.csv, on: "{host}", key: name}'
            self.log.add("a join says file, on and key", line=line, field=field, cure=cure)
            return
        self._known(tree, _JOIN_KEYS, *path)
        table = self._table(tree, path, None)
        if table is None:
            return
        if tree["key"] not in table.columns:
            self.log.add(f"the table has no column {tree['key']!r}", line=line, field=f"{field}.key")
            return
        key = table.columns.index(tree["key"])
        added = [n for n, column in enumerate(table.columns) if n != key and column not in columns]
        on = Expressions(columns, self.log).template(tree["on"], f"{field}.on", line)
        found: dict[str, tuple[str, ...]] = {}
        for number, row in enumerate(table.rows):
            if row[key] in found:
                self.log.add(f"{shown(row[key])} is here twice", file=table.file, line=table.lines[number], field=field)
            found[row[key]] = row
        columns.extend(table.columns[n] for n in added)
        without = 0
        for number, cells in enumerate(rows):
            match = found.get(on((*cells, str(number))) or "")
            without += match is None
            cells.extend(match[n] if match is not None else "" for n in added)
        if without:
            self.warnings.append(f"{table.file} has no row for {without} of {len(rows)} rows")

    def _where(self, tree: Any, path: tuple[str | int, ...], columns: list[str]) -> list[tuple[int, frozenset[str]]]:
        """Return which cells a row must hold to be taken."""
        chosen = []
        for column, values in tree.items() if isinstance(tree, LineMap) else ():
            place = Expressions(columns, self.log).place(column, field_path("", path), self._line(*path, column))
            listed = values if isinstance(values, LineList) else [values]
            chosen.append((place, frozenset("" if value is None else str(value) for value in listed)))
        return chosen

    def _rules(self, tree: Any) -> LineList:
        """Return the rules: as they stand, or one for each value of a column."""
        made = LineList(1, [])
        for number, rule in enumerate(tree if isinstance(tree, LineList) else ()):
            line = self._line("rules", number) or 1
            if not isinstance(rule, LineMap) or "for_each" not in rule:
                made.append(rule)
                made.lines = [*(made.lines or ()), line]
                continue
            for one in self._rule_of_each(rule, number):
                made.append(one)
                made.lines = [*(made.lines or ()), line]
        return made

    def _rule_of_each(self, tree: LineMap, number: int) -> list[Any]:
        field, line = f"rules[{number}]", self._line("rules", number)
        self._known(tree, ("for_each", "rule"), "rules", number)
        each = tree["for_each"]
        source = self.sources.get(str(each.get("table"))) if isinstance(each, LineMap) else None
        if source is None or not isinstance(each.get("column"), str) or not isinstance(tree.get("rule"), LineMap):
            cure = 'write {for_each: {table: vms, column: group}, rule: {anti_affinity: {group: "{group}"}}}'
            self.log.add("for_each says table and column, and a rule beside it", line=line, field=field, cure=cure)
            return []
        self._known(each, ("table", "column", "where"), "rules", number, "for_each")
        expressions = Expressions(source.columns, self.log)
        place = expressions.place(each["column"], f"{field}.for_each.column", line)
        keep = self._where(each.get("where"), ("rules", number, "for_each", "where"), list(source.columns))
        make = expressions.compile(tree["rule"], f"{field}.rule", line)
        if self.log.faults:
            return []
        first: dict[str, Row] = {}
        for row in source.rows:
            if row[place] and all(row[at] in values for at, values in keep):
                first.setdefault(row[place], row)
        return [make(row) for row in first.values()]


def _number_cpus(entry: LineMap, log: FaultLog, line: int) -> None:
    """Turn numbers of CPUs into CPU numbers: ``equal_nodes``, and ``cpu_count`` of a node, are words of maps only.

    CPUs are numbered as Linux does: first threads over all nodes in order, then second threads.
    """
    if (equal := entry.pop("equal_nodes", None)) is not None:
        _equal_nodes(entry, equal, log, line)
    nodes = entry.get("nodes")
    if not isinstance(nodes, LineList) or not any(isinstance(node, LineMap) and "cpu_count" in node for node in nodes):
        return
    threads = _count(entry.get("threads_per_core", "1"), 8)
    counts: list[int] = []
    for node in nodes:
        count = _count(node.pop("cpu_count", "0"), _MAX_CPUS_OF_NODE) if isinstance(node, LineMap) else None
        if count is None or threads is None or (threads and count % threads):
            log.add("cpu_count is no number of CPUs in whole cores", line=line, field="hosts.nodes.cpu_count")
            return
        counts.append(count)
    half = sum(counts) // (threads or 1)
    first = 0
    for node, count in zip(nodes, counts, strict=True):
        cores = range(first, first + count // (threads or 1))
        if count:
            node["cpus"] = format_cpuset(core + thread * half for core in cores for thread in range(threads or 1))
        first += len(cores)


def _equal_nodes(entry: LineMap, equal: Any, log: FaultLog, line: int) -> None:
    """Cut a host of which only totals are known in equal nodes: ``{count, cores or cpus, memory}``."""
    said = equal if isinstance(equal, LineMap) else LineMap()
    count = _count(said.get("count", "1"), _MAX_NODES)
    threads = _count(entry.get("threads_per_core", "1"), 8) or 1
    cpus = _count(said.get("cpus"), _MAX_CPUS_OF_NODE * _MAX_NODES)
    cores = _count(said.get("cores"), _MAX_CPUS_OF_NODE * _MAX_NODES)
    total = cpus if cpus is not None else cores * threads if cores is not None else None
    try:
        memory = parse_kib(str(said.get("memory")))
    except PlacerError as error:
        log.take(error, line=line, field="hosts.equal_nodes.memory")
        return
    if not count or not total or total % (count * threads):
        whole, parts = shown(said.get("cpus", said.get("cores"))), shown(said.get("count"))
        message = f"{whole} cannot be cut in {parts} nodes of whole cores"
        log.add(message, line=line, field="hosts.equal_nodes", cure="say count, cores or cpus, and memory of the host")
        return
    nodes = LineList()
    for number in range(count):
        node = LineMap()
        node.update(id=str(number), cpu_count=str(total // count), memory=f"{memory // count}KiB")
        nodes.append(node)
    entry["nodes"] = nodes


def _count(text: Any, most: int) -> int | None:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most:
        return int(text)
    return None
