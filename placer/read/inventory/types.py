"""Scalar types of the inventory: each takes the file's text and says what it must be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, PlainValidator

from placer.errors import InputError
from placer.model.cpuset import MAX_CPU, parse_cpu_mask, parse_cpuset
from placer.model.units import exact_bytes, parse_bytes, parse_kib

Taken = TypeVar("Taken")

MAX_TEXT = 4096
MAX_NUMBER = 2**53
"""The largest count taken: beyond it a float would no longer be exact."""

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_MASK = re.compile(r"0[xX][0-9a-fA-F]+(?:,[0-9a-fA-F]{8})*|[0-9a-fA-F]{1,8}(?:,[0-9a-fA-F]{8})+")


class Refused(ValueError):
    """A value that its type refuses; carries the cure apart from the message."""

    def __init__(self, message: str, cure: str | None = None) -> None:
        super().__init__(message)
        self.cure = cure


def shown(value: Any) -> str:
    """Return a value of the tree in words, cut to a length fit for a message."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _scalar(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Refused(f"{shown(value)} is not {what}")
    return value


def text(value: Any) -> str:
    """Take text that says something."""
    taken = _scalar(value, "text")
    if not taken.strip():
        raise Refused("is empty")
    if len(taken) > MAX_TEXT:
        raise Refused(f"has {len(taken)} characters, more than {MAX_TEXT}")
    return taken


def integer(value: Any) -> int:
    """Take a whole number in decimal without leading zeros: nobody has to guess whether ``010`` is 8."""
    taken = _scalar(value, "a whole number")
    if not _INTEGER.fullmatch(taken):
        bare = taken.lstrip("0")
        cure = f"write {bare}" if taken.isdigit() and bare else None
        raise Refused(f"{shown(taken)} is not a whole number", cure)
    number = int(taken)
    if abs(number) > MAX_NUMBER:
        raise Refused(f"{taken} is above 2^53")
    return number


def number(value: Any) -> float:
    """Take a decimal number."""
    taken = _scalar(value, "a number")
    if not _NUMBER.fullmatch(taken):
        raise Refused(f"{shown(taken)} is not a number")
    return float(taken)


def boolean(value: Any) -> bool:
    """Take ``true`` or ``false``; yes, no, on and off mean different things to different readers of YAML."""
    taken = _scalar(value, "true or false")
    if taken in ("true", "True", "TRUE"):
        return True
    if taken in ("false", "False", "FALSE"):
        return False
    raise Refused(f"{shown(taken)} is neither true nor false", "write true or false")


def kib(value: Any) -> int:
    """Take a memory size with its unit; 0 needs none."""
    if value == "0":
        return 0
    return _parsed(parse_kib, _scalar(value, "a size with a unit"))


def cpuset(value: Any) -> frozenset[int]:
    """Take a CPU list, or a hexadecimal mask where the text can only be one (``0xff``, ``ff,00000000``)."""
    taken = _scalar(value, "a CPU list")
    if _MASK.fullmatch(taken):
        return _parsed(parse_cpu_mask, taken)
    return _parsed(parse_cpuset, taken)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what there is, from 0 to 1: ``20%``."""

    share: Fraction

    def __str__(self) -> str:
        """Return it in percent."""
        return f"{float(self.share * 100):g}%"


def _part(value: Any) -> Part | None:
    """Return a share in percent, None where the text is something else."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    share = Fraction(match[1]) / 100
    if share > 1:
        raise Refused(f"{value} is above 100%")
    return Part(share)


def reserved_memory(value: Any) -> int | Fraction | Part:
    """Take a memory size in KiB, one of no whole number of bytes as it is (``25.6GiB``), or a share (``20%``)."""
    part = _part(value)
    if part is not None:
        return part
    if value == "0":
        return 0
    exact = _parsed(exact_bytes, _scalar(value, "a size with a unit, or a share such as 20%"))
    return kib(value) if exact.denominator == 1 else exact / 1024


def reserved_cpus(value: Any) -> frozenset[int] | Part:
    """Take a CPU list, or a share of the CPUs."""
    return _part(value) or cpuset(value)


def some_cpus(value: Any) -> frozenset[int]:
    """Take a CPU list that holds at least one CPU."""
    cpus = cpuset(value)
    if not cpus:
        raise Refused("holds no CPU")
    return cpus


def uuid(value: Any) -> str:
    """Take a UUID in any of libvirt's spellings; inside placer it is lower case with dashes."""
    taken = _scalar(value, "a UUID")
    if not _UUID.fullmatch(taken):
        raise Refused(f"{shown(taken)} is not a UUID")
    digits = taken.replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def amount(value: Any) -> tuple[int, bool]:
    """Take an amount of a free resource: a count, or a size in bytes; the flag says that it was a size."""
    taken = _scalar(value, "a count or a size")
    if _INTEGER.fullmatch(taken):
        count = int(taken)
        if not 0 <= count <= MAX_NUMBER:
            raise Refused(f"{taken} is not from 0 to 2^53")
        return count, False
    if _NUMBER.fullmatch(taken):
        raise Refused(f"{taken} is not a whole number", "count in smaller parts")
    return _parsed(parse_bytes, taken), True


