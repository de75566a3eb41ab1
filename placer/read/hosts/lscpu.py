"""Reader of ``lscpu -p``, ``lscpu -e`` and ``lscpu -J``: a row a CPU, as columns or as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from placer.errors import InputError, PlacerError
from placer.model.cpuset import MAX_CPU
from placer.model.host import Topology
from placer.read.hosts.cpu_groups import group_by, slower
from placer.read.hosts.lscpu_summary import parse_summary
from placer.read.hosts.normal_form import build
from placer.read.hosts.raw_host import RawHost, RawNode
from placer.read.text.text import number, text_lines, without_quotes

_NOTHING = {"", "-", "none", "null"}
_DASH_VALUE = re.compile(r"(:\s*)-(\s*[,}\r\n])")
_CORE_COLUMNS = ("drawer", "book", "socket", "cluster", "core")
_PACKAGE_COLUMNS = ("drawer", "book", "socket")
_MAX_ROWS = MAX_CPU + 1
_YES, _NO = {"y", "yes", "true"}, {"n", "no", "false"}


def parse_lscpu_parse(data: bytes, source: str) -> Topology:
    """Read ``lscpu -p`` (``lscpu -a -p`` too), whatever columns were asked for.

    Raises
    ------
    InputError
        No header names the columns, there is no CPU column, or a row does not fit the header.
    """
    header: list[str] = []
    rows: list[tuple[int, list[str]]] = []
    for line_number, line in enumerate(without_quotes(text_lines(data, source)), start=1):
        if re.match(r"#\s*CPU\s*(?:,|$)", line):
            header = [name.strip() for name in line.lstrip("# \t").split(",")]
            rows = []
        elif header and re.match(r"\s*\d+\s*,|\s*\d+\s*$", line):
            rows.append((line_number, [value.strip() for value in line.split(",")]))
    if not header:
        raise InputError("no line names the columns (# CPU,Core,Socket,Node)", file=source)
    return _build(_named(header, rows, source), source)


def parse_lscpu_table(data: bytes, source: str) -> Topology:
    """Read ``lscpu -e`` (``lscpu -a -e`` too), whatever columns were asked for.

    Raises
    ------
    InputError
        As `parse_lscpu_parse`.
    """
    header: list[str] = []
    rows: list[tuple[int, list[str]]] = []
    for line_number, line in enumerate(without_quotes(text_lines(data, source)), start=1):
        words = line.split()
        if words and words[0].upper() == "CPU":
            header, rows = words, []
        elif header and words and words[0].isdecimal():
            rows.append((line_number, words))
    if not header:
        raise InputError("no line names the columns (CPU NODE SOCKET CORE)", file=source)
    return _build(_named(header, rows, source), source)


def parse_lscpu_json(data: bytes, source: str) -> Topology:
    """Read ``lscpu -J`` (a summary) or ``lscpu -e -J`` (a row a CPU).

    For CPUs that are offline lscpu writes a bare ``-``, which is no JSON; it is read as nothing told.

    Raises
    ------
    InputError
        Not JSON apart from that, or not lscpu's.
    """
    text = "\n".join(text_lines(data, source))
    try:
        document = _load(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(f"this is not JSON: {reason}", file=source, line=line) from None
    if isinstance(document, dict) and isinstance(document.get("lscpu"), list):
        return parse_summary(dict(_fields(document["lscpu"], 0)), source)
    if not isinstance(document, dict) or not isinstance(document.get("cpus"), list):
        raise InputError("this is no output of lscpu -J", file=source)
    rows: list[tuple[int | None, dict[str, str]]] = []
    for row in document["cpus"]:
        if not isinstance(row, dict):
            raise InputError("an entry of cpus is no object", file=source)
        rows.append((None, _split({str(name): _as_text(value) for name, value in row.items()})))
    return _build(rows, source)


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(_DASH_VALUE.sub(r"\1null\2", text))


def _as_text(value: object) -> str:
    return "" if value is None else str(value)


def _fields(entries: Iterable[object], depth: int) -> Iterable[tuple[str, str]]:
    """Yield the fields of a summary; newer versions nest them."""
    for entry in entries:
        if isinstance(entry, dict):
            if isinstance(entry.get("field"), str):
                yield entry["field"].strip().rstrip(":"), _as_text(entry.get("data"))
            children = entry.get("children")
            if isinstance(children, list) and depth < 8:
                yield from _fields(children, depth + 1)


def _named(
    header: list[str], rows: Iterable[tuple[int, list[str]]], source: str
) -> list[tuple[int | None, dict[str, str]]]:
    named: list[tuple[int | None, dict[str, str]]] = []
    for line_number, values in rows:
        if len(values) > len(header):
            raise InputError(
                f"the row has {len(values)} values for {len(header)} columns", file=source, line=line_number
            )
        row = dict(zip(header, values, strict=False))
        named.append((line_number, _split(row)))
    return named


def _split(row: Mapping[str, str]) -> dict[str, str]:
    """Return the row with lower-case names and joined cache columns (``L1d:L1i:L2:L3``) apart."""
    apart: dict[str, str] = {}
    for name, value in row.items():
        names, values = name.lower().split(":"), value.split(":")
        if len(names) == len(values):
            apart.update(zip(names, values, strict=True))
        elif len(names) == 1:
            apart[names[0]] = value
    return apart


def _build(rows: list[tuple[int | None, dict[str, str]]], source: str) -> Topology:
    raw = RawHost(source=source, pages_told=False)
    if len(rows) > _MAX_ROWS:
        raise InputError(f"{len(rows)} rows are more CPUs than any host has", file=source)
    cores: dict[int, object] = {}
    packages: dict[int, object] = {}
    l2: dict[int, object] = {}
    l3: dict[int, object] = {}
    clocks: dict[int, float] = {}
    nodes: dict[int, int | None] = {}
    # Of CPUs that are offline lscpu -a -p tells the number alone; where all rows are so, they tell nothing else.
    silent = [not any(_told(row, column) for column in row if column != "cpu") for _, row in rows]
    told = not all(silent)
    for (line_number, row), bare in zip(rows, silent, strict=True):
        if not _told(row, "cpu"):
            # Some architectures get rows without a single value.
            continue
        cpu = number(row.get("cpu", ""), "the CPU", source, line_number)
        if not 0 <= cpu <= MAX_CPU or cpu in nodes:
            why = "stands there twice" if cpu in nodes else f"is not between 0 and {MAX_CPU}"
            raise InputError(f"CPU {cpu} {why}", file=source, line=line_number)
        online = row.get("online", "y").strip().lower()
        if online not in _YES | _NO | _NOTHING:
            raise InputError(
                f"online is {online[:20]!r}, neither yes nor no",
                file=source,
                line=line_number,
                cure="run it in English: LC_ALL=C lscpu -a -e",
            )
        nodes[cpu] = _id(row, "node", source, line_number)
        if online in _NO or (bare and told):
            raw.offline.add(cpu)
            continue
        raw.online.add(cpu)
        if _told(row, "core"):
            cores[cpu] = tuple(row.get(column, "") for column in _CORE_COLUMNS)
        if _told(row, "socket"):
            packages[cpu] = tuple(row.get(column, "") for column in _PACKAGE_COLUMNS)
        if _told(row, "l2"):
            l2[cpu] = row["l2"].strip()
        if _told(row, "maxmhz"):
            clocks[cpu] = _clock(row["maxmhz"])
        if _told(row, "l3"):
            l3[cpu] = row["l3"].strip()
    raw.cores, raw.packages, raw.l3 = group_by(cores), group_by(packages), group_by(l3)
    raw.efficiency = slower(clocks) or _atoms(raw.cores, group_by(l2))
    for cpu in raw.online:
        node_id = nodes[cpu]
        if node_id is not None:
            raw.nodes.setdefault(node_id, RawNode()).cpus.add(cpu)
    return build(raw)


def _clock(text: str) -> float:
    """Return a clock in MHz, whichever decimal sign the locale has; 0 where it is no number."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return 0.0


def _atoms(cores: list[frozenset[int]], l2: list[frozenset[int]]) -> set[int]:
    """Return the CPUs of cores of one thread that share an L2 cache, where cores of several threads have their own:
    the efficiency cores of a host whose clocks are all told alike.
    """
    narrow = set().union(*(core for core in cores if len(core) == 1))
    wide = [core for core in cores if len(core) > 1]
    if not wide or any(group & core and group - core for group in l2 for core in wide):
        return set()
    return set().union(*(group for group in l2 if len(group) > 1 and group <= narrow))


def _told(row: Mapping[str, str], column: str) -> bool:
    return row.get(column, "").strip().lower() not in _NOTHING


def _id(row: Mapping[str, str], column: str, source: str, line_number: int | None) -> int | None:
    if not _told(row, column):
        return None
    try:
        return number(row[column], f"the {column}", source, line_number)
    except PlacerError:
        if row[column].strip().startswith("-"):
            return None
        raise
