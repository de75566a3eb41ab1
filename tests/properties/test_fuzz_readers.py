"""Whatever bytes come in, a reader gives a topology that holds together or an `InputError`, and soon.

``PLACER_FUZZ_INPUTS`` sets how many inputs are tried in all (default 600; at least 20,000 before a release).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from placer.errors import InputError
from placer.model.host import Topology
from placer.read.hosts.capabilities import parse_capabilities
from placer.read.hosts.cpuinfo import parse_cpuinfo
from placer.read.hosts.host import parse_topology
from placer.read.hosts.hwloc import parse_hwloc
from placer.read.hosts.lscpu import parse_lscpu_json, parse_lscpu_parse, parse_lscpu_table
from placer.read.hosts.lscpu_summary import parse_lscpu_summary
from placer.read.hosts.mlc import refine_distances
from placer.read.hosts.nodeinfo import parse_nodeinfo
from placer.read.hosts.numactl import parse_numactl
from placer.read.hosts.sysfs import parse_sysfs_archive
from placer.read.recognise import Format, recognise
from tests.effort import no_more_than

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared" / "topologies"
INPUTS = int(os.environ.get("PLACER_FUZZ_INPUTS", "600"))
SEEDS = 8
LARGEST_SEED_FILE_BYTES = 40_000

PARSERS: dict[Format, Callable[[bytes, str], Topology]] = {
    Format.CAPABILITIES: parse_capabilities,
    Format.HWLOC: parse_hwloc,
    Format.ARCHIVE: parse_sysfs_archive,
    Format.NUMACTL: parse_numactl,
    Format.LSCPU_PARSE: parse_lscpu_parse,
    Format.LSCPU_TABLE: parse_lscpu_table,
    Format.LSCPU_JSON: parse_lscpu_json,
    Format.LSCPU_SUMMARY: parse_lscpu_summary,
    Format.NODEINFO: parse_nodeinfo,
    Format.CPUINFO: parse_cpuinfo,
}
TWO_NODES = parse_numactl((REPOSITORY / "data/hosts/two-node-40cpu.numactl.txt").read_bytes(), "two-node")

NUMBERS = [b"0", b"-1", b"1", b"7", b"255", b"256", b"65535", b"65536", b"4294967295", b"9" * 20, b"9" * 5000, b"1e400"]
WORDS = [
    *NUMBERS, b"", b"-", b"nan", b"0-65535", b"0-9999999999", b"3-1", b"0x", b"0xffffffff,,0x1", b"ff,00000000",
    b"<not available>", b"\xff\xfe", b"\x00", b"\xc3\x28", b"&lt;", b"'", b'"', b"]]>", b"${x}", b"%s%n", b"../..",
]  # fmt: skip


def _seed_files() -> list[Path]:
    folders = [REPOSITORY / "data" / "hosts", *(SHARED / name for name in (
        "hwloc-sysfs", "libvirt-sysfs", "other-sysfs", "hwloc-xml", "libvirt-caps", "lscpu-dumps", "mlc-text",
        "nodeinfo-text", "numactl-text", "derived"))]  # fmt: skip
    files = (path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*")))
    return [path for path in files if path.is_file() and path.stat().st_size <= LARGEST_SEED_FILE_BYTES]


def _kinds() -> dict[Format, list[bytes]]:
    kinds: dict[Format, list[bytes]] = {}
    for path in _seed_files():
        data = path.read_bytes()
        try:
            kind = recognise(data, path.name)
        except InputError:
            continue
        if kind in PARSERS or kind is Format.MLC:
            kinds.setdefault(kind, []).append(data)
    return kinds


KINDS = _kinds()


def _unpack(data: bytes) -> bytes:
    if data.startswith(b"BZh"):
        return bz2.decompress(data)
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else lzma.decompress(data)


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    first, second = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return rng.choice((data[:first], data[first:], data[:first] + data[second:]))


def _lines(data: bytes, rng: random.Random) -> bytes:
    """Drop, repeat or exchange lines."""
    lines = data.split(b"\n")
    for _ in range(rng.randint(1, 4)):
        a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
        match rng.randrange(4):
            case 0 if len(lines) > 1:
                del lines[a]
            case 1:
                lines.insert(b, lines[a])
            case 2:
                lines[a] = lines[a] * rng.choice((2, 3, 500))
            case _:
                lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _words(data: bytes, rng: random.Random) -> bytes:
    """Replace numbers and words by bad ones, or by others of the file."""
    words = list(re.finditer(rb"[\w.-]+", data))
    if not words:
        return data
    for match in sorted(rng.sample(words, min(len(words), rng.randint(1, 4))), key=lambda m: -m.start()):
        new = rng.choice(WORDS) if rng.random() < 0.7 else rng.choice(words)[0]
        data = data[: match.start()] + new + data[match.end() :]
    return data


def _tags(data: bytes, rng: random.Random) -> bytes:
    """Exchange two tags, or two attributes, of an XML."""
    pattern = rng.choice((rb"<[^<>]*>", rb"\w+='[^']*'|\w+=\"[^\"]*\""))
    found = list(re.finditer(pattern, data))
    if len(found) < 2:
        return data
    a, b = sorted(rng.sample(found, 2), key=lambda m: m.start())
    return data[: a.start()] + b[0] + data[a.end() : b.start()] + a[0] + data[b.end() :]


MUTATIONS = (_flip, _cut, _lines, _words, _tags)


def _mutate(data: bytes, kind: Format, rng: random.Random) -> bytes:
    if kind is Format.ARCHIVE and rng.random() < 0.85:
        # Below the compression: headers and contents of the members.
        data = _unpack(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(MUTATIONS)(data, rng) if data else data
    return data


def _try(parse: Callable[[], Topology]) -> bool:
    """Run a reader; return whether it gave a topology. Anything but `InputError` goes up."""
    try:
        with no_more_than(1000):
            topology = parse()
    except InputError as error:
        assert str(error)
        assert all("\n" not in str(fault) for fault in error.faults)
        return False
    assert topology.cpus
    assert all(math.isfinite(value) and 0 <= value <= 255 for row in topology.distances for value in row)
    assert all(topology.distances[k][k] == 10 for k in range(len(topology.nodes)))
    assert set().union(*topology.packages) == topology.cpus == set().union(*topology.cores)
    assert all(node.memory_kib >= node.pool_kib >= 0 for node in topology.nodes)
    return True


def _read(data: bytes, kind: Format, rng: random.Random) -> bool:
    if kind is Format.MLC:
        return _try(lambda: refine_distances(TWO_NODES, data, "fuzzed"))
    if rng.random() < 0.5:
        return _try(lambda: PARSERS[kind](data, "fuzzed"))
    return _try(lambda: parse_topology(data, "fuzzed"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_mutated_files(seed: int) -> None:
    """Bytes flipped, lines cut, words and tags exchanged: every reader answers with a topology or an input error."""
    rng = random.Random(seed)
    kinds = sorted(KINDS, key=lambda kind: kind.name)
    accepted = 0
    for _ in range(max(1, INPUTS * 2 // 3 // SEEDS)):
        kind = rng.choice(kinds)
        accepted += _read(_mutate(rng.choice(KINDS[kind]), kind, rng), kind, rng)
    assert accepted, "no mutated file was accepted: the mutations test nothing but the first check"


TOKENS = """node|cpus:|size:|free:|distances:|available:|nodes|(0-1)|(|)|MB|0:|1:|0|1|2|10|21|255|-|,|KiB|80.0
|# CPU,Core,Socket,Node|CPU|NODE|SOCKET|CORE|ONLINE|yes|no|0,0,0,0|1,0,0,|,,,|Architecture:|CPU(s):|0-3|processor :
|On-line CPU(s) list:|Thread(s) per core:|NUMA node0 CPU(s):|physical id :|core id :|CPU socket(s):|Core(s) per socket:
|NUMA cell(s):|Memory size:|Numa node|Measuring idle latencies (in ns)|> |\t|\r\n|\ufeff"""
TEXTS = st.lists(st.sampled_from(TOKENS.split("|")), max_size=60).map(" ".join)
TAGS = """<capabilities>|</capabilities>|<host>|</host>|<topology>|<topology version='2.0'>|</topology>|<cells>|</cells>
|<cell id='0'>|<cell id='x'>|<cell>|</cell>|<cpus>|</cpus>|<cpu id='0' socket_id='0' core_id='0'/>
|<cpu id='1' siblings='0-1'/>|<memory unit='KiB'>1</memory>|<memory/>|<pages size='4'>9</pages>|<distances>
|</distances>|<sibling id='0' value='10'/>|<object type='Machine' cpuset='0x3'>|<object type='PU' os_index='0'/>
|<object type='PU' os_index='1'/>|<object type='NUMANode' os_index='0' cpuset='0x3'/>|</object>|<!-- -->|<?x?>
|<distances2 type='NUMANode' kind='5' indexing='os'>|</distances2>|<indexes>0 1</indexes>|<u64values>1 2</u64values>
|<!DOCTYPE topology SYSTEM "hwloc2.dtd">|<!DOCTYPE x [<!ENTITY a 'b'>]>|&a;|<![CDATA[|]]>"""
DOCUMENTS = st.lists(st.sampled_from(TAGS.split("|")), max_size=25).map("".join)


@hypothesis.settings(max_examples=max(20, INPUTS // 9), suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(st.one_of(TEXTS, DOCUMENTS).map(lambda text: text.encode("utf-8", "surrogatepass")), st.randoms())
def test_grammar(data: bytes, rng: random.Random) -> None:
    """Texts and documents made of the formats' own words, in any order, break no reader."""
    _read(data, rng.choice(sorted(PARSERS, key=lambda kind: kind.name)), rng)
    _try(lambda: parse_topology(data, "fuzzed"))


@hypothesis.settings(max_examples=max(20, INPUTS // 9))
@hypothesis.given(st.binary(max_size=2000), st.sampled_from(sorted(PARSERS, key=lambda kind: kind.name)))
def test_any_bytes(data: bytes, kind: Format) -> None:
    """Bytes without any form break no reader."""
    _try(lambda: PARSERS[kind](data, "fuzzed"))


@hypothesis.settings(max_examples=max(20, INPUTS // 9))
@hypothesis.given(st.binary(max_size=2000))
def test_any_bytes_behind_a_magic(data: bytes) -> None:
    """Bytes that begin as an archive, packed rightly or not, break no reader."""
    for packed in (data, gzip.compress(data, 1), bz2.compress(data, 1), b"\x1f\x8b" + data, b"BZh9" + data,
                   b"\xfd7zXZ\x00" + data, data[:257].ljust(257, b"0") + b"ustar\x0000" + data):  # fmt: skip
        _try(lambda packed=packed: parse_sysfs_archive(packed, "fuzzed"))  # type: ignore[misc]
