"""CPU sets as people, libvirt and the kernel write them: ``1-4,^3,6``, ``0-31:2/4``, ``ff,00000000``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from placer.errors import InputError

MAX_CPU = 65535
"""The largest CPU number taken; a set is never expanded beyond it, whatever the text says."""

_ITEM = re.compile(
    r"(?P<not>\^)?\s*(?P<first>\d{1,9})(?:\s*-\s*(?P<last>\d{1,9})(?::(?P<take>\d{1,9})(?:/(?P<step>\d{1,9}))?)?)?"
)
_MASK = re.compile(r"(?:0[xX])?[0-9a-fA-F]+(?:,[0-9a-fA-F]+)*")
_CPUSET_LIMIT = 100_000
_MOST_LISTED = 16 * (MAX_CPU + 1)
_REMEMBERED = 1 << 15
"""Sets and their texts are remembered: a fleet has a million pins, and few that differ."""
_REMEMBERED_CPUS = 2_000_000
"""Of all sets remembered together, so that long ones do not fill the memory."""
_LONG = 4096
"""Sets of more CPUs are written anew each time."""
MOST_TOLD = 8_000_000
"""The most CPUs that the lists of one document name together where all lists differ."""

_CPUS = tuple(range(MAX_CPU + 1))
"""One object a number: sets that overlap share them."""
_known: dict[str, frozenset[int]] = {}
_known_cpus = 0
_room: ContextVar[list[int] | None] = ContextVar("room", default=None)


@contextmanager
def one_document(most: int = MOST_TOLD) -> Iterator[None]:
    """Let the lists read within, those that differ, name at most so many CPUs together: more are made to exhaust us."""
    token = _room.set([most])
    try:
        yield
    finally:
        _room.reset(token)


def _remembered(text: str, parse: Callable[[str], frozenset[int]]) -> frozenset[int]:
    """Return the set of a text, the same object each time as far as there is room for it."""
    global _known_cpus
    found = _known.get(text)
    if found is not None:
        return found
    room = _room.get()
    if room is not None and room[0] < 0:
        raise InputError(f"the lists of CPUs before name more than {MOST_TOLD} in sets that all differ")
    found = parse(text)
    if room is not None:
        room[0] -= len(found)
    if len(_known) >= _REMEMBERED or _known_cpus + len(found) > _REMEMBERED_CPUS:
        _known.clear()
        _known_cpus = 0
    _known[text] = found
    _known_cpus += len(found)
    return found


def parse_cpuset(text: str) -> frozenset[int]:
    """Read a CPU list of libvirt (``1-4,^3,6``) or of the kernel (``0-31:2``, ``0-31:2/4``).

    In the kernel's form ``a-b:n/m`` takes the first n of every m CPUs; ``a-b:n`` alone, as lscpu
    prints it, takes every n-th. An exclusion holds for all that stands before it, as in libvirt.

    Raises
    ------
    InputError
        The text is not a CPU list, a range is backwards or a number exceeds `MAX_CPU`; or a document (`one_document`)
        names more CPUs than any machine has.
    """
    return _remembered(text, _parse_list)


def _parse_list(text: str) -> frozenset[int]:
    if len(text) > _CPUSET_LIMIT:
        raise InputError(f"CPU list of {len(text)} characters is longer than {_CPUSET_LIMIT}")
    chosen: set[int] = set()
    listed = 0
    if not text.strip():
        return frozenset()
    for raw in text.split(","):
        match = _ITEM.fullmatch(raw.strip())
        if match is None:
            raise InputError(
                f"{_short(text)} is not a CPU list: {_short(raw.strip())}", cure='write it like "0-3,^2,6"'
            )
        first = int(match["first"])
        last = first if match["last"] is None else int(match["last"])
        if last < first:
            raise InputError(f"CPU list {_short(text)}: the range {first}-{last} runs backwards")
        if last > MAX_CPU:
            raise InputError(f"CPU list {_short(text)}: {last} is above the largest CPU number {MAX_CPU}")
        if match["not"] and match["take"]:
            raise InputError(f"CPU list {_short(text)}: an exclusion takes no stride")
        listed += last - first + 1
        if listed > _MOST_LISTED:
            raise InputError(f"CPU list {_short(text)} names the same CPUs over and over")
        cpus = _strided(first, last, match["take"], match["step"])
        if match["not"]:
            chosen.difference_update(cpus)
        else:
            chosen.update(cpus)
    return frozenset(chosen)


def _strided(first: int, last: int, take: str | None, step: str | None) -> Iterable[int]:
    if take is None:
        return _CPUS[first : last + 1]
    if step is None:
        if int(take) == 0:
            raise InputError(f"CPU list {first}-{last}:{take}: the stride is 0")
        return _CPUS[first : last + 1 : int(take)]
    used, group = int(take), int(step)
    if group == 0 or used == 0 or used > group:
        raise InputError(f"CPU list {first}-{last}:{take}/{step}: takes {used} of every {group}")
    return [cpu for cpu in _CPUS[first : last + 1] if (cpu - first) % group < used]


def parse_cpu_mask(text: str) -> frozenset[int]:
    """Read a hexadecimal CPU mask: ``0xff`` or the kernel's 32-bit words ``ff,00000000``.

    Raises
    ------
    InputError
        The text is no mask or names a CPU above `MAX_CPU`.
    """
    return _remembered(f"mask {text}", _parse_mask)


def _parse_mask(named: str) -> frozenset[int]:
    text = named.removeprefix("mask ")
    compact = text.strip()
    if len(compact) > _CPUSET_LIMIT or not _MASK.fullmatch(compact):
        raise InputError(f"{_short(text)} is not a CPU mask", cure='write it like "0xff" or "ff,00000000"')
    words = compact.removeprefix("0x").removeprefix("0X").split(",")
    value = int("".join(word.rjust(8, "0") if number else word for number, word in enumerate(words)), 16)
    if value.bit_length() > MAX_CPU + 1:
        raise InputError(f"CPU mask {_short(text)} names a CPU above {MAX_CPU}")
    return frozenset(itertools.compress(_CPUS, map(int, reversed(f"{value:b}"))))


def format_cpuset(cpus: Iterable[int]) -> str:
    """Return the shortest list of single CPUs and ranges, ascending: ``0-3,6``."""
    known = cpus if isinstance(cpus, frozenset) else frozenset(cpus)
    return _listed(known) if len(known) <= _LONG else _listed.__wrapped__(known)


@lru_cache(maxsize=_REMEMBERED)
def _listed(cpus: frozenset[int]) -> str:
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def format_cpu_mask(cpus: Iterable[int]) -> str:
    """Return the mask that ``taskset`` takes: hexadecimal with a leading ``0x``."""
    return hex(sum(1 << cpu for cpu in set(cpus)))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