def page_kib(value: Any) -> int:
    """Take a page size."""
    size = _parsed(parse_kib, _scalar(value, "a page size with a unit"))
    if size < 1 or size & (size - 1):
        raise Refused(f"{shown(value)} is not a page size", "a page is a power of two, such as 2MiB or 1GiB")
    return size


def _one_pool_a_size(value: Any) -> Any:
    """Refuse a page size that stands twice in two spellings (1GiB and 1024MiB)."""
    seen: dict[int, str] = {}
    for key in value if isinstance(value, dict) else ():
        try:
            size = page_kib(key)
        except Refused:
            continue
        if size in seen:
            raise Refused(f"{shown(seen[size])} and {shown(key)} are one page size", "keep one")
        seen[size] = key
    return value


def _parsed(parse: Callable[[str], Taken], taken: str) -> Taken:
    try:
        return parse(taken)
    except InputError as error:
        raise Refused(error.faults[0].message, error.faults[0].cure) from None


def _at_least(least: float, parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def take(value: Any) -> Any:
        taken = parse(value)
        if taken < least:
            raise Refused(f"{value} is below {least}")
        return taken

    return take


def _threads(least: int) -> Callable[[Any], int]:
    """Return a type of numbers of threads: no more than CPUs have numbers, or a set of them would fill the memory."""

    def take(value: Any) -> int:
        taken = integer(value)
        if not least <= taken <= MAX_CPU + 1:
            raise Refused(f"{value} is not from {least} to {MAX_CPU + 1}")
        return taken

    return take


def _positive(value: Any) -> float:
    taken = number(value)
    if taken <= 0:
        raise Refused(f"{value} is not above 0")
    return taken


def cell_count(value: Any) -> str | int:
    """Read ``auto``, ``none`` or a number of guest cells."""
    if value in ("auto", "none"):
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and value[0] != "0" and len(value) < 6:
        return int(value)
    raise Refused(f"{shown(value)} is neither auto, none, a number of cells nor a list of cells")


def fixed(value: Any) -> Any:
    """Take ``fixed`` alone."""
    if value != "fixed":
        raise Refused(
            f"{shown(value)} is neither fixed nor a mapping of vCPUs to CPUs", 'write fixed, or {0: "4", 1: "5"}'
        )
    return value


def unit_share(value: Any) -> Any:
    """Take ``uniform``, or a share from 0 to 1 as it is."""
    if value != "uniform" and not 0 <= number(value) <= 1:
        raise Refused(f"{value} is not a share from 0 to 1", "write 0.8, or uniform")
    return value


def file_names(value: Any) -> list[str]:
    """Read the name of a file, or a list of names."""
    if isinstance(value, list) and value:
        return [text(name) for name in value]
    if isinstance(value, list | dict):
        raise Refused(f"{shown(value)} is neither the name of a host file nor a list of names")
    return [text(value)]


def node_set(value: Any) -> frozenset[int] | None:
    """Read ``host`` (None) or a list of node ids."""
    if value is None or value == "host":
        return None
    if not isinstance(value, list) or not value:
        raise Refused(f"{shown(value)} is neither host nor a list of nodes", "write host, or [0, 1]")
    return frozenset(_at_least(0, integer)(node) for node in value)


Text = Annotated[str, BeforeValidator(text)]
Int = Annotated[int, BeforeValidator(integer)]
Count = Annotated[int, BeforeValidator(_at_least(0, integer))]
Positive = Annotated[int, BeforeValidator(_at_least(1, integer))]
Threads = Annotated[int, BeforeValidator(_threads(1))]
IoThreads = Annotated[int, BeforeValidator(_threads(0))]
Number = Annotated[float, BeforeValidator(number)]
Share = Annotated[float, BeforeValidator(_at_least(0, number))]
Ratio = Annotated[float, BeforeValidator(_positive)]
Bool = Annotated[bool, BeforeValidator(boolean)]
Kib = Annotated[int, BeforeValidator(kib)]
PageKib = Annotated[int, BeforeValidator(page_kib)]
Pages = Annotated[dict[PageKib, Count], BeforeValidator(_one_pool_a_size)]
# Taken as they are: pydantic would copy each set, one of thousands of CPUs a thousand times.
Cpus = Annotated[frozenset[int], PlainValidator(cpuset)]
SomeCpus = Annotated[frozenset[int], PlainValidator(some_cpus)]
ReservedCpus = Annotated[frozenset[int] | Part, PlainValidator(reserved_cpus)]
ReservedMemory = Annotated[int | Fraction | Part, PlainValidator(reserved_memory)]
Uuid = Annotated[str, BeforeValidator(uuid)]
Amount = Annotated[tuple[int, bool], BeforeValidator(amount)]
FileNames = Annotated[list[str], BeforeValidator(file_names)]
NodeSet = Annotated[frozenset[int] | None, PlainValidator(node_set)]
